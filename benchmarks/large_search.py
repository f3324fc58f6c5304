"""Time and memory of searches over 10^80 subnets, as the number of evaluations grows.

    python -m benchmarks.large_search [--evaluations 250000 500000 1000000]

The space is mobilenet-v3-w1.2, the limit 20 MFLOPs, the population 10,000, the predictor an MLP
555-600-600-600-1 with fixed random weights. Each search runs in a process of its own and keeps its
state in a file, as one of the command does. Writes large_search.md and .png.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

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
from qfa_search import search
from qfa_search.supernet.allocator import peak_resident_bytes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from qfa_search.evolution.loop import SearchProgress

SPACE = "mobilenet-v3-w1.2"
LIMIT = 20.0
POPULATION = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One search.

    Attributes:
        objectives: What it traded off.
        n_evaluated: Different subnets that were evaluated.
        front_size: Members of its front.
        seconds: By the clock.
        cpu_seconds: Of the processor, all threads.
        predictor_seconds: Of these, in the predictor.
        start_mb: Peak of the process's memory before the first generation.
        peak_mb: Peak at the end.
        state_mb: Size of the file that a killed search goes on from.
    """

    objectives: str
    n_evaluated: int
    front_size: int
    seconds: float
    cpu_seconds: float
    predictor_seconds: float
    start_mb: float
    peak_mb: float
    state_mb: float


class TimedMlp(FixedMlp):
    """The same predictor; it adds up what it takes.

    Attributes:
        seconds: Of the processor, in all calls so far.
    """

    seconds = 0.0

    def predict(self, X: np.ndarray) -> np.ndarray:
        """The predictions of `FixedMlp`."""
        started = time.process_time()
        try:
            return super().predict(X)
        finally:
            self.seconds += time.process_time() - started


def run(objectives: str, population: int, n_evaluations: int, seed: int) -> Run:
    """Search until `n_evaluations` subnets are evaluated, in a process of its own."""
    spawned = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawned) as pool:
        return pool.submit(_run, objectives, population, n_evaluations, seed).result()


def _run(objectives: str, population: int, n_evaluations: int, seed: int) -> Run:
    predictor = TimedMlp(search_spaces.load(SPACE), seed)
    # Tables and caches are filled by the first costs and features.
    search(space=predictor.space, predictor=predictor, max_mflops=LIMIT, generations=0)
    predictor.seconds = 0.0
    last: list[SearchProgress] = []
    started, cpu_started, start_mb = (
        time.perf_counter(),
        time.process_time(),
        peak_resident_bytes() / 1e6,
    )
    with tempfile.TemporaryDirectory() as folder:
        state_file = Path(folder) / "state"
        search(
            space=predictor.space,
            predictor=predictor,
            max_mflops=LIMIT,
            objectives=objectives.split(","),
            population=population,
            generations=n_evaluations // population - 1,  # the first population counts, too
            seed=seed,
            state_file=state_file,
            callback=lambda progress: last.__setitem__(slice(None), [progress]),
        )
        state_mb = state_file.stat().st_size / 1e6
    return Run(
        objectives=objectives,
        n_evaluated=last[0].n_evaluated,
        front_size=last[0].front_size,
        seconds=time.perf_counter() - started,
        cpu_seconds=time.process_time() - cpu_started,
        predictor_seconds=predictor.seconds,
        start_mb=start_mb,
        peak_mb=peak_resident_bytes() / 1e6,
        state_mb=state_mb,
    )


def growth(runs: list[Run]) -> float:
    """Exponent p of the best fit `processor time ~ evaluations ** p`; 1 is linear."""
    sizes, times = [r.n_evaluated for r in runs], [r.cpu_seconds for r in runs]
    return float(np.polyfit(np.log(sizes), np.log(times), 1)[0])


def bytes_per_evaluation(runs: list[Run]) -> float:
    """Slope of the line through memory over evaluations."""
    peaks = [1e6 * r.peak_mb for r in runs]
    return float(np.polyfit([r.n_evaluated for r in runs], peaks, 1)[0])


def text(by_objectives: dict[str, list[Run]], about: str) -> str:
    """The whole report in Markdown."""
    header = (
        "evaluations",
        "seconds",
        "CPU s",
        "of these in the predictor",
        "CPU ms per 1000",
        "MB before",
        "MB at the peak",
        "state file, MB",
        "front",
    )
    sections = ["# A search over 10^80 subnets", about]
    for objectives, runs in by_objectives.items():
        rows = [
            (
                f"{r.n_evaluated:,}",
                f"{r.seconds:.0f}",
                f"{r.cpu_seconds:.0f}",
                f"{r.predictor_seconds:.0f}",
                f"{1e6 * r.cpu_seconds / r.n_evaluated:.0f}",
                f"{r.start_mb:.0f}",
                f"{r.peak_mb:.0f}",
                f"{r.state_mb:.1f}",
                f"{r.front_size:,}",
            )
            for r in runs
        ]
        sections += [f"## {objectives.replace(',', ', ')}", markdown_table(header, rows)]
        if len(runs) > 1:
            sections.append(
                f"Processor time grows with evaluations to the power {growth(runs):.2f}, memory by "
                f"{bytes_per_evaluation(runs):.0f} bytes for each."
            )
    return "\n\n".join(sections) + "\n"


def plot(by_objectives: dict[str, list[Run]]) -> Figure:
    """Processor time and memory over evaluations."""
    figure = new_figure(9.5, 3.8)
    left, right = figure.subplots(1, 2)
    for colour, (objectives, runs) in zip(COLOURS, by_objectives.items(), strict=False):
        sizes = [r.n_evaluated / 1e3 for r in runs]
        left.plot(sizes, [r.cpu_seconds for r in runs], "o-", color=colour, label=objectives)
        right.plot(sizes, [r.peak_mb for r in runs], "o-", color=colour, label=objectives)
    left.set(ylabel="CPU seconds", title="Processor time")
    right.set(ylabel="MB at the peak", title="Memory")
    for axes in (left, right):
        axes.set(xlabel="thousand evaluations", xlim=(0, None), ylim=(0, None))
        axes.legend(frameon=False, fontsize=8.5)
    tidy(figure)
    return figure


def main(arguments: list[str] | None = None) -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--evaluations", type=int, nargs="+", default=[250_000, 500_000, 1_000_000])
    parser.add_argument("--objectives", nargs="+", default=["top1,mflops"])
    parser.add_argument("--population", type=int, default=POPULATION)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"), metavar="DIR")
    arguments = sys.argv[1:] if arguments is None else arguments
    args = parser.parse_args(arguments)
    space = search_spaces.load(SPACE)
    found: dict[str, list[Run]] = {}
    for objectives in args.objectives:
        for n in sorted(args.evaluations):
            print(f"{objectives}: {n:,} evaluations", file=sys.stderr)
            found.setdefault(objectives, []).append(run(objectives, args.population, n, args.seed))
    about = (
        f"Written by `{command('large_search', arguments)}`, seed {args.seed}.\n\n"
        f"Machine: {machine()}\n\nSpace {SPACE}, 10^{space.log10_size():.1f} subnets of "
        f"{space.layout.n_genes} genes, limit {LIMIT:g} MFLOPs, population {args.population:,}, an "
        "MLP with fixed random weights of the published predictor's size. Each search in a process "
        "of its own, with its state kept in a file."
    )
    write_report(args.out, "large_search", text(found, about), plot(found))


if __name__ == "__main__":
    main()
