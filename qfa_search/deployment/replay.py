"""Whether an engine runs the network that torch runs, decided on integer codes.

No two float engines give equal logits at few bits: where an activation comes within a rounding
error of the threshold between two codes, each may take the other one, and the change spreads.
So the engine's codes are replayed: the torch network takes them over, layer by layer, and they may
differ from its own only at such a threshold. After that everything else has to agree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from qfa_search.deployment.comparison import (
    Batches,
    Engine,
    EngineRun,
    LayerReplay,
    Replay,
    ReplayLimits,
)
from qfa_search.deployment.plan import LayerPlan, NetworkPlan
from qfa_search.errors import ExportError
from qfa_search.supernet.extract import StaticLayer, StaticNetwork
from qfa_search.supernet.mobilenet_v3 import key


@torch.inference_mode()
def replay(
    network: StaticNetwork,
    plan: NetworkPlan,
    engines: Mapping[str, Engine],
    batches: Batches,
    limits: ReplayLimits | None = None,
) -> tuple[Replay, ...]:
    """Run `engines` and the torch network on the same images.

    Args:
        network: What `plan` was made of.
        plan: Its constants.
        engines: By name.
        batches: Normalized images at the network's resolution, with or without labels.
        limits: What may differ.

    Returns:
        One for each engine.

    Raises:
        ExportError: There are no images, or an engine lacks the codes of a layer.
    """
    limits = limits or ReplayLimits()
    counts = {name: _Counts(plan) for name in engines}
    for images, labels in batches:
        plain = network(images).numpy()
        done: list[tuple[EngineRun, NDArray[np.float32], list[LayerReplay]]] = []
        for name, engine in engines.items():
            run = engine(images.numpy())
            same = next((found for found in done if _is_equal(found[0], run)), None)
            if same is None:
                same = run, *_replayed(network, plan, run, images, limits)
                done.append(same)
            counts[name].add(run, same[1], same[2], plain, labels)
    if any(count.n_images == 0 for count in counts.values()):
        raise ExportError("verification needs at least one batch of images, got none")
    return tuple(count.result(name, limits) for name, count in counts.items())


def _is_equal(a: EngineRun, b: EngineRun) -> bool:
    """Whether two runs are the same bit by bit, so that one replay counts for both."""
    return np.array_equal(a.logits, b.logits) and all(
        np.array_equal(codes, b.codes[name]) for name, codes in a.codes.items()
    )


def _replayed(
    network: StaticNetwork,
    plan: NetworkPlan,
    run: EngineRun,
    images: Tensor,
    limits: ReplayLimits,
) -> tuple[NDArray[np.float32], list[LayerReplay]]:
    """Logits of the torch network on the engine's codes, and how those differ from its own."""
    found: list[LayerReplay] = []
    with _codes_replaced(network, plan, run.codes, limits, found.append):
        logits: NDArray[np.float32] = network(images).numpy()
    return logits, found


@contextmanager
def _codes_replaced(
    network: StaticNetwork,
    plan: NetworkPlan,
    codes: Mapping[str, NDArray[np.integer]],
    limits: ReplayLimits,
    tell: Callable[[LayerReplay], None],
) -> Iterator[None]:
    """Within, every activation quantizer of `network` gives the engine's codes."""
    hooks = []
    for layer in plan.layers:
        module = network.layers[key(layer.spec)]
        assert isinstance(module, StaticLayer)
        if layer.grid is None:
            continue
        if layer.name not in codes:
            raise ExportError(f"the engine gave no input codes of {layer.name}")
        other = torch.from_numpy(np.ascontiguousarray(codes[layer.name]).astype(np.float32))

        def compare(
            _: nn.Module,
            inputs: tuple[Tensor, ...],
            output: Tensor,
            layer: LayerPlan = layer,
            other: Tensor = other,
        ) -> Tensor:
            assert layer.grid is not None
            tell(_compared(layer, inputs[0], output, other, limits.tie_distance))
            return (other - layer.grid.zero) * layer.grid.scale

        hooks.append(module.input_quantizer.register_forward_hook(compare))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _compared(
    layer: LayerPlan, x: Tensor, output: Tensor, other: Tensor, tie_distance: float
) -> LayerReplay:
    grid = layer.grid
    assert grid is not None
    if other.shape != x.shape:
        raise ExportError(
            f"input codes of {layer.name} must have shape {tuple(x.shape)}, the engine gave "
            f"{tuple(other.shape)}"
        )
    own = torch.round(output / grid.scale + grid.zero)
    at = own != other
    mine, theirs = own[at], other[at]
    threshold = (mine + theirs) / 2
    distance = (threshold - (x[at] * grid.multiplier + grid.zero).clamp(0, grid.top)).abs()
    is_tie = ((mine - theirs).abs() == 1) & (distance < tie_distance)
    return LayerReplay(
        name=layer.name,
        top=grid.top,
        n_codes=x.numel(),
        n_ties=int(is_tie.sum()),
        n_wrong=int((~is_tie).sum()),
        furthest=float(distance[is_tie].max()) if bool(is_tie.any()) else 0.0,
    )


class _Counts:
    """What one engine has shown so far."""

    def __init__(self, plan: NetworkPlan) -> None:
        self.layers = {
            layer.name: LayerReplay(name=layer.name, top=layer.grid.top)
            for layer in plan.layers
            if layer.grid is not None
        }
        self.n_images = self._n_equal = self._n_plain_equal = 0
        self._n_right = self._n_torch_right = self._n_labels = 0
        self._difference = self._plain_difference = 0.0

    def add(
        self,
        run: EngineRun,
        replayed: NDArray[np.float32],
        layers: list[LayerReplay],
        plain: NDArray[np.float32],
        labels: Tensor | None,
    ) -> None:
        """Count a batch."""
        for new in layers:
            old = self.layers[new.name]
            self.layers[new.name] = LayerReplay(
                name=new.name,
                top=new.top,
                n_codes=old.n_codes + new.n_codes,
                n_ties=old.n_ties + new.n_ties,
                n_wrong=old.n_wrong + new.n_wrong,
                furthest=max(old.furthest, new.furthest),
            )
        chosen = run.logits.argmax(1)
        self.n_images += len(chosen)
        self._n_equal += int((chosen == replayed.argmax(1)).sum())
        self._n_plain_equal += int((chosen == plain.argmax(1)).sum())
        self._difference = _larger(self._difference, run.logits, replayed)
        self._plain_difference = _larger(self._plain_difference, run.logits, plain)
        if labels is not None:
            expected = labels.numpy()
            self._n_labels += len(expected)
            self._n_right += int((chosen == expected).sum())
            self._n_torch_right += int((plain.argmax(1) == expected).sum())

    def result(self, engine: str, limits: ReplayLimits) -> Replay:
        """All of it."""
        n = self._n_labels
        return Replay(
            engine=engine,
            n_images=self.n_images,
            layers=tuple(self.layers.values()),
            logit_difference=self._difference,
            n_argmax_equal=self._n_equal,
            plain_logit_difference=self._plain_difference,
            n_plain_argmax_equal=self._n_plain_equal,
            top1=100 * self._n_right / n if n else None,
            torch_top1=100 * self._n_torch_right / n if n else None,
            limits=limits,
        )


def _larger(so_far: float, a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    return float(np.maximum(so_far, np.abs(a - b).max()))  # passes on what is not a number
