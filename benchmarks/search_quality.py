"""Hypervolume against evaluations: our search, other ways to search, and published numbers.

    python -m benchmarks.search_quality --data FILE [--samples FILE]

All searches of a seed start from the same random subnets inside the limit and ask the same
predictor, which counts as the truth here: one fitted to all measured subnets, or an MLP with
fixed random weights. FILE after --data is a CSV of OFA-MobileNetV3 subnets with measured ImageNet
top-1 (see predictor_quality); without it that part and the replay are left out. Writes
search_quality.csv, .md and .png.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from joblib import Parallel, delayed, parallel_config

import search_spaces
from benchmarks.parts import pool_replay
from benchmarks.parts.fixed_mlp import FixedMlp
from benchmarks.parts.measured_subnets import POOL_SPACE, MeasuredSubnets, available
from benchmarks.parts.report import (
    COLOURS,
    command,
    machine,
    markdown_table,
    new_figure,
    tidy,
    write_report,
)
from benchmarks.parts.rivals import OURS, SEARCHES, Problem, Recorder, affordable
from predictors.files import write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MLP_SPACE, MLP_LIMIT = "mobilenet-v3-w1.2", 20.0
SHOWN_GENERATIONS = (0, 1, 2, 5, 10, 20, 40, 60, 100, 200)
Traces = dict[tuple[str, str, int], list[tuple[int, float]]]


def problems(sets: list[MeasuredSubnets], seed: int) -> list[Problem]:
    """One problem per set of measured subnets, and one with a fixed MLP."""
    found = []
    for data in sets:
        oracle = data.fit(np.arange(len(data.X)), seed)
        if data.space.name == POOL_SPACE:
            limit, worst = pool_replay.REF_POINT
        else:
            limit = float(np.median(data.mflops()))
            worst = float(np.quantile(data.top1, 0.01))
        ref = (limit, worst)
        found.append(Problem(name=data.name, oracle=oracle, limit=limit, ref_point=ref))
    mlp = FixedMlp(search_spaces.load(MLP_SPACE), seed)
    problem = Problem(name="fixed MLP", oracle=mlp, limit=MLP_LIMIT, ref_point=(MLP_LIMIT, 0.0))
    # Its answers are no percentages: the worst of random subnets are the corner.
    worst = float(mlp.predict(affordable(problem, np.random.default_rng(seed), 500)).min())
    ref = (MLP_LIMIT, worst)
    return [*found, Problem(name="fixed MLP", oracle=mlp, limit=MLP_LIMIT, ref_point=ref)]


def run(
    problem: Problem, method: str, seed: int, population: int, generations: int
) -> list[tuple[int, float]]:
    """Trace of one search."""
    start = affordable(problem, np.random.default_rng([seed, 0]), population)
    recorder = Recorder(problem)
    SEARCHES[method](recorder, start, generations, seed)
    return recorder.trace


def volumes(traces: Traces, population: int, generations: list[int]) -> pd.DataFrame:
    """Hypervolume after so many evaluations, a row per search and generation."""
    rows = []
    for (problem, method, seed), trace in traces.items():
        counts, values = (np.array(column) for column in zip(*trace, strict=True))
        for generation in generations:
            n = population * (generation + 1)
            at = np.searchsorted(counts, n, side="right") - 1
            rows.append((problem, method, seed, n, values[at]))
    names = ["problem", "method", "seed", "evaluations", "hypervolume"]
    return pd.DataFrame(rows, columns=names)


def table(found: pd.DataFrame) -> str:
    """Median and quartiles, a row per number of evaluations and a column per search."""
    methods = list(dict.fromkeys(found["method"]))
    rows = []
    for n, at in found.groupby("evaluations"):
        cells = []
        for method in methods:
            low, middle, high = at.loc[at["method"] == method, "hypervolume"].quantile(
                [0.25, 0.5, 0.75]
            )
            cells.append(f"{middle:.5g} ({low:.5g} to {high:.5g})")
        rows.append((f"{n:,}", *cells))
    return markdown_table(("evaluations", *methods), rows)


def verdict(found: pd.DataFrame) -> str:
    """How ours compares with each other search: medians on the way, seed by seed at the end."""
    later = found[found["evaluations"] > found["evaluations"].min()]
    medians = later.pivot_table("hypervolume", "evaluations", "method", aggfunc="median")
    last = found[found["evaluations"] == found["evaluations"].max()]
    ends = last.pivot(index="seed", columns="method", values="hypervolume")
    lines = []
    for rival in ends.columns.drop(OURS):
        ahead, ratio = medians[OURS] >= medians[rival], ends[OURS] / ends[rival]
        lines.append(
            f"- Against {rival}: at least its median after {int(ahead.sum())} of {len(ahead)} "
            f"numbers of evaluations; at the end at least its hypervolume in "
            f"{int((ratio >= 1).sum())} of {len(ratio)} seeds, {ratio.median():.4f} times it in "
            f"the median ({ratio.min():.4f} to {ratio.max():.4f})."
        )
    return "\n".join(lines)


def replayed(
    data: MeasuredSubnets, seeds: int, jobs: int, budget: int, batch: int
) -> tuple[str, str]:
    """What the replay is, and its table."""
    with parallel_config("loky", n_jobs=jobs, inner_max_num_threads=1):
        ours = Parallel()(
            delayed(pool_replay.replay)(data, seed, budget, batch) for seed in range(seeds)
        )
    chance = [pool_replay.random_choice(data, seed, budget, batch) for seed in range(seeds)]
    rows = []
    for n in ours[0]:
        cells = []
        for runs in (ours, chance):
            low, middle, high = np.quantile([values[n] for values in runs], [0.25, 0.5, 0.75])
            cells.append(f"{middle:.1f} ({low:.1f} to {high:.1f})")
        published = [pool_replay.LINAS.get(n, ""), pool_replay.NSGA2.get(n, "")]
        rows.append((n, *cells, *published))
    ceiling = pool_replay.measured_hypervolume(data, np.arange(len(data.X)))
    corner = f"{pool_replay.REF_POINT[0]:g} M MACs and {pool_replay.REF_POINT[1]:g} %"
    about = (
        f"Predict, measure the best {batch}, fit again, {seeds} seeds, on the {len(data.X)} "
        "measured subnets of the pool; their real top-1 is the truth. Read with care: **this is "
        "no race with LINAS.** The pool consists of subnets that DyNAS-T's own searches measured, "
        "so that good ones are plentiful in it: a random choice starts far above LINAS, which "
        "drew from the whole space. And nothing outside the pool can be found: all of it together "
        f"has {ceiling:.1f}, which is where LINAS ended. The table shows how soon the predictor "
        f"finds the best of the pool. Hypervolumes in M MACs times points, from {corner}; LINAS "
        "and NSGA-II as DyNAS-T published them, one seed each."
    )
    header = ("measured", "ours, in the pool", "random, in the pool", "LINAS, published")
    return about, markdown_table((*header, "NSGA-II, published"), rows)


def plot(every: pd.DataFrame) -> Figure:
    """Medians with quartiles as bands, a panel per problem."""
    names = list(dict.fromkeys(every["problem"]))
    figure = new_figure(4.8 * len(names) + 0.4, 4.2)
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        part = every[every["problem"] == name]
        for colour, (method, found) in zip(
            COLOURS, part.groupby("method", sort=False), strict=False
        ):
            by_n = found.groupby("evaluations")["hypervolume"]
            low, high = by_n.quantile(0.25), by_n.quantile(0.75)
            x = low.index.to_numpy()
            axes.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)
            axes.plot(x, by_n.median(), color=colour, linewidth=1.7, label=str(method))
        axes.set(xlabel="evaluations", ylabel="hypervolume (MFLOPs x points)")
        axes.set_title(name)
        axes.legend(frameon=False, fontsize=8.5, loc="lower right")
    tidy(figure)
    return figure


def text(
    shown: pd.DataFrame, given: list[Problem], replay: tuple[str, str] | None, about: list[str]
) -> str:
    """The whole report in Markdown."""
    sections = ["# Quality of the search", *about]
    for problem in given:
        part = shown[shown["problem"] == problem.name]
        sections += [
            f"## {problem.name}",
            f"Space {problem.space.name}, limit {problem.limit:.6g} MFLOPs; hypervolume from the "
            f"corner at {problem.ref_point[0]:.6g} MFLOPs and top-1 {problem.ref_point[1]:.4g}. "
            "Median of the seeds (quartiles).",
            table(part),
            verdict(part),
        ]
    if replay is not None:
        sections += ["## Replay of the ImageNet pool", *replay]
    return "\n\n".join(section for section in sections if section) + "\n"


def main(arguments: list[str] | None = None) -> None:
    """Search everything, print and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, metavar="FILE", help="CSV of the ImageNet pool")
    parser.add_argument("--samples", type=Path, metavar="FILE", help="default: fashion-mnist's")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--replay-seeds", type=int, default=5, help="0 leaves the replay out")
    parser.add_argument("--replay-budget", type=int, default=500, help="subnets measured")
    parser.add_argument("--replay-batch", type=int, default=50)
    parser.add_argument("--population", type=int, default=500)
    parser.add_argument("--generations", type=int, default=60)
    parser.add_argument("--jobs", type=int, default=2, help="processes, one thread each")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"), metavar="DIR")
    arguments = sys.argv[1:] if arguments is None else arguments
    args = parser.parse_args(arguments)
    sets, missing = available(args.data, args.samples)
    for sentence in missing:
        print(f"left out: {sentence}", file=sys.stderr)
    given = problems(sets, 0)
    tasks = [
        (problem, method, seed)
        for problem in given
        for method in SEARCHES
        for seed in range(args.seeds)
    ]
    with parallel_config("loky", n_jobs=args.jobs, inner_max_num_threads=1):
        found = Parallel(verbose=5)(
            delayed(run)(*task, args.population, args.generations) for task in tasks
        )
    traces = {(p.name, m, s): trace for (p, m, s), trace in zip(tasks, found, strict=True)}
    generations = list(range(args.generations + 1))
    every = volumes(traces, args.population, generations)
    ends = [*(g for g in SHOWN_GENERATIONS if g < args.generations), args.generations]
    shown = every[every["evaluations"].isin([args.population * (g + 1) for g in ends])]
    pool = next((data for data in sets if data.space.name == POOL_SPACE), None)
    replay = None
    if pool is not None and args.replay_seeds:
        replay = replayed(pool, args.replay_seeds, args.jobs, args.replay_budget, args.replay_batch)
    line = command("search_quality", arguments)
    about = [
        f"Written by `{line}`, seeds 0 to {args.seeds - 1}.",
        f"Machine: {machine()} {args.jobs} processes at a time.",
        f"Population {args.population}, {args.generations} generations after the start. All "
        "searches of a seed start from the same random subnets inside the limit and ask the same "
        "predictor, whose answers are the truth here. A random search goes on drawing like that.",
        "\n".join(f"- Left out: {sentence}" for sentence in missing),
    ]
    csv = shown.to_csv(index=False, float_format="%.6g", lineterminator="\n")
    write_text(args.out / "search_quality.csv", f"# {line}\n{csv}")
    write_report(args.out, "search_quality", text(shown, given, replay, about), plot(every))


if __name__ == "__main__":
    main()
