"""How well accuracy predictors rank unseen subnets, by the number of measured ones.

    python -m benchmarks.predictor_quality --data FILE [--samples FILE]

FILE after --data is a CSV of OFA-MobileNetV3 subnets with measured ImageNet top-1 (columns
kernel_size_0..19, expand_ratio_0..19, depth_0..4, top1); without it that part is left out. Each
draw shuffles the subnets; the first n train every model, all others test it. Writes
predictor_quality.csv, .md and .png.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from joblib import Parallel, delayed, parallel_config
from scipy.stats import kendalltau, spearmanr

from benchmarks.parts.baselines import BASELINES, Prediction
from benchmarks.parts.measured_subnets import MeasuredSubnets, available
from benchmarks.parts.report import (
    COLOURS,
    command,
    machine,
    markdown_table,
    new_figure,
    tidy,
    write_report,
)
from predictors import features
from predictors.files import write_text
from predictors.held_out import Z_90

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OURS = "ours"
MIN_TEST = 50  # fewer unseen subnets say little
# Kendall tau to beat on the ImageNet pool, by number of training subnets.
FLOORS = {100: 0.901, 200: 0.929, 500: 0.953, 1000: 0.961}


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One model, fitted once.

    Attributes:
        data: Name of the subnets.
        model: Name of the model.
        n_train: Subnets it was fitted to.
        n_test: Subnets it had never seen.
        draw: Which shuffle.
        kendall_tau: Rank correlation on those.
        spearman: The other rank correlation.
        rmse: Points of top-1.
        coverage: Share of them within 1.645 spreads, percent; NaN without a spread.
        cpu_seconds: Processor time to fit and predict, one thread.
    """

    data: str
    model: str
    n_train: int
    n_test: int
    draw: int
    kendall_tau: float
    spearman: float
    rmse: float
    coverage: float
    cpu_seconds: float


def scored(data: MeasuredSubnets, model: str, n_train: int, draw: int) -> Score:
    """Fit one model to the first `n_train` subnets of a shuffle and try it on the others."""
    order = np.random.default_rng(draw).permutation(len(data.X))
    train, test = order[:n_train], order[n_train:]
    prediction: Prediction
    start = time.process_time()
    if model == OURS:
        prediction = data.fit(train, draw).predict_with_spread(data.X[test])
    else:
        A = features(data.space, data.X)
        prediction = BASELINES[model](A[train], data.top1[train], A[test], draw)
    seconds = time.process_time() - start
    mean, spread = prediction
    truth = data.top1[test]
    inside = np.nan if spread is None else np.mean(np.abs(truth - mean) <= Z_90 * spread) * 100
    return Score(
        data=data.name,
        model=model,
        n_train=n_train,
        n_test=len(test),
        draw=draw,
        kendall_tau=float(kendalltau(mean, truth).statistic),
        spearman=float(spearmanr(mean, truth).statistic),
        rmse=float(np.sqrt(np.mean((mean - truth) ** 2))),
        coverage=float(inside),
        cpu_seconds=seconds,
    )


def table(scores: pd.DataFrame) -> str:
    """Means over the draws, a row per number of training subnets and model."""
    rows = []
    for (n_train, model), part in scores.groupby(["n_train", "model"], sort=False):
        mean, deviation = part.mean(numeric_only=True), part.std(numeric_only=True, ddof=0)
        name = f"**{model}**" if model == OURS else model
        rows.append(
            (
                n_train,
                int(mean["n_test"]),
                name,
                f"{mean['kendall_tau']:.3f} ± {deviation['kendall_tau']:.3f}",
                f"{mean['spearman']:.3f}",
                f"{mean['rmse']:.3f}",
                "" if np.isnan(mean["coverage"]) else f"{mean['coverage']:.0f} %",
                f"{mean['cpu_seconds']:.1f}",
            )
        )
    header = ("training", "unseen", "model", "Kendall tau", "Spearman", "RMSE (points)")
    return markdown_table((*header, "within 90 % interval", "CPU s"), rows)


def text(scores: pd.DataFrame, missing: list[str], about: str) -> str:
    """The whole report in Markdown."""
    sections = [
        "# Quality of accuracy predictors",
        about,
        "Mean over the draws ± standard deviation; trained on *training*, tried on *unseen* "
        f"subnets. The 90 % interval is top-1 ± {Z_90} spreads: nearly 90 % of the unseen subnets "
        "should be inside. CPU seconds: to fit and predict, one thread.",
        "\n".join(f"- Left out: {sentence}" for sentence in missing),
    ]
    for name, part in scores.groupby("data", sort=False):
        sections += [f"## {name}", table(part)]
        if name == "ImageNet pool":
            ours = part[part["model"] == OURS].groupby("n_train")["kendall_tau"].mean()
            reached = [
                (n, f"{floor:.3f}", f"{ours[n]:.3f}", "yes" if ours[n] > floor else "**no**")
                for n, floor in FLOORS.items()
                if n in ours
            ]
            sections += [
                "Against the best that scikit-learn reached in an earlier comparison (on twice as "
                "large a pool, trained on this half, tried on the other):",
                markdown_table(("training", "to beat", OURS, "beaten"), reached),
            ]
    return "\n\n".join(section for section in sections if section) + "\n"


def plot(scores: pd.DataFrame) -> Figure:
    """Kendall tau and RMSE over the number of training subnets."""
    names = list(dict.fromkeys(scores["data"]))
    figure = new_figure(10, 3.9 * len(names))
    grid = figure.subplots(len(names), 2, squeeze=False)
    for name, row in zip(names, grid, strict=True):
        part = scores[scores["data"] == name]
        ticks = sorted(part["n_train"].unique().tolist())
        for axes, column, label in (
            (row[0], "kendall_tau", "Kendall tau"),
            (row[1], "rmse", "RMSE (points of top-1)"),
        ):
            for colour, (model, found) in zip(
                COLOURS, part.groupby("model", sort=False), strict=False
            ):
                by_n = found.groupby("n_train")[column]
                axes.errorbar(
                    by_n.mean().index,
                    by_n.mean(),
                    yerr=by_n.std(ddof=0),
                    color=colour,
                    marker="o",
                    markersize=4,
                    linewidth=2.2 if model == OURS else 1.2,
                    capsize=2,
                    label=str(model),
                    zorder=3 if model == OURS else 2,
                )
            axes.set(xscale="log", xlabel="measured subnets to learn from", ylabel=label)
            if column == "rmse":
                axes.set(yscale="log")
            axes.set_xticks(ticks, [str(n) for n in ticks])
            axes.minorticks_off()
            axes.set_title(f"{name}: {label.partition(' (')[0]} on unseen subnets")
        row[0].legend(frameon=False, fontsize=8.5, loc="lower right")
    tidy(figure)
    return figure


def main(arguments: list[str] | None = None) -> None:
    """Fit everything, print and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, metavar="FILE", help="CSV of the ImageNet pool")
    parser.add_argument("--samples", type=Path, metavar="FILE", help="default: fashion-mnist's")
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 200, 500, 1000])
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--models", nargs="+", choices=(OURS, *BASELINES))
    parser.add_argument("--jobs", type=int, default=2, help="processes, one thread each")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"), metavar="DIR")
    arguments = sys.argv[1:] if arguments is None else arguments
    args = parser.parse_args(arguments)
    sets, missing = available(args.data, args.samples)
    for sentence in missing:
        print(f"left out: {sentence}", file=sys.stderr)
    tasks = [
        (data, model, n, draw)
        for data in sets
        for n in args.sizes
        if n + MIN_TEST <= len(data.X)
        for model in args.models or (OURS, *BASELINES)
        for draw in range(args.draws)
    ]
    if not tasks:
        print("nothing to try predictors on", file=sys.stderr)
        return
    with parallel_config("loky", n_jobs=args.jobs, inner_max_num_threads=1):
        found = Parallel(verbose=5)(delayed(scored)(*task) for task in tasks)
    scores = pd.DataFrame([asdict(score) for score in found])
    line = command("predictor_quality", arguments)
    about = (
        f"Written by `{line}`, draws and seeds 0 to {args.draws - 1}.\n\nMachine: {machine()} "
        f"{args.jobs} processes at a time."
    )
    csv = scores.to_csv(index=False, float_format="%.5f", lineterminator="\n")
    write_text(args.out / "predictor_quality.csv", f"# {line}\n{csv}")
    write_report(args.out, "predictor_quality", text(scores, missing, about), plot(scores))


if __name__ == "__main__":
    main()
