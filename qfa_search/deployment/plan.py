"""From a recalibrated static network to constants: what every file format and kernel is made of.

The only place with folding formulas. For a quantized layer with input x, per output channel c:

    q   = round(clamp(x k + t, 0, top))                          codes of the input
    y_c = (sum W_c (q - t)) S a g_c + h_c                        over what is no padding
        = (sum W_c (q - zi) - f sum W_c) S a g_c + h_c

with integer weight codes W, weight step a, and the norm folded into g and h. Codes are counted
from 0, so a signed grid is only shifted. The real zero of the grid, t, lies between two codes by
the learned offset: padding is exactly t, not zi, which is why f can go into a bias only where a
layer has no padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from qfa_search.errors import ExportError
from qfa_search.quantizers.batchquant import BatchQuant
from qfa_search.quantizers.functional import (
    integer_range,
    quantization_grid,
    range_multiplier,
)
from qfa_search.quantizers.lsq import LSQ
from qfa_search.supernet.extract import StaticLayer, StaticNetwork
from qfa_search.supernet.mobilenet_v3 import key
from qfa_search.supernet.recalibrate import has_statistics
from search_spaces import LayerSpec, SearchSpace, Subnet
from search_spaces.arrays import Floats

Scalar = TypeVar("Scalar", bound=np.generic)


@dataclass(frozen=True, slots=True, kw_only=True)
class InputGrid:
    """How a layer rounds its input: `round(clamp(x k + t, 0, top))`, half to even.

    Attributes:
        bits: Bit width.
        scale: S, the step between two codes.
        multiplier: k, codes per unit of the input; 1 / S up to rounding.
        zero: t, the code of a real 0, seldom an integer.
        zero_code: zi, the integer in [0, top] next to t.
    """

    bits: int
    scale: float
    multiplier: float
    zero: float
    zero_code: int

    @property
    def top(self) -> int:
        """The largest code."""
        return integer_range(self.bits, signed=False)[1]

    @property
    def fraction(self) -> float:
        """How far t is from its code, t - zi; beyond +-0.5 only at the ends of the grid."""
        return self.zero - self.zero_code


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LayerPlan:
    """One layer as constants, and where it stands in the data flow.

    Layer i reads the value of layer i - 1, the first one the image. Its own value is, in this
    order: (pooled input ->) input codes -> convolution -> gain and bias -> activation -> times
    the value of `gates` -> plus the value of `adds`.

    Attributes:
        spec: Shape, bits, stride, activation.
        grid: Rounding of the input; None where it stays in floating point.
        codes: W, int8 weight codes `(out, in / groups, k, k)`, for a linear layer `(out, in)`;
            None for weights in floating point.
        weights: Those, float32 in the same shape, without the norm; None for codes.
        step: a, the step of the weight codes; 1 for weights in floating point.
        gain: g, float64 `(out,)`: what the norm multiplies by, ones without a norm.
        bias: h, float64 `(out,)`: what is added after it.
        pools_input: Whether the mean over the map is taken first.
        gates: Index of the layer whose value is multiplied by this one's.
        adds: Index of the layer whose value is added.
    """

    spec: LayerSpec
    grid: InputGrid | None
    codes: NDArray[np.int8] | None
    weights: NDArray[np.float32] | None
    step: float
    gain: Floats
    bias: Floats
    pools_input: bool
    gates: int | None
    adds: int | None

    @property
    def name(self) -> str:
        """Path of the layer, as in the network."""
        return self.spec.name

    @property
    def padding(self) -> int:
        """Pixels of zeros around the input map."""
        return self.spec.kernel_size // 2

    @property
    def output_scale(self) -> Floats:
        """What one weight code is worth with the norm folded, a g, float64 `(out,)`."""
        scale: Floats = self.step * self.gain
        return scale

    def folded_weights(self) -> Floats:
        """Weights as they are worth with the norm folded, float64, in the shape of the codes."""
        values = self.weights if self.codes is None else self.codes
        assert values is not None
        folded: Floats = values * self.output_scale.reshape(-1, *[1] * (values.ndim - 1))
        return folded

    def bias_counting_from(self, zero: float) -> Floats:
        """Bias for input codes of which `zero` is taken for the real 0, float64 `(out,)`.

        `bias_counting_from(zi)` takes the offset's fraction in, `bias_counting_from(0)` the whole
        zero. Exact for a layer without padding, and for one whose padding is the code t.
        """
        if self.grid is None:
            return self.bias
        sums: Floats = self.folded_weights().reshape(self.spec.out_channels, -1).sum(1)
        moved: Floats = self.bias - (self.grid.zero - zero) * self.grid.scale * sums
        return moved


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NetworkPlan:
    """A subnet as constants.

    Attributes:
        space: The space it comes from.
        subnet: What it is.
        layers: In the order they run.
        class_names: One for each logit, if known.
        mean: Mean pixel value in [0, 1] that images were normalized with, per channel, if known.
        std: Standard deviation of pixel values, likewise.
    """

    space: SearchSpace
    subnet: Subnet
    layers: tuple[LayerPlan, ...]
    class_names: tuple[str, ...] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        """Check what the caller knows about images and classes."""
        if self.class_names is not None and len(self.class_names) != self.space.n_classes:
            raise ValueError(
                f"expected {self.space.n_classes} class names, got {len(self.class_names)}"
            )
        for name, values in (("mean", self.mean), ("std", self.std)):
            if values is not None and len(values) != self.space.input_channels:
                raise ValueError(
                    f"{name} must have {self.space.input_channels} values, one a channel, "
                    f"got {len(values)}"
                )

    @property
    def resolution(self) -> int:
        """Side of the input image in pixels."""
        return self.subnet.resolution


@torch.no_grad()
def network_plan(
    network: StaticNetwork,
    *,
    class_names: Sequence[str] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> NetworkPlan:
    """The constants of a recalibrated network.

    Args:
        network: From `extract`, recalibrated; left as it is.
        class_names: One for each logit.
        mean: Mean pixel value in [0, 1] that images are normalized with, per channel.
        std: Standard deviation of pixel values, likewise.

    Raises:
        ExportError: The network is in training mode, was never recalibrated, or holds a step or
            statistic that no file can carry.
        ValueError: Class names, mean or std of the wrong number.
    """
    if network.training:
        raise ExportError("expected a network in evaluation mode: call network.eval() first")
    _check_recalibrated(network)
    layers: list[LayerPlan] = []
    block, block_input, gated = "", -1, -1
    for index, spec in enumerate(network.specs):
        layer = network.layers[key(spec)]
        assert isinstance(layer, StaticLayer)
        is_gate = spec.kind == "squeeze_excite"
        if is_gate and spec.name.endswith("reduce"):
            gated = index - 1
        if not is_gate and spec.block != block:
            block, block_input = spec.block, index - 1
        codes, weights, step = _weights(layer)
        gain, bias = _folded_norm(layer)
        layers.append(
            LayerPlan(
                spec=spec,
                grid=_input_grid(layer),
                codes=codes,
                weights=weights,
                step=step,
                gain=gain,
                bias=bias,
                pools_input=spec.name == "feature_mix" or (is_gate and gated == index - 1),
                gates=gated if is_gate and gated != index - 1 else None,
                adds=block_input if spec.adds_residual else None,
            )
        )
    return NetworkPlan(
        space=network.space,
        subnet=network.subnet,
        layers=tuple(layers),
        class_names=None if class_names is None else tuple(class_names),
        mean=None if mean is None else tuple(mean),
        std=None if std is None else tuple(std),
    )


def _check_recalibrated(network: StaticNetwork) -> None:
    """A network without any range would give files that answer the same for every image."""
    if not has_statistics(network):
        raise ExportError(
            "this network was never recalibrated, its activation ranges are empty: "
            "call qfa_search.recalibrate(network, loader) first"
        )


def _input_grid(layer: StaticLayer) -> InputGrid | None:
    quantizer = layer.input_quantizer
    if not isinstance(quantizer, BatchQuant):
        return None
    bits, signed = quantizer.bits, quantizer.signed
    step, zero_point = quantization_grid(
        float(quantizer.running_min), float(quantizer.running_max), bits=bits, signed=signed
    )
    multiplier = float(range_multiplier(quantizer.alpha))
    zero = zero_point + float(quantizer.offset) - integer_range(bits, signed=signed)[0]
    if not (np.isfinite([step, zero]).all() and 0 < multiplier < np.inf):
        raise ExportError(
            f"the input quantizer of {layer.spec.name} has step {step:g}, range factor "
            f"{multiplier:g} and zero {zero:g}: recalibrate the network on images like those it "
            "was trained on"
        )
    top = integer_range(bits, signed=False)[1]
    return InputGrid(
        bits=bits,
        scale=step / multiplier,
        multiplier=multiplier / step,
        zero=zero,
        zero_code=int(np.clip(np.rint(zero), 0, top)),
    )


def _weights(
    layer: StaticLayer,
) -> tuple[NDArray[np.int8] | None, NDArray[np.float32] | None, float]:
    """Codes, or weights in floating point, and the step of the codes."""
    quantizer = layer.weight_quantizer
    if not isinstance(quantizer, LSQ):
        return None, _frozen(_array(layer.weight).copy()), 1.0
    step = float(quantizer.scale.abs())
    if not 0 < step < np.inf:
        raise ExportError(f"the weight step of {layer.spec.name} is {step:g}, expected above 0")
    # From the network's own float32 values: in other precision a weight halfway between two
    # codes takes the other one.
    values: Tensor = quantizer(layer.weight) / quantizer.scale.abs()
    return _frozen(np.rint(_array(values)).astype(np.int8)), None, step


def _folded_norm(layer: StaticLayer) -> tuple[Floats, Floats]:
    """Gain and bias per channel, float64."""
    n_channels = layer.spec.out_channels
    own = np.zeros(n_channels) if layer.bias is None else _array(layer.bias).astype(np.float64)
    norm = layer.norm
    if not isinstance(norm, nn.BatchNorm2d):
        return _frozen(np.ones(n_channels)), _frozen(own)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    gamma, beta, mean, variance = (
        _array(value).astype(np.float64)
        for value in (norm.weight, norm.bias, norm.running_mean, norm.running_var)
    )
    gain = gamma / np.sqrt(variance + norm.eps)
    bias = beta + (own - mean) * gain
    if not np.isfinite([gain, bias]).all():
        raise ExportError(f"the norm of {layer.spec.name} has values that are not finite")
    return _frozen(gain), _frozen(bias)


def _array(value: Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = value.detach().cpu().numpy()
    return array


def _frozen(array: NDArray[Scalar]) -> NDArray[Scalar]:
    array.setflags(write=False)
    return array
