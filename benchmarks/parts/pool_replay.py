"""A search replayed on subnets that were all measured: which ones would it have measured?"""

from __future__ import annotations

import moocore
import numpy as np
from numpy.typing import NDArray

from benchmarks.parts.measured_subnets import MeasuredSubnets
from qfa_search.front.dominance import hypervolume

# Worst M MACs and top-1 of the published hypervolumes.
REF_POINT = (400.0, 70.0)
# DyNAS-T on the same supernet, one seed, hypervolume by number of measured subnets.
LINAS = {50: 1248.6, 100: 1333.9, 150: 1493.6, 200: 1502.8, 250: 1516.1, 300: 1573.7}
LINAS |= {400: 1601.5, 500: 1610.2}
NSGA2 = {50: 1224.1, 100: 1309.3, 150: 1392.4, 200: 1430.7, 250: 1438.2, 300: 1478.7}
NSGA2 |= {400: 1510.1, 500: 1530.7}


def measured_hypervolume(data: MeasuredSubnets, rows: NDArray[np.int64]) -> float:
    """Hypervolume of some measured subnets, M MACs times percent points."""
    F = np.column_stack([data.mflops()[rows], -data.top1[rows]])
    return hypervolume(F, (REF_POINT[0], -REF_POINT[1]))


def replay(data: MeasuredSubnets, seed: int, budget: int, batch: int) -> dict[int, float]:
    """Hypervolume by number of subnets measured: fit, choose the best predicted, measure.

    Starts with a random batch. Each further batch are the subnets of the best predicted fronts
    that were not measured yet; of the last of these fronts some at random.
    """
    rng = np.random.default_rng(seed)
    mflops = data.mflops()
    known = rng.permutation(len(data.X))[:batch]
    found = {len(known): measured_hypervolume(data, known)}
    while len(known) < min(budget, len(data.X)):
        others = np.setdiff1d(np.arange(len(data.X)), known)
        others = others[mflops[others] <= REF_POINT[0]]
        if not len(others):
            break
        top1 = data.fit(known, seed).predict(data.X[others])
        ranks = moocore.pareto_rank(np.column_stack([mflops[others], -top1]))
        order = np.lexsort((rng.random(len(others)), ranks))
        known = np.concatenate([known, others[order[:batch]]])
        found[len(known)] = measured_hypervolume(data, known)
    return found


def random_choice(data: MeasuredSubnets, seed: int, budget: int, batch: int) -> dict[int, float]:
    """Hypervolume by number of subnets measured in random order."""
    order = np.random.default_rng(seed).permutation(len(data.X))
    sizes = range(batch, min(budget, len(order)) + 1, batch)
    return {n: measured_hypervolume(data, order[:n]) for n in sizes}
