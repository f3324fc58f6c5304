"""`search()`, the one entry point that the command line calls as well."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from predictors import COST_COLUMNS, LatencyTable, cost_arrays
from predictors.latency import table_costs
from qfa_search.errors import InfeasibleBudgetError
from qfa_search.evolution.config import SearchConfig
from qfa_search.evolution.initial import cheapest_genome, initial_population
from qfa_search.evolution.loop import Archive, SearchProgress, SearchState, evolve, first_state
from qfa_search.evolution.problem import CostFunction, Predictor, SubnetProblem, predict_top1
from qfa_search.evolution.state_file import StateFile, search_settings
from qfa_search.evolution.target import SearchTarget, resolve_target
from qfa_search.front.dominance import non_dominated_mask
from qfa_search.front.front import ParetoFront
from qfa_search.front.objectives import (
    Limits,
    constraint_values,
    objective_values,
    worst_corner,
)
from search_spaces import SearchSpace
from search_spaces.arrays import Floats
from search_spaces.genome import Genomes


def search(
    config: SearchConfig | None = None,
    *,
    supernet: str | Path | None = None,
    space: SearchSpace | str | Path | None = None,
    predictor: Predictor | str | Path | None = None,
    initial: ArrayLike | None = None,
    latency_table: LatencyTable | str | Path | None = None,
    state_file: str | Path | None = None,
    resume: bool = False,
    callback: Callable[[SearchProgress], None] | None = None,
    **settings: object,
) -> ParetoFront:
    """The best subnets inside hard limits: a Pareto front found by NSGA-II.

    Equal arguments give equal fronts. No member ever exceeds a limit.

    Args:
        config: Limits, objectives and how to search; instead of `settings`.
        supernet: Name, file or folder of a supernet; the bundled one if neither this nor
            `predictor` is given.
        space: Search space, its name or TOML file; the supernet's or predictor's by default.
        predictor: Ranks the subnets: a file, or anything with `space` and `predict(X)` (and
            `predict_with_spread(X)` and `extrapolates(X)`, if it knows how sure it is). By
            default the one beside the supernet.
        initial: Genomes `(n, n_genes)` to start from, beside others. By default the front of
            the supernet's samples.
        latency_table: Latencies of layers, or their CSV file, for latency as a limit or objective.
        state_file: Keeps the state of the search, so that a killed one can go on. Remove it
            when the front is stored.
        resume: Go on from `state_file` if it exists; the front is that of an unbroken search.
        callback: Called with a `SearchProgress` after each generation.
        **settings: Limits (`max_mflops=20`, see `Limits`) and other settings (`population=500`, see
            `SearchConfig`) by name.

    Returns:
        The front over the whole run, cheapest first.

    Raises:
        TypeError: An unknown setting, or both `config` and settings.
        ValueError: An argument is out of range, or a file cannot be read.
        InfeasibleBudgetError: No subnet is inside the limits.
        CheckpointMismatchError: Space, supernet and predictor do not fit each other, or
            `state_file` is of a search with other settings.
        QFAError: `state_file` exists, and `resume` is not set.
    """
    if resume and state_file is None:
        raise ValueError("resume needs the state_file to resume from")
    config = chosen_config(config, settings)
    target = resolve_target(supernet=supernet, space=space, predictor=predictor)
    if isinstance(latency_table, str | Path):
        latency_table = LatencyTable.load(latency_table)
    costs, columns = cost_function(target.space, config, latency_table)
    given = target.known_front(config.objectives) if initial is None else _checked(target, initial)
    kept = None
    if state_file is not None:
        settings = search_settings(target, config, given, latency_table)
        kept = StateFile(state_file, settings, resume=resume)
    state = _run(target, config, costs, given, kept, callback)
    return _front(target, config, costs, state, columns)


def chosen_config(config: SearchConfig | None, settings: Mapping[str, object]) -> SearchConfig:
    """`config`, or the one with `settings`.

    Raises:
        TypeError: Both are given, or an unknown setting.
        ValueError: A value is out of range.
    """
    if config is None:
        return SearchConfig.of(settings)
    if settings:
        raise TypeError(f"give {next(iter(settings))} within config, or settings without config")
    return config


def _checked(target: SearchTarget, initial: ArrayLike) -> Genomes | None:
    X = target.space.layout.check(initial)
    return X if len(X) else None


def _run(
    target: SearchTarget,
    config: SearchConfig,
    costs: CostFunction,
    given: Genomes | None,
    kept: StateFile | None,
    callback: Callable[[SearchProgress], None] | None,
) -> SearchState:
    """A run of NSGA-II to its end; its archive has everything worth keeping.

    Raises:
        InfeasibleBudgetError: The cheapest subnet is over a limit, or none reached min_top1.
    """
    layout, limits = target.space.layout, config.limits
    highest = layout.highest()[None]
    columns = tuple(limits.max_costs())
    budget = replace(limits, min_top1=None)

    def violation(X: Genomes) -> Floats:
        if not columns:
            return np.zeros(len(X))
        total: Floats = np.maximum(constraint_values(costs(X, columns), budget), 0).sum(axis=1)
        return total

    cheapest = cheapest_genome(layout, violation)
    if violation(cheapest[None])[0] > 0:
        raise InfeasibleBudgetError(_too_expensive(target.space, limits, costs, cheapest))
    state = kept.start if kept else None
    archive = state.archive if state else Archive(layout.n_genes, len(config.objectives))
    problem = SubnetProblem(target.space, target.predictor, costs, config, archive.add)
    if state is None:
        start = initial_population(
            layout,
            # A stream of its own: the generations have another one with the same number.
            np.random.default_rng([config.seed, 1]),
            config.population,
            lambda X: violation(X) <= 0,
            cheapest,
            given,
        )
        state = first_state(problem, start, archive)
    corner = worst_corner(config.objectives, limits, lambda names: costs(highest, names))
    evolve(problem, state, corner, callback, kept.keep if kept else None)
    if not len(archive.X):
        # Every population has subnets inside the cost limits, so min_top1 is what is missed.
        assert limits.min_top1 is not None
        best = limits.min_top1 * (1 - archive.least_shortfall)
        raise InfeasibleBudgetError(
            f"no subnet of {target.space.name} found within {limits}: inside the cost limits the "
            f"best predicted top1 is {best:.2f}; lower min_top1 or raise the other limits"
        )
    return state


def _front(
    target: SearchTarget,
    config: SearchConfig,
    costs: CostFunction,
    state: SearchState,
    columns: tuple[str, ...],
) -> ParetoFront:
    """The archive as a front, with every cost; each limit is checked once more on the result."""
    archive = state.archive
    X = archive.X
    table = {name: np.asarray(column) for name, column in costs(X, columns).items()}
    if "top1" in config.objectives:
        top1 = -archive.F[:, config.objectives.index("top1")]
    else:
        top1 = predict_top1(target.predictor, X)
    spread = np.full(len(X), np.nan)
    if hasattr(target.predictor, "predict_with_spread"):
        spread = np.asarray(target.predictor.predict_with_spread(X)[1], dtype=np.float64)
    extrapolates = np.zeros(len(X), dtype=bool)
    if hasattr(target.predictor, "extrapolates"):
        extrapolates = np.asarray(target.predictor.extrapolates(X), dtype=bool)
    values = {**table, "top1": top1}
    feasible = np.flatnonzero((constraint_values(values, config.limits) <= 0).all(axis=1))
    F = objective_values(values, config.objectives)[feasible]
    kept = feasible[non_dominated_mask(F)]
    return ParetoFront(
        space=target.space,
        X=X[kept],
        costs={name: column[kept] for name, column in table.items()},
        top1_predicted=top1[kept],
        top1_spread=spread[kept],
        top1_measured=np.full(len(kept), np.nan),
        extrapolates=extrapolates[kept],
        objectives=config.objectives,
        limits=config.limits,
        seed=config.seed,
        supernet=target.files.name if target.files else None,
        supernet_digest=target.files.digest() if target.files else None,
        predictor_scores=target.predictor_scores(),
        settings={
            "population": config.population,
            "generations": config.generations,
            "crossover_prob": config.crossover_prob,
            "mutation_prob": config.mutation_prob,
            "version": version("qfa-search"),
        },
        hypervolumes=np.array(state.hypervolumes),
    )


def cost_function(
    space: SearchSpace, config: SearchConfig, table: LatencyTable | None
) -> tuple[CostFunction, tuple[str, ...]]:
    """Costs of genomes by column, and the columns there are."""
    needed = config.cost_columns
    for name in ("latency_ms", "minstructions"):
        if name in needed and table is None:
            raise ValueError(f"{name} needs a latency table: give latency_table, a CSV file")
        if table is not None and name in needed and name != table.column:
            raise ValueError(
                f"{name} needs a latency table of its unit, and this one has {table.column}: ask "
                "for that, or make another table (qfa-search latency, with --mhz for milliseconds)"
            )
    if "published_mflops" in needed and space.table_widths is None:
        raise ValueError(f"{space.name} has no published cost table: use mflops instead")
    in_c = [name for name in ("flash_kb", "ram_kb") if name in needed]
    ends = np.stack([space.layout.lowest(), space.layout.highest()])
    if in_c and np.isnan(cost_arrays(space, ends, ["flash_kb"])["flash_kb"]).any():
        raise ValueError(
            f"{in_c[0]} is that of a C file, and {space.name} has layers in floating point, "
            "kernels or resolutions that have none: use size_kb or activation_kb instead"
        )

    def costs(X: Genomes, columns: tuple[str, ...]) -> Mapping[str, NDArray[Any]]:
        values = cost_arrays(space, X, [name for name in columns if name in COST_COLUMNS])
        if table is not None and table.column in columns:
            values[table.column] = table_costs(space, X, table)
        return values

    return costs, COST_COLUMNS if table is None else (*COST_COLUMNS, table.column)


def _too_expensive(
    space: SearchSpace, limits: Limits, costs: CostFunction, cheapest: Genomes
) -> str:
    row = costs(cheapest[None], tuple(limits.max_costs()))
    over = [
        f"max_{name}={limit:.10g}: the cheapest needs {_up(float(row[name][0]))}"
        for name, limit in limits.max_costs().items()
        if row[name][0] > limit
    ]
    return (
        f"no subnet of {space.name} fits {', '.join(over)}; raise the limit or choose another space"
    )


def _up(value: float) -> str:
    """Six digits of `value`, rounded up so that the number shown is enough as a limit."""
    scale = 10.0 ** (5 - math.floor(math.log10(value)))
    return f"{math.ceil(value * scale) / scale:.10g}"
