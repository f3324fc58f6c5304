"""NSGA-II's operators on integer genomes, each one NumPy step for the whole population.

Crossover, mutation and duplicate elimination are pymoo's own base classes, so that they serve
its algorithms as well; pymoo's default operators would turn genomes into floating point numbers.
Offspring leave the mutation in canonical form.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pymoo.core.crossover import Crossover
from pymoo.core.mutation import Mutation
from pymoo.core.problem import Problem

from search_spaces import GenomeLayout
from search_spaces.arrays import Floats
from search_spaces.genome import Genomes


class UniformExchange(Crossover):
    """Two parents swap each gene with the same chance; genes that agree stay.

    References:
        Syswerda, Uniform crossover in genetic algorithms, ICGA 1989.
    """

    def __init__(self, exchange_prob: float) -> None:
        """Exchange each differing gene with probability `exchange_prob`."""
        super().__init__(n_parents=2, n_offsprings=2, prob=1.0)
        self.exchange_prob = exchange_prob

    def _do(
        self,
        problem: Problem,
        X: Genomes,
        *_: object,
        random_state: np.random.Generator,
        **__: object,
    ) -> Genomes:
        exchanged = random_state.random(X.shape[1:], dtype=np.float32) < self.exchange_prob
        return np.where(exchanged, X[::-1], X)


class GeneMutation(Mutation):
    """Each gene moves to another of its choices with the same chance.

    Half of the moves go to a neighbouring choice (one kernel size, bit width or resolution up
    or down), half to any other one. The result is in canonical form.
    """

    def __init__(self, layout: GenomeLayout, gene_prob: float) -> None:
        """Move each gene of `layout` with probability `gene_prob`."""
        super().__init__(prob=1.0)
        self.layout = layout
        self.gene_prob = gene_prob

    def _do(
        self,
        problem: Problem,
        X: Genomes,
        *_: object,
        random_state: np.random.Generator,
        **__: object,
    ) -> Genomes:
        return mutate(self.layout, X, self.gene_prob, random_state)


def mutate(layout: GenomeLayout, X: Genomes, gene_prob: float, rng: np.random.Generator) -> Genomes:
    """Canonical copies of `X` with each gene moved to another choice with `gene_prob`.

    Args:
        layout: Layout of the genomes.
        X: Genomes, `(n, n_genes)`.
        gene_prob: Chance of each gene, 0 to 1; genes with one choice never move.
        rng: Source of randomness.

    Returns:
        New genomes, `(n, n_genes)`.
    """
    moved = rng.random(X.shape, dtype=np.float32) < gene_prob
    rows, columns = np.nonzero(moved & (layout.n_choices > 1))
    n_choices, old = layout.n_choices[columns], X[rows, columns]
    # An offset of 1..n-1 modulo n reaches every other choice equally often.
    anywhere = (old + rng.integers(1, n_choices)) % n_choices
    step = np.where(rng.random(len(old)) < 0.5, -1, 1)
    # At either end the only neighbour is inwards.
    step = np.where(old == 0, 1, np.where(old == n_choices - 1, -1, step))
    mutated = X.copy()
    mutated[rows, columns] = np.where(rng.random(len(old)) < 0.5, old + step, anywhere)
    return layout.canonicalize(mutated)


def tournament(
    rank: NDArray[np.int64], crowding: Floats, n: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Indices of `n` winners of binary tournaments: lower rank wins, then larger crowding.

    Everyone enters equally often, up to one time; ties go to either at random.

    References:
        Deb et al., A fast and elitist multiobjective genetic algorithm: NSGA-II, IEEE Trans.
        Evol. Comput. 6(2), 2002: the crowded-comparison operator.
    """
    n_rounds = -(-2 * n // len(rank))
    drawn = np.concatenate([rng.permutation(len(rank)) for _ in range(n_rounds)])
    first, second = drawn[: 2 * n].reshape(n, 2).T
    first_loses = (rank[first] > rank[second]) | (
        (rank[first] == rank[second]) & (crowding[first] < crowding[second])
    )
    return np.where(first_loses, second, first)


def mates(F: Floats, parents: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """The `parents` in pairs that lie close together on the front, `(2, n // 2)`.

    They are sorted by one objective, chosen at random, and each mates with the next but one, so
    that none meets itself if it is there twice. Good subnets of like cost differ by exchanges
    that leave the cost alone; half of these at once make a subnet that can compete, while a
    child of both ends of the front rarely does.

    Args:
        F: Objectives of the population, `(m, n_obj)`.
        parents: Indices of members, a multiple of four, `(n,)`.
        rng: Source of randomness.

    References:
        Ishibuchi and Shibata, Mating scheme for controlling the diversity-convergence balance
        for multiobjective optimization, GECCO 2004.
    """
    along = F[parents, rng.integers(F.shape[1])]
    fours = parents[np.argsort(along, kind="stable")].reshape(-1, 2, 2)
    return fours.transpose(1, 0, 2).reshape(2, -1)
