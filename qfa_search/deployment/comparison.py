"""What was seen of an engine: its codes, its logits, and how they compare with torch's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


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
    def has_run_file(self) -> bool:
        """Always: engines run files."""
        return True

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
            told = (
                f"logits differ by {self.logit_difference:.2g}, at most "
                f"{self.limits.logit_difference:.2g} can be rounding"
            )
            if not self.n_codes:
                return f"{told}; in floating point no codes tell which layer computes otherwise"
            return (
                f"all codes agree, but {told}: the last layer, {self.layers[-1].name}, "
                "computes otherwise"
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
    def n_images(self) -> int:
        """Images compared."""

    @property
    def top1(self) -> float | None:
        """Percent that it gets right; None without labels."""

    @property
    def has_run_file(self) -> bool:
        """Whether the file itself was run, or only what it was made of."""

    @property
    def failure(self) -> str | None:
        """Why it does not run the network; None if it does."""

    def summary(self) -> str:
        """What was seen, for a reader, without the engine."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
