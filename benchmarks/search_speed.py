"""Processor time of a generation of the search, part by part, against the least it could take.

    python -m benchmarks.search_speed [--quick]

The space is mobilenet-v3-w1.2, the limit 20 MFLOPs, the predictor an MLP 555-600-600-600-1 with
fixed random weights. Times are medians of processor time, of all threads together: other work on
the machine hardly changes them. Writes search_speed.md and .png.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from types import FunctionType
from typing import TYPE_CHECKING, cast

import numpy as np

import search_spaces
from benchmarks.parts.fixed_mlp import FixedMlp
from benchmarks.parts.report import (
    COLOURS,
    command,
    machine,
    markdown_table,
    new_figure,
    tidy,
    write_report,
)
from predictors import COST_COLUMNS, cost_arrays, features
from qfa_search import search
from qfa_search.evolution.loop import Archive, SearchProgress, breed, survivors

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SPACE = "mobilenet-v3-w1.2"
LIMIT = 20.0
# Milliseconds per generation of the released search, population 500, where `PUBLISHED_ON` says;
# medians of each, so that the parts need not add up.
PUBLISHED_MS = {
    "prediction": 40.0,
    "features": 310.0,
    "costs": 160.0,
    "breeding": 300.0,
    "survival and archive": 40.0,
}
PUBLISHED_TOTAL_MS = 770.0
PUBLISHED_POPULATION = 500
PUBLISHED_ON = "the released code of apple/ml-batchquant, tried on one thread of an AMD EPYC"
REST = "rest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """Times of one search.

    Attributes:
        population: Subnets per generation.
        cpu_ms: Processor time of a generation, all threads; median, not profiled.
        parts_ms: The same divided among the parts as a profiled run divides it.
        floor_ms: Processor time of the matrix products of the predictor alone.
        wall_ms: Time of a generation by the clock, which grows with other work.
    """

    population: int
    cpu_ms: float
    parts_ms: dict[str, float]
    floor_ms: float
    wall_ms: float


def speed(predictor: FixedMlp, population: int, generations: int, seed: int) -> Speed:
    """Time a search twice, without and with the profiler."""
    ticks: list[tuple[float, float]] = []
    _run(
        predictor,
        population,
        generations,
        seed,
        lambda _: ticks.append((time.perf_counter(), time.process_time())),
    )
    wall, cpu = 1000 * np.median(np.diff(ticks, axis=0), axis=0)

    profile = cProfile.Profile(time.process_time)

    def switch(progress: SearchProgress) -> None:
        if progress.generation == progress.generations:
            profile.disable()
        elif progress.generation == 0:
            profile.enable()

    _run(predictor, population, generations, seed, switch)
    shares = _shares(profile)
    return Speed(
        population=population,
        cpu_ms=float(cpu),
        parts_ms={name: float(share * cpu) for name, share in shares.items()},
        floor_ms=floor_ms(predictor, population),
        wall_ms=float(wall),
    )


def _run(
    predictor: FixedMlp,
    population: int,
    generations: int,
    seed: int,
    callback: Callable[[SearchProgress], None],
) -> None:
    search(
        space=predictor.space,
        predictor=predictor,
        max_mflops=LIMIT,
        population=population,
        generations=generations,
        seed=seed,
        callback=callback,
    )


def _shares(profile: cProfile.Profile) -> dict[str, float]:
    """Share of each part in the profiled time; the shares add up to 1."""
    stats = pstats.Stats(profile)

    def seconds(*functions: Callable[..., object]) -> float:
        codes = [cast("FunctionType", function).__code__ for function in functions]
        keys = [(code.co_filename, code.co_firstlineno, code.co_name) for code in codes]
        return float(sum(stats.stats[key][3] for key in keys if key in stats.stats))  # type: ignore[attr-defined]

    in_features = seconds(features)
    parts = {
        "prediction": seconds(FixedMlp.predict) - in_features,
        "features": in_features,
        "costs": seconds(cost_arrays),
        "breeding": seconds(breed),
        "survival and archive": seconds(survivors, Archive.add),
    }
    total = float(stats.total_tt)  # type: ignore[attr-defined]
    parts[REST] = total - sum(parts.values())
    return {name: part / total for name, part in parts.items()}


def floor_ms(predictor: FixedMlp, n: int, repeats: int = 30) -> float:
    """Median processor time of the predictor's matrix products alone for `n` subnets."""
    first = np.random.default_rng(0).random((n, len(predictor.weights[0])), dtype=np.float32)

    def products() -> None:
        hidden = first
        for weight in predictor.weights:
            hidden = hidden @ weight

    return 1000 * _median_seconds(products, repeats)


def rates(predictor: FixedMlp, n: int) -> dict[str, float]:
    """Genomes per second of processor time, of cost models and features, from `n` random ones."""
    space = predictor.space
    X = space.layout.sample(np.random.default_rng(0), n)
    calls: dict[str, Callable[[], object]] = {
        "costs, mflops": lambda: cost_arrays(space, X, ["mflops"]),
        f"costs, all {len(COST_COLUMNS)} columns": lambda: cost_arrays(space, X),
        "features": lambda: features(space, X),
    }
    return {name: n / _median_seconds(call, 3) for name, call in calls.items()}


def _median_seconds(call: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(repeats + 1):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return median(times[1:])  # the first call fills caches


def growth(found: list[Speed]) -> float:
    """Exponent p of the best fit `time ~ population ** p`; 1 is linear."""
    sizes, times = [s.population for s in found], [s.cpu_ms for s in found]
    return float(np.polyfit(np.log(sizes), np.log(times), 1)[0])


def text(main: Speed, found: list[Speed], rate: dict[str, float], n: int, about: str) -> str:
    """The whole report in Markdown."""
    parts = [
        (name, f"{main.parts_ms[name]:.2f}", published and f"{published:.0f}")
        for name, published in ((name, PUBLISHED_MS.get(name, "")) for name in main.parts_ms)
    ]
    against = f"{main.cpu_ms / main.floor_ms:.1f} times the matrix products alone"
    if main.population == PUBLISHED_POPULATION:
        ratio = PUBLISHED_TOTAL_MS / main.cpu_ms
        against = f"{ratio:.1f} times less than the published loop, {against}"
    parts += [
        ("**generation**", f"**{main.cpu_ms:.1f}**", f"{PUBLISHED_TOTAL_MS:.0f}"),
        ("matrix products alone", f"{main.floor_ms:.1f}", ""),
    ]
    sizes = [
        (
            s.population,
            f"{s.cpu_ms:.1f}",
            f"{1000 * s.cpu_ms / s.population:.1f}",
            f"{s.floor_ms:.1f}",
            f"{s.cpu_ms / s.floor_ms:.1f}",
            f"{s.wall_ms:.1f}",
        )
        for s in found
    ]
    names = ("population", "CPU ms per generation", "CPU ms per 1000 subnets")
    floors = ("products alone (CPU ms)", "times as long", "by the clock (ms)")
    sections = [
        "# Speed of the search",
        about,
        f"## A generation of {main.population}",
        f"{main.cpu_ms:.1f} ms of processor time, all threads together: {against}. Published: "
        f"medians of {PUBLISHED_ON}. The parts are the shares of a profiled run, applied to the "
        "median of one that was not profiled.",
        markdown_table(("part", "CPU ms", f"published, {PUBLISHED_POPULATION} (ms)"), parts),
        "## Other populations",
        markdown_table((*names, *floors), sizes),
        f"It grows with population to the power {growth(found):.2f}." if len(found) > 1 else "",
        "## Cost models and features",
        f"From {n:,} random genomes.",
        markdown_table(
            ("what", "genomes per CPU second"), [(k, f"{v:,.0f}") for k, v in rate.items()]
        ),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def plot(main: Speed, found: list[Speed]) -> Figure:
    """Parts beside the published loop's, and time over population."""
    figure = new_figure(10.5, 4.2)
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    names = [*main.parts_ms, "generation"]
    ours = [*main.parts_ms.values(), main.cpu_ms]
    published = [PUBLISHED_MS.get(name, np.nan) for name in main.parts_ms] + [PUBLISHED_TOTAL_MS]
    y = np.arange(len(names))
    for values, offset, colour, label in (
        (ours, -0.19, COLOURS[0], "ours"),
        (published, 0.19, COLOURS[5], "published loop"),
    ):
        bars = left.barh(y + offset, values, height=0.36, color=colour, label=label)
        labels = ["" if np.isnan(v) else f" {v:.3g}" for v in values]
        left.bar_label(bars, labels, fontsize=8, color="#444444")
    left.axvline(main.floor_ms, color=COLOURS[1], linestyle=(0, (4, 3)), linewidth=1.2)
    left.text(main.floor_ms, -0.75, " matrix products alone", color=COLOURS[1], fontsize=8)
    left.set(xscale="log", xlabel="milliseconds of processor time", ylim=(len(names) - 0.4, -1.0))
    left.set_yticks(y, names)
    left.set_title(f"A generation of {main.population} subnets, by part")
    left.legend(frameon=False, fontsize=8.5, ncols=2, loc="lower right", bbox_to_anchor=(1, 1))
    sizes = [s.population for s in found]
    times = [s.cpu_ms for s in found]
    right.plot(sizes, times, "o-", color=COLOURS[0], label="ours")
    right.plot(
        sizes, [s.floor_ms for s in found], "o--", color=COLOURS[1], label="matrix products alone"
    )
    right.set(xlabel="population", ylabel="CPU ms per generation", xlim=(0, None), ylim=(0, None))
    right.set_title("Time over population")
    right.legend(frameon=False, fontsize=8.5)
    tidy(figure)
    return figure


def main(arguments: list[str] | None = None) -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--populations", type=int, nargs="+", default=[250, 500, 1000, 2000])
    parser.add_argument("--generations", type=int, default=60, help="of population 500")
    parser.add_argument("--genomes", type=int, default=100_000, help="for costs and features")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="fewer repeats, for CI")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"), metavar="DIR")
    arguments = sys.argv[1:] if arguments is None else arguments
    args = parser.parse_args(arguments)
    generations = min(args.generations, 20) if args.quick else args.generations
    n = min(args.genomes, 20_000) if args.quick else args.genomes
    predictor = FixedMlp(search_spaces.load(SPACE), args.seed)
    _run(predictor, 50, 1, args.seed, lambda _: None)  # fills tables and caches
    found = []
    for population in sorted(args.populations):
        # Large populations take as long as small ones with fewer generations.
        enough = max(5, min(generations, generations * PUBLISHED_POPULATION // population))
        print(f"population {population}, {enough} generations", file=sys.stderr)
        found.append(speed(predictor, population, enough, args.seed))
    of_interest = next((s for s in found if s.population == PUBLISHED_POPULATION), found[0])
    about = (
        f"Written by `{command('search_speed', arguments)}`, seed {args.seed}.\n\n"
        f"Machine: {machine()}\n\nSpace {SPACE}, limit {LIMIT:g} MFLOPs, MLP "
        f"{'-'.join(str(len(w)) for w in predictor.weights)}-1 with fixed random weights."
    )
    rate = rates(predictor, n)
    report = text(of_interest, found, rate, n, about)
    write_report(args.out, "search_speed", report, plot(of_interest, found))


if __name__ == "__main__":
    main()
