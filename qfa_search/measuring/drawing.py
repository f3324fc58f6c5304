"""Which subnets to measure: drawn over the whole range of cost."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from predictors import cost_arrays
from search_spaces import SearchSpace

N_STRATA = 20


# Drawn from at a time, for 2,500 samples; more samples with one seed extend fewer.
POOL = 50_000
SAMPLES_PER_POOL = 2_500


def draw_stratified(space: SearchSpace, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """`n` different canonical genomes, spread evenly over the logarithm of `mflops`.

    Uniform genes give costs around the middle only. Here every genome leans to small or large
    choices by an amount of its own, for architecture and bits apart; then equally many are
    taken from each of 20 strata of cost. The smallest and the largest subnet are always there.

    Args:
        space: Space to draw from.
        n: How many, at least 2.
        rng: Source of randomness.

    Raises:
        ValueError: `n` is below 2 or more than the space has.
    """
    layout = space.layout
    if n < 2:
        raise ValueError(f"the number of samples must be at least 2, got {n}")
    if n > space.size():
        raise ValueError(f"{space.name} has only {space.size()} subnets, {n} were asked for")
    pool = np.concatenate(
        [
            layout.lowest()[None],
            layout.highest()[None],
            _leaning(space, POOL * math.ceil(n / SAMPLES_PER_POOL), rng),
        ]
    )
    _, first = np.unique(pool, axis=0, return_index=True)
    pool = pool[np.sort(first)]
    cost = np.log(cost_arrays(space, pool, ["mflops"])["mflops"])
    edges = np.linspace(cost.min(), cost.max(), N_STRATA + 1)
    stratum = np.clip(np.digitize(cost, edges) - 1, 0, N_STRATA - 1)
    # The k-th genome of every stratum comes before the (k+1)-th of any.
    turn = np.zeros(len(pool), dtype=np.int64)
    for s in range(N_STRATA):
        members = np.flatnonzero(stratum == s)
        turn[members] = np.arange(len(members))
    turn[:2] = -1
    return pool[np.argsort(turn, kind="stable")[:n]]


def _leaning(space: SearchSpace, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Canonical genomes, each leaning to small or large choices by its own amounts."""
    layout = space.layout
    lean = rng.uniform(-1, 1, size=(n, 2))
    is_bits = np.arange(layout.n_genes) >= layout.groups["resolution"].stop
    exponent = np.exp(2 * lean)[:, is_bits.astype(np.int64)]
    share = rng.random((n, layout.n_genes)) ** exponent
    return layout.canonicalize((share * layout.n_choices).astype(np.int64))
