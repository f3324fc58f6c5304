"""Whether an engine runs the network that torch runs, decided on integer codes.

No two float engines give equal logits at few bits: where an activation comes within a rounding
error of the threshold between two codes, each may take the other one, and the change spreads.
So the engine's codes are replayed: the torch network takes them over, layer by layer, and they may
differ from its own only at such a threshold. After that everything else has to agree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from qfa_search.deployment.plan import LayerPlan, NetworkPlan
from qfa_search.errors import ExportError
from qfa_search.supernet.extract import StaticLayer, StaticNetwork
from qfa_search.supernet.mobilenet_v3 import key


@dataclass(frozen=True, slots=True)
class EngineRun:
    """What an engine made of a batch of n images.

    Attributes:
        codes: Input codes of every quantized layer by its name, integers counted from 0, of the
            shape of the layer's input `(n, channels, height, width)` or `(n, channels)`.
        logits: float32 `(n, n_classes)`.
    """

    codes: Mapping[str, NDArray[np.integer]]
    logits: NDArray[np.float32]


Engine = Callable[[NDArray[np.float32]], EngineRun]
"""Runs normalized images `(n, channels, R, R)`."""

Batches = Iterable[tuple[Tensor, Tensor | None]]
"""Normalized images and their labels, or None for labels that are not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayLimits:
    """What may differ.

    Attributes:
        tie_distance: How near to the threshold torch's value must be, in codes, if the engine
            takes the other code.
        tie_share: Of codes of up to 4 bits, how many may be such ties. Finer grids have more:
            rounding errors grow with the code, so 8-bit codes may have 17 times as many.
        tie_allowance: And how many beside that.
        logit_difference: Largest difference of a logit once ties are decided alike.
    """

    tie_distance: float = 1e-3
    tie_share: float = 1e-6
    tie_allowance: int = 3
    logit_difference: float = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerReplay:
    """The input codes of one layer over all images.

    Attributes:
        name: Path of the layer.
        top: Its largest code.
        n_codes: Codes compared.
        n_ties: Differing ones at a rounding threshold.
        n_wrong: Other differing ones.
        furthest: Largest distance of a tie from its threshold, in codes.
    """

    name: str
    top: int
    n_codes: int = 0
    n_ties: int = 0
    n_wrong: int = 0
    furthest: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """One engine against the torch network on the same images.

    Attributes:
        engine: Its name.
        n_images: Images compared.
        layers: Every quantized layer in the order they run.
        logit_difference: Largest, with ties decided as the engine did.
        n_argmax_equal: Images with the same class, likewise.
        plain_logit_difference: Largest, each deciding ties for itself.
        n_plain_argmax_equal: Images with the same class, likewise.
        top1: Percent that the engine gets right; None without labels.
        torch_top1: Percent that the torch network gets right.
        limits: What may differ.
    """

    engine: str
    n_images: int
    layers: tuple[LayerReplay, ...]
    logit_difference: float
    n_argmax_equal: int
    plain_logit_difference: float
    n_plain_argmax_equal: int
    top1: float | None
    torch_top1: float | None
    limits: ReplayLimits = field(default_factory=ReplayLimits)

    @property
    def n_codes(self) -> int:
        """Codes compared."""
        return sum(layer.n_codes for layer in self.layers)

    @property
    def n_ties(self) -> int:
        """Codes that differ at a rounding threshold."""
        return sum(layer.n_ties for layer in self.layers)

    @property
    def n_wrong(self) -> int:
        """Codes that differ elsewhere."""
        return sum(layer.n_wrong for layer in self.layers)

    @property
    def failure(self) -> str | None:
        """Why the engine runs another network, and the layer that shows it; None if it does not."""
        wrong = next((layer for layer in self.layers if layer.n_wrong), None)
        if wrong is not None:
            return (
                f"{self.n_wrong} of {self.n_codes} codes are wrong, first in the input of "
                f"{wrong.name}: {wrong.n_wrong} of {wrong.n_codes}"
            )
        weighted = sum(layer.n_codes * max(1, layer.top / 15) for layer in self.layers)
        allowed = self.limits.tie_share * weighted + self.limits.tie_allowance
        if self.n_ties > allowed:
            first = max(self.layers, key=lambda layer: layer.n_ties / max(layer.n_codes, 1))
            return (
                f"{self.n_ties} of {self.n_codes} codes are ties, at most {allowed:.0f} can be "
                f"rounding; most in the input of {first.name}: {first.n_ties} of {first.n_codes}"
            )
        # Not "greater": a difference that is no number must fail as well.
        if not self.logit_difference <= self.limits.logit_difference:
            return (
                f"all codes agree, but logits differ by {self.logit_difference:.2g}, at most "
                f"{self.limits.logit_difference:.2g} can be rounding: the last layer, "
                f"{self.layers[-1].name if self.layers else 'of the network'}, computes otherwise"
            )
        if self.n_argmax_equal < self.n_images:
            return f"{self.n_images - self.n_argmax_equal} images have another class"
        return None

    def summary(self) -> str:
        """What was seen, for a reader, without the engine."""
        top1 = ""
        if self.top1 is not None:
            top1 = f", top-1 {self.top1:.2f} (torch {self.torch_top1:.2f})"
        return (
            f"{self.n_images} images, {self.n_codes} codes, {self.n_wrong} wrong, "
            f"{self.n_ties} ties, logits within {self.logit_difference:.1e} after replay, class "
            f"equal {self.n_argmax_equal}/{self.n_images} (plainly "
            f"{self.n_plain_argmax_equal}/{self.n_images}){top1}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        values = {name: value for name, value in asdict(self).items() if name != "layers"}
        ties = {layer.name: layer.n_ties for layer in self.layers if layer.n_ties}
        counts = {"n_codes": self.n_codes, "n_ties": self.n_ties, "n_wrong": self.n_wrong}
        return values | counts | {"ties_by_layer": ties}


class Comparison(Protocol):
    """What was seen of one engine, whatever it was compared by."""

    @property
    def engine(self) -> str:
        """Its name."""

    @property
    def failure(self) -> str | None:
        """Why it does not run the network; None if it does."""

    def summary(self) -> str:
        """What was seen, for a reader, without the engine."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""


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
