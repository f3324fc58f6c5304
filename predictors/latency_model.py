"""Latency of layers that were never measured, fitted to whole networks or layers that were.

A layer's time is a sum of what it does (products, values read and written, weights unpacked), each
with a price that depends on its kind. Prices are at least 0 and fitted to relative errors, so that
small networks count as much as large ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from predictors.c_memory import stored_bits
from predictors.counts import in_elements, out_elements
from predictors.latency import LatencyTable, Unit, needed_layers, signature
from search_spaces import LayerSpec, SearchSpace
from search_spaces.arrays import Floats

KINDS = ("stem", "pointwise", "depthwise", "squeeze_excite", "linear")
ACTIVATIONS = ("none", "relu", "hswish")
W_BITS = (2, 3, 4)  # as stored; wider weights share a price
FOLDS = 5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LatencyModel:
    """Prices, and how well they foretold what they had not seen.

    Attributes:
        prices: Of every feature of every kind, `(n_kinds * n_features,)`.
        held_out_error: Mean relative error of groups that a fold left out.
        network_error: The same of whole networks, the sums of their groups.
    """

    prices: Floats
    held_out_error: float
    network_error: float

    def predict(self, layers: Sequence[LayerSpec]) -> Floats:
        """Time of each layer, `(n,)`, in the unit of the measurements."""
        predicted: Floats = np.stack([_features(layer) for layer in layers]) @ self.prices
        return predicted

    def table(self, space: SearchSpace, unit: Unit = "ms") -> LatencyTable:
        """A value for every layer of `space`; `unit` is that of the measurements."""
        layers = needed_layers(space)
        values = self.predict(layers)
        names = [signature(layer) for layer in layers]
        return LatencyTable(dict(zip(names, values.tolist(), strict=True)), unit)


def fit_latency_model(
    groups: Sequence[Sequence[LayerSpec]], times: Sequence[float], networks: Sequence[int]
) -> LatencyModel:
    """Fit prices to measured times.

    Args:
        groups: Layers that were measured together: a network each, or a layer each.
        times: What each group took, above 0.
        networks: Number of the network that each group is from; a fold leaves out whole networks.

    Raises:
        ValueError: Fewer than `FOLDS` networks, or a time that is not above 0.
    """
    measured, of = np.asarray(times, dtype=np.float64), np.asarray(networks)
    n_networks = len(np.unique(of))
    if n_networks < FOLDS:
        raise ValueError(f"expected at least {FOLDS} measured networks, got {n_networks}")
    if not (np.isfinite(measured).all() and (measured > 0).all()):
        raise ValueError("measured times must be finite and above 0")
    A = np.stack([np.sum([_features(layer) for layer in group], axis=0) for group in groups])
    foretold = np.empty(len(groups))
    for fold in range(FOLDS):
        out = of % FOLDS == fold
        foretold[out] = A[out] @ _prices(A[~out], measured[~out])
    sums = np.bincount(of, foretold) / np.maximum(np.bincount(of, measured), 1e-300)
    return LatencyModel(
        prices=_prices(A, measured),
        held_out_error=float(np.abs(foretold / measured - 1).mean()),
        network_error=float(np.abs(sums[np.unique(of)] - 1).mean()),
    )


def _prices(A: Floats, times: Floats) -> Floats:
    from scipy.optimize import nnls

    scale = np.maximum(A.max(axis=0), 1e-300)
    prices, _ = nnls(A / times[:, None] / scale, np.ones(len(times)), maxiter=50 * A.shape[1])
    return np.asarray(prices / scale, dtype=np.float64)


def _features(layer: LayerSpec) -> Floats:
    """What a layer does, in the columns of its kind."""
    kind = layer.kind if layer.kind != "conv" else "stem" if layer.name == "stem" else "pointwise"
    w_bits = stored_bits(layer.bits.w_bits)
    own = [
        1.0,
        layer.macs,
        in_elements(layer),
        *(out_elements(layer) * (layer.activation == name) for name in ACTIVATIONS),
        layer.out_channels,
        layer.out_channels * layer.out_size,
        max(layer.in_channels, layer.out_channels) * layer.gated_size**2,
        *(layer.n_weights * (w_bits == bits) for bits in W_BITS),
        layer.n_weights * (w_bits not in W_BITS),
    ]
    features = np.zeros((len(KINDS), len(own)))
    features[KINDS.index(kind)] = own
    return features.reshape(-1)
