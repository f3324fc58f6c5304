"""What `--refine` gains: hypervolume of measured subnets, at equal numbers of them.

    python -m benchmarks.refine_quality [--samples FILE]

The truth is a predictor fitted to all samples of a supernet: what it says of a subnet, with some
noise, counts as its measurement. A draw of the samples trains the first predictor. From there on
either the front of one search is measured, at so many places, or every round measures a few
places, fits the predictor again with them and searches again. Writes refine_quality.csv, .md and
.png.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from joblib import Parallel, delayed, parallel_config
from numpy.typing import NDArray

from benchmarks.parts.measured_subnets import MeasuredSubnets, supernet_samples
from benchmarks.parts.report import (
    COLOURS,
    command,
    machine,
    markdown_table,
    new_figure,
    tidy,
    write_report,
)
from predictors import AccuracyPredictor, cost_arrays
from predictors.files import write_text
from qfa_search import ParetoFront, search
from qfa_search.evolution.refining import worth_measuring
from qfa_search.evolution.seen import genome_keys
from qfa_search.front.dominance import hypervolume, non_dominated_mask
from qfa_search.supernet.files import resolve_supernet
from search_spaces.arrays import Floats
from search_spaces.genome import Genomes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EVENLY, ONE, ROUNDS = "one search, evenly", "one search, by gain", "refined"
METHODS = (EVENLY, ONE, ROUNDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Sizes of the comparison.

    Attributes:
        n_start: Samples that the first predictor is fitted to.
        batch: Subnets that a round measures.
        rounds: Number of rounds.
        population: Of every search.
        generations: Of every search.
        noise: Standard deviation of a measurement, points of top-1.
    """

    n_start: int
    batch: int
    rounds: int
    population: int
    generations: int
    noise: float


class Bench:
    """Subnets measured so far, with noise for whoever searches, without it for the score.

    Attributes:
        X: Genomes, `(n, n_genes)`.
        measured: Top-1 in percent with noise, `(n,)`.
        true: Without.
    """

    def __init__(
        self, data: MeasuredSubnets, truth: AccuracyPredictor, plan: Plan, seed: int
    ) -> None:
        """Measure the samples of draw `seed`."""
        self.truth, self.plan, self.seed = truth, plan, seed
        self.noise = np.random.default_rng([seed, 1])
        self.limit = float(np.median(data.mflops()))
        self.worst = float(np.quantile(data.top1, 0.01))
        self.X: Genomes = data.X[:0]
        self.measured, self.true = np.empty(0), np.empty(0)
        self.measure(np.random.default_rng(seed).permutation(data.X)[: plan.n_start])

    def measure(self, X: Genomes) -> None:
        """Measure more subnets."""
        true = np.asarray(self.truth.predict(X), dtype=np.float64)
        noise = self.noise.normal(0, self.plan.noise, len(X))
        self.X = np.concatenate([self.X, X])
        self.true = np.concatenate([self.true, true])
        self.measured = np.concatenate([self.measured, np.clip(true + noise, 0, 100)])

    def front(self) -> Genomes:
        """The front by measured values, `(n, n_genes)`."""
        return self.X[self._inside()][non_dominated_mask(self._objectives(self.measured))]

    def hypervolume(self) -> float:
        """Of the true values of all that was measured."""
        return hypervolume(self._objectives(self.true), (self.limit, -self.worst))

    def _mflops(self) -> Floats:
        return np.asarray(cost_arrays(self.truth.space, self.X, ["mflops"])["mflops"])

    def _inside(self) -> NDArray[np.bool_]:
        return self._mflops() <= self.limit

    def _objectives(self, top1: Floats) -> Floats:
        return np.column_stack([self._mflops(), -top1])[self._inside()]

    def best_of(self, front: ParetoFront, n: int) -> Genomes:
        """The members of a predicted front that promise most, as `qfa_search.refine` takes them."""
        keys = set(genome_keys(self.X))
        objectives = self._objectives(self.measured)[:, ::-1]  # top1 first, as in `front`
        return worth_measuring(front, keys, objectives, (self.worst, self.limit), n).X

    def search(self) -> ParetoFront:
        """The predicted front after fitting to all that was measured."""
        predictor = AccuracyPredictor.fit(self.truth.space, self.X, self.measured, seed=self.seed)
        return search(
            space=self.truth.space,
            predictor=predictor,
            initial=self.front(),
            max_mflops=self.limit,
            population=self.plan.population,
            generations=self.plan.generations,
            seed=self.seed,
        )


def compared(
    data: MeasuredSubnets, truth: AccuracyPredictor, plan: Plan, seed: int
) -> list[tuple[str, int, int, float]]:
    """Method, seed, subnets measured after the start and hypervolume of both ways."""
    refined = Bench(data, truth, plan, seed)
    found = [(method, seed, 0, refined.hypervolume()) for method in METHODS]
    first = refined.search()
    for number in range(1, plan.rounds + 1):
        n = plan.batch * number
        evenly, once = (Bench(data, truth, plan, seed) for _ in range(2))
        evenly.measure(first.X[first.evenly_chosen(n)])
        found.append((EVENLY, seed, n, evenly.hypervolume()))
        once.measure(once.best_of(first, n))
        found.append((ONE, seed, n, once.hypervolume()))
        front = first if number == 1 else refined.search()
        refined.measure(refined.best_of(front, plan.batch))
        found.append((ROUNDS, seed, n, refined.hypervolume()))
    return found


def table(found: pd.DataFrame) -> str:
    """Median and quartiles by number of measured subnets, and in how many seeds rounds win."""
    rows = []
    for n, at in found.groupby("measured"):
        by_seed = at.pivot(index="seed", columns="method", values="hypervolume")
        cells = []
        for method in METHODS:
            low, middle, high = by_seed[method].quantile([0.25, 0.5, 0.75])
            cells.append(f"{middle:.4g} ({low:.4g} to {high:.4g})")
        ratio = by_seed[ROUNDS] / by_seed[EVENLY]
        won = f"{int((ratio > 1).sum())} of {len(ratio)}"
        rows.append((n, *cells, f"{ratio.median():.4f}", won))
    header = ("measured", *METHODS, "refined / one search, evenly", "refined is ahead in")
    return markdown_table(header, rows)


def plot(found: pd.DataFrame) -> Figure:
    """Medians with quartiles as bands."""
    figure = new_figure(5.4, 4.2)
    axes = figure.subplots()
    for colour, method in zip(COLOURS, METHODS, strict=False):
        by_n = found[found["method"] == method].groupby("measured")["hypervolume"]
        low, high = by_n.quantile(0.25), by_n.quantile(0.75)
        x = low.index.to_numpy()
        axes.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)
        axes.plot(x, by_n.median(), color=colour, marker="o", linewidth=1.7, label=method)
    axes.set(xlabel="subnets measured after the start", ylabel="hypervolume (MFLOPs x points)")
    axes.set_title("Measured subnets")
    axes.legend(frameon=False, fontsize=8.5, loc="lower right")
    tidy(figure)
    return figure


def main(arguments: list[str] | None = None) -> None:
    """Compare, print and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--samples", type=Path, metavar="FILE", help="default: fashion-mnist's")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--start", type=int, default=100, help="samples of the first predictor")
    parser.add_argument("--batch", type=int, default=16, help="subnets measured per round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--population", type=int, default=200)
    parser.add_argument("--generations", type=int, default=100)
    parser.add_argument("--noise", type=float, default=0.2, help="of a measurement, points")
    parser.add_argument("--jobs", type=int, default=2, help="processes, one thread each")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"), metavar="DIR")
    arguments = sys.argv[1:] if arguments is None else arguments
    args = parser.parse_args(arguments)
    data = supernet_samples(args.samples or resolve_supernet("fashion-mnist").samples)
    plan = Plan(
        n_start=args.start,
        batch=args.batch,
        rounds=args.rounds,
        population=args.population,
        generations=args.generations,
        noise=args.noise,
    )
    truth = data.fit(np.arange(len(data.X)), 0)
    with parallel_config("loky", n_jobs=args.jobs, inner_max_num_threads=1):
        parts = Parallel(verbose=5)(
            delayed(compared)(data, truth, plan, seed) for seed in range(args.seeds)
        )
    names = ["method", "seed", "measured", "hypervolume"]
    found = pd.DataFrame([row for part in parts for row in part], columns=names)
    line = command("refine_quality", arguments)
    sections = [
        "# What refining the predictor gains",
        f"Written by `{line}`, seeds 0 to {args.seeds - 1}.",
        f"Machine: {machine()} {args.jobs} processes at a time.",
        f"{data.name}; the truth is a predictor fitted to all {len(data.X)} of them, a measurement "
        f"is off by {args.noise:g} points (standard deviation). Each seed starts with "
        f"{args.start} of the samples, measured like that. *{EVENLY}*: as many members of the "
        f"first front are measured, evenly spread. *{ONE}*: those that promise the most "
        f"hypervolume beyond what is measured. *{ROUNDS}*: these, {args.batch} at a time; after "
        "each batch the predictor is fitted again, and the search repeated with population "
        f"{args.population} and {args.generations} generations. Hypervolume of the true values "
        "of all measured subnets, start included. Median of the seeds (quartiles).",
        table(found),
    ]
    csv = found.to_csv(index=False, float_format="%.6g", lineterminator="\n")
    write_text(args.out / "refine_quality.csv", f"# {line}\n{csv}")
    write_report(args.out, "refine_quality", "\n\n".join(sections) + "\n", plot(found))


if __name__ == "__main__":
    main()
