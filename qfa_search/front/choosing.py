"""Which members of a front are meant: asked for, evenly spread, at the knee, measured best."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qfa_search.errors import InfeasibleBudgetError
from qfa_search.front.dominance import non_dominated_mask
from search_spaces.arrays import Floats
from search_spaces.plain_data import shown


def indices_of(n_members: int, wanted: slice | NDArray[Any] | Sequence[int]) -> NDArray[np.int64]:
    """The members that a slice, mask or list of indices asks for, each once and in order.

    Raises:
        IndexError: No such member, a mask of another length, or no index at all.
    """
    if isinstance(wanted, slice):
        return np.arange(n_members)[wanted]
    indices = np.asarray(wanted)
    if indices.ndim != 1 or (len(indices) and indices.dtype.kind not in "biu"):
        raise IndexError(f"a front takes an index, a slice, a mask or indices, got {shown(wanted)}")
    indices = indices if len(indices) else indices.astype(np.int64)
    return np.unique(np.arange(n_members)[indices])


def evenly_spread(n_members: int, n: int) -> NDArray[np.int64]:
    """At most `n` indices evenly spread over all members, both ends included."""
    return np.unique(np.linspace(0, n_members - 1, min(max(n, 1), n_members)).round()).astype(
        np.int64
    )


def knee(F: Floats) -> int:
    """The row of objectives `(n, n_obj)` farthest from the line (or plane) through the ends.

    Every objective is scaled to 0..1 between them. The ends are the best members by each objective;
    where some are one and the same, as by costs that fall together, these share their weight.
    """
    span = np.ptp(F, axis=0)
    scaled = (F - F.min(axis=0)) / np.where(span > 0, span, 1.0)
    scaled = np.where(np.isfinite(scaled), scaled, 0.0)  # of what nobody knows none is better
    ends = scaled[scaled.argmin(axis=0)]
    normal = np.linalg.lstsq(ends, np.ones(len(ends)), rcond=None)[0].clip(min=0).round(9)
    return int((scaled @ normal).argmin())


def best_measured(top1: Floats, F: Floats, min_top1: float) -> NDArray[np.int64]:
    """The measured members that no other measured one dominates, and that hold `min_top1`.

    Args:
        top1: Measured accuracies, percent, `(n,)`; NaN where not measured.
        F: Objectives, all minimized, `(n, n_obj)`.
        min_top1: Percent.

    Raises:
        InfeasibleBudgetError: No member was measured, or none holds `min_top1`.
    """
    known = np.flatnonzero(~np.isnan(top1))
    kept = known[top1[known] >= min_top1]
    if not len(kept):
        best = f"the best reached {np.nanmax(top1):.2f}" if len(known) else "none"
        raise InfeasibleBudgetError(
            f"no measured subnet reaches min_top1={min_top1:g} ({best}): "
            "lower min_top1 or measure more members"
        )
    return kept[non_dominated_mask(F[kept])]
