"""Which points no other one dominates, how much they dominate, and which few to add."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def non_dominated_mask(F: ArrayLike) -> NDArray[np.bool_]:
    """Which rows of `F` no other row dominates; of equal rows only the first.

    Args:
        F: Objectives, all minimized, `(n, n_obj)`.

    Returns:
        Mask `(n,)`.
    """
    import moocore

    points = np.asarray(F, dtype=np.float64)
    if len(points) == 0:
        return np.zeros(0, dtype=bool)
    return np.asarray(moocore.is_nondominated(points), dtype=bool)


def hypervolume(F: ArrayLike, ref_point: ArrayLike) -> float:
    """Volume that the points dominate, up to `ref_point`; larger is better.

    Args:
        F: Objectives, all minimized, `(n, n_obj)`.
        ref_point: The worst corner of the box, `(n_obj,)`; points beyond it count nothing.

    Returns:
        The volume in the product of the objectives' units, at least 0.
    """
    import moocore

    points = np.asarray(F, dtype=np.float64)
    corner = np.asarray(ref_point, dtype=np.float64)
    if points.ndim != 2 or corner.shape != (points.shape[1],):
        raise ValueError(
            f"expected ref_point with one value per objective, got shape {corner.shape} "
            f"for points of shape {points.shape}"
        )
    return float(moocore.hypervolume(points, ref=corner)) if len(points) else 0.0


def largest_gains(
    F: ArrayLike, known: ArrayLike, ref_point: ArrayLike, n: int
) -> NDArray[np.int64]:
    """Which points add the most hypervolume, each to the known ones and those chosen before.

    Args:
        F: Objectives of the candidates, all minimized, `(n_candidates, n_obj)`.
        known: Objectives of the points that are there already, `(n_known, n_obj)`.
        ref_point: The worst corner of the box, `(n_obj,)`.
        n: How many to choose.

    Returns:
        Indices of at most `n` candidates, best first; fewer when no other one adds anything.
    """
    points = np.asarray(F, dtype=np.float64)
    front = np.asarray(known, dtype=np.float64).reshape(-1, points.shape[1])
    front = front[non_dominated_mask(front)]
    chosen: list[int] = []
    # A gain only shrinks while others are chosen: an old one is a bound, and few need computing.
    bounds = np.full(len(points), np.inf)
    while len(chosen) < n:
        volume = hypervolume(front, ref_point)
        best, gain = -1, 0.0
        for i in np.argsort(-bounds, kind="stable"):
            if bounds[i] <= gain:
                break
            bounds[i] = hypervolume(np.vstack([front, points[i]]), ref_point) - volume
            if bounds[i] > gain:
                best, gain = int(i), float(bounds[i])
        if best < 0:
            break
        chosen.append(best)
        front = np.vstack([front, points[best]])
        front = front[non_dominated_mask(front)]
    return np.array(chosen, dtype=np.int64)
