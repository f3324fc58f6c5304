"""One subnet of a front."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from search_spaces import SearchSpace, Subnet


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontMember:
    """One subnet of a front.

    Attributes:
        space: Its space.
        genome: Canonical choice indices, `n_genes` of them.
        top1: Accuracy in percent: measured if it was, else predicted.
        top1_predicted: By the predictor, percent.
        top1_spread: Standard deviation of the predictor, percent points; NaN if it has none.
        top1_measured: On the validation split, percent; NaN if not measured.
        extrapolates: Whether it is far from all that the predictor was fitted to.
        costs: Every cost column.
    """

    space: SearchSpace = field(repr=False)
    genome: tuple[int, ...] = field(repr=False)
    top1: float
    top1_predicted: float
    top1_spread: float
    top1_measured: float
    extrapolates: bool
    costs: dict[str, float]

    @property
    def subnet(self) -> Subnet:
        """The architecture and its bit widths."""
        return self.space.layout.decode(np.array(self.genome, dtype=np.int64))
