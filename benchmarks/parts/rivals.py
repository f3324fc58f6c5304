"""Other ways to search a space, all watched by the same recorder.

Every search sees genomes only through a `Recorder`, which counts them and keeps the front of
those inside the limit. All of NSGA-II but ours are pymoo's algorithm with other operators.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.mutation import Mutation
from pymoo.core.problem import Problem as PymooProblem
from pymoo.operators.crossover.sbx import SBX
from pymoo.operators.mutation.pm import PM
from pymoo.operators.repair.rounding import RoundingRepair
from pymoo.optimize import minimize

from predictors import cost_arrays
from qfa_search import search
from qfa_search.evolution.config import PUBLISHED_CROSSOVER_PROB, PUBLISHED_MUTATION_PROB
from qfa_search.evolution.operators import UniformExchange
from qfa_search.evolution.problem import Predictor
from qfa_search.evolution.seen import SeenGenomes
from qfa_search.front.dominance import hypervolume, non_dominated_mask
from search_spaces import GenomeLayout, SearchSpace
from search_spaces.arrays import Floats
from search_spaces.genome import Genomes

# As DyNAS-T configures pymoo's operators.
SBX_PROB, SBX_ETA, PM_PROB, PM_ETA = 0.9, 15.0, 0.02, 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What all searches are given.

    Attributes:
        name: What tables call it.
        oracle: Says the top-1 of every genome.
        limit: Most mflops of a subnet.
        ref_point: Worst mflops and top-1 of the hypervolume.
    """

    name: str
    oracle: Predictor
    limit: float
    ref_point: tuple[float, float]

    @property
    def space(self) -> SearchSpace:
        """Space of the oracle."""
        return self.oracle.space


@dataclass(slots=True)
class Recorder:
    """A predictor that remembers what it was asked.

    Attributes:
        problem: Where the answers come from.
        F: Front of the answers inside the limit: mflops and negative top-1, `(n, 2)`.
        trace: After each batch, genomes asked for so far and hypervolume of the front.
    """

    problem: Problem
    F: Floats = field(default_factory=lambda: np.empty((0, 2)))
    trace: list[tuple[int, float]] = field(default_factory=lambda: [(0, 0.0)])

    @property
    def space(self) -> SearchSpace:
        """Space of the genomes."""
        return self.problem.space

    def predict(self, X: Genomes) -> Floats:
        """The oracle's top-1 in percent, `(n,)`."""
        return self.answer(X)[1]

    def answer(self, X: Genomes) -> tuple[Floats, Floats]:
        """Costs and the oracle's top-1 of genomes, both `(n,)`."""
        X = self.space.layout.canonicalize(X)
        mflops = np.asarray(cost_arrays(self.space, X, ["mflops"])["mflops"])
        top1 = np.asarray(self.problem.oracle.predict(X), dtype=np.float64)
        inside = mflops <= self.problem.limit
        F = np.concatenate([self.F, np.column_stack([mflops, -top1])[inside]])
        self.F = F[non_dominated_mask(F)]
        worst_cost, worst_top1 = self.problem.ref_point
        volume = hypervolume(self.F, (worst_cost, -worst_top1))
        self.trace.append((self.trace[-1][0] + len(X), volume))
        return mflops, top1


def affordable(problem: Problem, rng: np.random.Generator, n: int) -> Genomes:
    """`n` different random genomes inside the limit.

    Where uniformly drawn ones are too expensive, they are mixed with the cheapest genome; how
    much of it they take is random as well.
    """
    layout = problem.space.layout
    seen = SeenGenomes()
    found: list[Genomes] = []
    mixed = False
    while sum(map(len, found)) < n:
        X = layout.sample(rng, n)
        if mixed:
            kept = rng.random(X.shape) < rng.random((n, 1))
            X = layout.canonicalize(np.where(kept, X, layout.lowest()))
        X = X[cost_arrays(problem.space, X, ["mflops"])["mflops"] <= problem.limit]
        found.append(X[seen.mark_new(X)])
        mixed = mixed or len(X) < n // 10
    return np.concatenate(found)[:n]


class UniformMutation(Mutation):
    """Each gene moves with the same chance, to any of its other choices."""

    def __init__(self, layout: GenomeLayout, gene_prob: float) -> None:
        """Move each gene of `layout` with probability `gene_prob`."""
        super().__init__(prob=1.0)
        self.n_choices = layout.n_choices
        self.gene_prob = gene_prob

    def _do(
        self,
        problem: PymooProblem,
        X: Genomes,
        *_: object,
        random_state: np.random.Generator,
        **__: object,
    ) -> Genomes:
        moved = (random_state.random(X.shape) < self.gene_prob) & (self.n_choices > 1)
        offset = random_state.integers(1, np.maximum(self.n_choices, 2), size=X.shape)
        return np.where(moved, (X + offset) % self.n_choices, X)


class _PymooProblem(PymooProblem):
    def __init__(self, recorder: Recorder) -> None:
        layout = recorder.space.layout
        upper = layout.n_choices - 1
        super().__init__(n_var=layout.n_genes, n_obj=2, n_ieq_constr=1, xl=0, xu=upper, vtype=int)
        self.recorder = recorder

    def _evaluate(self, X: Genomes, out: dict[str, Floats], *_: object, **__: object) -> None:
        mflops, top1 = self.recorder.answer(np.asarray(X, dtype=np.int64))
        out["F"] = np.column_stack([mflops, -top1])
        out["G"] = mflops[:, None] / self.recorder.problem.limit - 1


def published_operators(recorder: Recorder, start: Genomes, generations: int, seed: int) -> None:
    """The operators of the released search inside pymoo's NSGA-II.

    Uniform exchange of differing genes, mutation to any other choice, at the released
    probabilities. The released loop differs elsewhere: it has no limit, chooses parents without
    a tournament, mutates twice, and its crowding selection keeps as many of the last front as
    it should drop.
    """
    layout = recorder.space.layout
    algorithm = NSGA2(
        pop_size=len(start),
        sampling=start,
        crossover=UniformExchange(PUBLISHED_CROSSOVER_PROB),
        mutation=UniformMutation(layout, PUBLISHED_MUTATION_PROB),
        eliminate_duplicates=SeenGenomes(),
    )
    minimize(_PymooProblem(recorder), algorithm, ("n_gen", generations + 1), seed=seed)


def integer_sbx_pm(recorder: Recorder, start: Genomes, generations: int, seed: int) -> None:
    """Pymoo's NSGA-II with its crossover and mutation for real numbers, rounded.

    The settings are those of DyNAS-T.
    """
    rounding = {"vtype": float, "repair": RoundingRepair()}
    algorithm = NSGA2(
        pop_size=len(start),
        sampling=start,
        crossover=SBX(prob=SBX_PROB, eta=SBX_ETA, **rounding),
        mutation=PM(prob=PM_PROB, eta=PM_ETA, **rounding),
        eliminate_duplicates=True,
    )
    minimize(_PymooProblem(recorder), algorithm, ("n_gen", generations + 1), seed=seed)


def random_search(recorder: Recorder, start: Genomes, generations: int, seed: int) -> None:
    """Goes on drawing genomes the way the start was drawn."""
    recorder.answer(start)
    rng = np.random.default_rng([seed, 2])
    for _ in range(generations):
        recorder.answer(affordable(recorder.problem, rng, len(start)))


def our_search(recorder: Recorder, start: Genomes, generations: int, seed: int) -> None:
    """`qfa_search.search` with its defaults."""
    search(
        space=recorder.space,
        predictor=recorder,
        initial=start,
        max_mflops=recorder.problem.limit,
        population=len(start),
        generations=generations,
        seed=seed,
    )


OURS = "ours"
SEARCHES: dict[str, Callable[[Recorder, Genomes, int, int], None]] = {
    OURS: our_search,
    "published operators": published_operators,
    "pymoo integer SBX/PM": integer_sbx_pm,
    "random search": random_search,
}
