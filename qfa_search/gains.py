"""Which points to add to a front when only a few can be."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qfa_search.pareto import hypervolume, non_dominated_mask


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
