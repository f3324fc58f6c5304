"""Which subnets to measure: drawn over the whole range of cost."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from predictors import cost_arrays
from search_spaces import SearchSpace

N_STRATA = 20


# Genomes to choose from at a time, and how many of them are taken: a larger number of samples
# begins with those of a smaller one.
POOL = 50_000
SAMPLES_PER_POOL, LATER_SAMPLES_PER_POOL = 2_500, 25_000
MOST_SAMPLES = 250_000


def draw_stratified(space: SearchSpace, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """`n` different canonical genomes, spread evenly over the logarithm of `mflops`.

    Uniform genes give costs around the middle only. Here every genome leans to small or large
    choices by an amount of its own, for architecture and bits apart; then equally many are
    taken from each of 20 strata of cost. The smallest and the largest subnet are always there.

    Args:
        space: Space to draw from.
        n: How many, from 2 to 250,000.
        rng: Source of randomness.

    Raises:
        ValueError: `n` is out of range or more than the space has.
    """
    layout = space.layout
    if not 2 <= n <= MOST_SAMPLES:
        raise ValueError(
            f"the number of samples must be at least 2 and at most {MOST_SAMPLES:,}, got {n:,}; "
            "for more draw again with another seed"
        )
    if n > space.size():
        raise ValueError(f"{space.name} has only {space.size()} subnets, {n} were asked for")
    corners = np.stack([layout.lowest(), layout.highest()])
    low, high = np.log(cost_arrays(space, corners, ["mflops"])["mflops"])
    taken: list[NDArray[np.int64]] = []
    known: set[bytes] = set()
    share = SAMPLES_PER_POOL
    while (left := n - sum(map(len, taken))) > 0:
        pool = np.concatenate([corners, _leaning(space, POOL, rng)])
        first: dict[bytes, int] = {}
        for i, key in enumerate(_keys(pool)):
            first.setdefault(key, i)
        new = [i for key, i in first.items() if key not in known]
        chosen = _in_turns(space, pool[new], low, high)[: min(left, share)]
        if not len(chosen):
            break
        known.update(_keys(chosen))
        taken.append(chosen)
        share = LATER_SAMPLES_PER_POOL
    return np.concatenate(taken)


def _keys(X: NDArray[np.int64]) -> list[bytes]:
    return [genome.tobytes() for genome in X.astype(np.uint8)]


def _in_turns(
    space: SearchSpace, pool: NDArray[np.int64], low: float, high: float
) -> NDArray[np.int64]:
    """The genomes `pool`: the k-th of every stratum of cost before the (k+1)-th of any."""
    cost = np.log(cost_arrays(space, pool, ["mflops"])["mflops"])
    edges = np.linspace(low, high, N_STRATA + 1)
    stratum = np.clip(np.digitize(cost, edges) - 1, 0, N_STRATA - 1)
    turn = np.zeros(len(pool), dtype=np.int64)
    for s in range(N_STRATA):
        members = np.flatnonzero(stratum == s)
        turn[members] = np.arange(len(members))
    return pool[np.argsort(turn, kind="stable")]


def _leaning(space: SearchSpace, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Canonical genomes, each leaning to small or large choices by its own amounts."""
    layout = space.layout
    lean = rng.uniform(-1, 1, size=(n, 2))
    is_bits = np.arange(layout.n_genes) >= layout.groups["resolution"].stop
    exponent = np.exp(2 * lean)[:, is_bits.astype(np.int64)]
    share = rng.random((n, layout.n_genes)) ** exponent
    return layout.canonicalize((share * layout.n_choices).astype(np.int64))
