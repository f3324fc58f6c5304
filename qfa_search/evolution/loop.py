"""NSGA-II over genomes, with an archive of everything worth keeping."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import moocore
import numpy as np
from numpy.typing import NDArray
from pymoo.operators.survival.rank_and_crowding.metrics import get_crowding_function

from qfa_search.evolution.operators import GeneMutation, UniformExchange, mates, tournament
from qfa_search.evolution.problem import SubnetProblem
from qfa_search.evolution.seen import SeenGenomes
from qfa_search.front.dominance import hypervolume, non_dominated_mask
from search_spaces.arrays import Floats
from search_spaces.genome import Genomes

CROWDING = get_crowding_function("cd")
# Matings per generation that may fall short of new genomes before a smaller one will do.
MAX_MATINGS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchProgress:
    """Where a search stands after a generation.

    Attributes:
        generation: Generations done; 0 is the initial population.
        generations: Generations to do.
        n_evaluated: Genomes evaluated so far, all different.
        front_size: Feasible members that no other one dominates, over the whole run.
        hypervolume: Share of the box between no accuracy at the highest allowed cost and full
            accuracy for free that the front dominates, 0 to 1.
    """

    generation: int
    generations: int
    n_evaluated: int
    front_size: int
    hypervolume: float


class Archive:
    """The non-dominated feasible genomes of all that were evaluated; never loses one.

    Attributes:
        X: Genomes, `(n, n_genes)`.
        F: Their objectives, `(n, n_obj)`.
        n_evaluated: How many genomes were shown to it.
        least_shortfall: Least last constraint of all that hold the ones before: how far
            min_top1, which comes last, was missed inside the cost limits.
    """

    def __init__(self, n_genes: int, n_obj: int) -> None:
        """Start empty."""
        self.X: Genomes = np.empty((0, n_genes), dtype=np.int64)
        self.F: Floats = np.empty((0, n_obj))
        self.n_evaluated = 0
        self.least_shortfall = np.inf

    def add(self, X: Genomes, out: dict[str, Floats]) -> None:
        """Take in evaluated genomes with their F, G and CV; earlier ones win ties."""
        feasible = (out["G"] <= 0).all(axis=1)
        F = np.concatenate([self.F, out["F"][feasible]])
        kept = non_dominated_mask(F)
        self.X = np.concatenate([self.X, X[feasible]])[kept]
        self.F = F[kept]
        self.n_evaluated += len(X)
        if out["G"].shape[1]:
            affordable = (out["G"][:, :-1] <= 0).all(axis=1)
            least = out["G"][affordable, -1].min(initial=np.inf)
            self.least_shortfall = min(self.least_shortfall, float(least))


@dataclass(frozen=True, slots=True, kw_only=True)
class Population:
    """Survivors of a generation, as arrays.

    Attributes:
        X: Canonical genomes, `(n, n_genes)`, all different.
        F: Objectives, all minimized, `(n, n_obj)`.
        CV: Constraint violation, `(n,)`, 0 if feasible.
        rank: Non-domination rank from 0; infeasible genomes come after, the less violation the
            sooner, `(n,)`.
        crowding: Crowding distance inside the rank, `(n,)`; more is better.
    """

    X: Genomes
    F: Floats
    CV: Floats
    rank: NDArray[np.int64]
    crowding: Floats


@dataclass(slots=True, kw_only=True)
class SearchState:
    """All that the further course of a search depends on.

    Attributes:
        generation: Generations done.
        population: Survivors of the last one.
        archive: The front so far.
        seen: Every genome that was evaluated.
        rng: Source of all randomness.
        hypervolumes: What `SearchProgress` told of each generation so far, the initial one first.
    """

    generation: int
    population: Population
    archive: Archive
    seen: SeenGenomes
    rng: np.random.Generator
    hypervolumes: list[float] = field(default_factory=list)


def first_state(problem: SubnetProblem, initial: Genomes, archive: Archive) -> SearchState:
    """The state before the first generation.

    Args:
        problem: Genomes to F and G; its `on_evaluated` is `archive.add`.
        initial: Different canonical genomes, `(n, n_genes)`.
        archive: Receives every evaluation.
    """
    seen = SeenGenomes()
    seen.mark_new(initial)
    size = max(problem.config.population, len(initial))
    return SearchState(
        generation=0,
        population=survivors(*_evaluated(problem, initial), size),
        archive=archive,
        seen=seen,
        rng=np.random.default_rng(problem.config.seed),
    )


def evolve(
    problem: SubnetProblem,
    state: SearchState,
    ref_point: Floats,
    listener: Callable[[SearchProgress], None] | None = None,
    keeper: Callable[[SearchState], None] | None = None,
) -> None:
    """Run NSGA-II on from `state`; what it finds is in its archive, which the problem feeds.

    The parts are pymoo's and moocore's: problem, operators, sorting, crowding distance. The loop
    around them is not pymoo's, which keeps every individual as a Python object and spends more
    time on those than the predictor needs.

    Args:
        problem: Genomes to F and G; its `on_evaluated` is the archive's `add`.
        state: Where to start; changed from generation to generation.
        ref_point: Worst value of each objective in `F`, for the reported hypervolume.
        listener: Called with the progress at the start and after each generation.
        keeper: Called with the state at the same times.

    References:
        Deb et al., A fast and elitist multiobjective genetic algorithm: NSGA-II, IEEE Trans.
        Evol. Comput. 6(2), 2002.
    """
    config, archive = problem.config, state.archive
    start = state.generation
    for generation in range(start, config.generations + 1):
        if generation > start:
            offspring = breed(problem, state.population, state.seen, state.rng)
            X, F, CV = _evaluated(problem, offspring)
            state.population = survivors(
                np.concatenate([state.population.X, X]),
                np.concatenate([state.population.F, F]),
                np.concatenate([state.population.CV, CV]),
                config.population,
            )
            state.generation = generation
        if len(state.hypervolumes) == generation:  # a resumed search knows its first one
            share = _share_of_box(archive.F, ref_point, config.objectives)
            state.hypervolumes.append(share)
        if keeper is not None:
            keeper(state)
        if listener is not None:
            listener(
                SearchProgress(
                    generation=generation,
                    generations=config.generations,
                    n_evaluated=archive.n_evaluated,
                    front_size=len(archive.X),
                    hypervolume=state.hypervolumes[-1],
                )
            )


def breed(
    problem: SubnetProblem, population: Population, seen: SeenGenomes, rng: np.random.Generator
) -> Genomes:
    """Up to as many new canonical genomes as the search's population has members.

    Fewer come when mating hardly finds genomes that were not seen before; none when the space
    is exhausted.
    """
    config = problem.config
    crossover = UniformExchange(config.crossover_prob)
    mutation = GeneMutation(problem.space.layout, config.mutation_prob)
    offspring = np.empty((0, population.X.shape[1]), dtype=np.int64)
    for _ in range(MAX_MATINGS):
        missing = config.population - len(offspring)
        if missing == 0:
            break
        parents = tournament(population.rank, population.crowding, 4 * -(-missing // 4), rng)
        pairs = population.X[mates(population.F, parents, rng)]
        X = crossover._do(problem, pairs, random_state=rng).reshape(-1, pairs.shape[2])
        X = mutation._do(problem, X, random_state=rng)[:missing]
        offspring = np.concatenate([offspring, X[seen.mark_new(X)]])
    return offspring


def survivors(X: Genomes, F: Floats, CV: Floats, n: int) -> Population:
    """The best `n` of the evaluated genomes by NSGA-II's rules.

    Feasible before infeasible; the feasible by non-domination rank, and inside the last rank
    that fits in part by crowding distance; the infeasible by their violation.
    """
    feasible = CV <= 0
    rank = np.empty(len(X), dtype=np.int64)
    crowding = np.zeros(len(X))
    rank[feasible] = moocore.pareto_rank(F[feasible]) if feasible.any() else 0
    n_ranks = int(rank[feasible].max(initial=-1)) + 1
    order = np.argsort(CV[~feasible], kind="stable")
    rank[np.flatnonzero(~feasible)[order]] = n_ranks + np.arange(len(order))
    n_ranked = 0
    for level in range(n_ranks):
        if n_ranked >= n:
            break
        front = np.flatnonzero(rank == level)
        n_ranked += len(front)
        crowding[front] = CROWDING.do(F[front])
    kept = np.lexsort((-crowding, rank))[:n]
    return Population(X=X[kept], F=F[kept], CV=CV[kept], rank=rank[kept], crowding=crowding[kept])


def _evaluated(problem: SubnetProblem, X: Genomes) -> tuple[Genomes, Floats, Floats]:
    if not len(X):
        return X, np.empty((0, problem.n_obj)), np.empty(0)
    F, CV = problem.evaluate(X, return_values_of=["F", "CV"])
    return X, F, CV[:, 0]


def _share_of_box(F: Floats, ref_point: Floats, objectives: tuple[str, ...]) -> float:
    # Scaled so that the box is 1 x 1: top1 counts from 0 to 100 percent, costs from 0.
    is_top1 = np.array([name == "top1" for name in objectives])
    return hypervolume(F / np.where(is_top1, 100.0, ref_point), np.where(is_top1, 0.0, 1.0))
