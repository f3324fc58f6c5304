"""The population that a search starts from: given genomes, uniform precision, random ones."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from qfa_search.evolution.seen import SeenGenomes
from search_spaces import GenomeLayout
from search_spaces.arrays import Floats
from search_spaces.genome import Genomes

# Shares of genes that an infeasible genome keeps; the others take their cheapest choice.
KEPT_SHARES = (0.8, 0.6, 0.45, 0.3, 0.2, 0.1, 0.05, 0.02)
# Random fills that may bring nothing new before a nearly exhausted space is given up.
MAX_DRAWS = 20
FeasibleMask = Callable[[Genomes], NDArray[np.bool_]]


def initial_population(
    layout: GenomeLayout,
    rng: np.random.Generator,
    n: int,
    is_affordable: FeasibleMask,
    cheapest: Genomes,
    given: Genomes | None = None,
) -> Genomes:
    """Up to `n` different canonical genomes inside the cost limits.

    First the `given` ones that fit, then the cheapest subnet, subnets with one bit width
    throughout, then random ones. What does not fit is mixed with the cheapest subnet until it
    does.

    Args:
        layout: Layout of the genomes.
        rng: Source of randomness.
        n: Wanted number.
        is_affordable: Which genomes are inside the cost limits.
        cheapest: One that is, `(n_genes,)`.
        given: Genomes to start from, `(m, n_genes)`; all that fit are used, be they more than `n`.

    Returns:
        Genomes `(m, n_genes)`; m < n only if the space or what the limits leave of it seems to
        have no more.
    """
    seen = SeenGenomes()
    chosen: list[Genomes] = []

    def take(X: Genomes) -> None:
        missing = max(0, n - sum(len(part) for part in chosen))
        chosen.append(X[seen.mark_new(X)][:missing])

    if given is not None and len(given):
        start = layout.canonicalize(layout.check(given))
        start = start[is_affordable(start)]
        chosen.append(start[seen.mark_new(start)])
    take(cheapest[None])
    uniform = uniform_precision(layout, rng, n // 4)
    take(shrink_to_fit(layout, uniform, is_affordable, cheapest, rng))
    for _ in range(MAX_DRAWS):
        if sum(len(part) for part in chosen) >= n:
            break
        take(shrink_to_fit(layout, layout.sample(rng, n), is_affordable, cheapest, rng))
    return np.concatenate(chosen)


def uniform_precision(layout: GenomeLayout, rng: np.random.Generator, n: int) -> Genomes:
    """About `n` canonical genomes with the same bits throughout each.

    All of `uniform_bits` on the smallest, the largest and random architectures; for a space in
    floating point just these architectures.
    """
    pairs = layout.uniform_bits
    n_random = max(1, n // len(pairs) - 2)
    shapes = np.stack([layout.lowest(), layout.n_choices - 1, *layout.sample(rng, n_random)])
    X = np.tile(shapes, (len(pairs), 1))
    if not layout.is_float:
        start = layout.groups["first_block_bits"].start
        for side, widths in enumerate(
            ([pair.w_bits for pair in pairs], [pair.a_bits for pair in pairs])
        ):
            choices = layout.genes[start + side].choices
            index = [choices.index(bits) for bits in widths]
            X[:, start + side :: 2] = np.repeat(index, len(shapes))[:, None]
    return layout.canonicalize(X)


def shrink_to_fit(
    layout: GenomeLayout,
    X: Genomes,
    is_affordable: FeasibleMask,
    cheapest: Genomes,
    rng: np.random.Generator,
) -> Genomes:
    """`X` with genes taken from `cheapest`, at random and ever more, until each fits.

    Genomes that fit stay as they are; the last resort is `cheapest` itself.
    """
    fitted = X.copy()
    todo = np.flatnonzero(~is_affordable(fitted))
    for share in KEPT_SHARES:
        if not len(todo):
            break
        kept = rng.random((len(todo), layout.n_genes)) < share
        fitted[todo] = layout.canonicalize(np.where(kept, X[todo], cheapest))
        todo = todo[~is_affordable(fitted[todo])]
    fitted[todo] = cheapest
    return fitted


def cheapest_genome(layout: GenomeLayout, violation: Callable[[Genomes], Floats]) -> Genomes:
    """A genome with the least violation of the cost limits, `(n_genes,)`.

    Every computed cost is least for the lowest genome. Measured latencies need not rise with
    the choices: then genes change one at a time, always the one that helps most, until the
    limits are met or no change helps.

    Args:
        layout: Layout of the genomes.
        violation: By how much genomes exceed the limits, `(n,)`, 0 inside.
    """
    best = layout.lowest()
    least = violation(best[None])[0]
    column = np.repeat(np.arange(layout.n_genes), layout.n_choices)
    choice = np.concatenate([np.arange(n) for n in layout.n_choices])
    while least > 0:
        changed = np.tile(best, (len(column), 1))
        changed[np.arange(len(column)), column] = choice
        changed = layout.canonicalize(changed)
        values = violation(changed)
        i = int(values.argmin())
        if not values[i] < least:
            break
        best, least = changed[i], values[i]
    return best
