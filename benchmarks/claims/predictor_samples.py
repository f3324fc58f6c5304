"""How the accuracy predictor improves with the number of measured subnets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.stats import kendalltau

from benchmarks.claims.bench import Bench, plus_minus, standard_error
from benchmarks.claims.finished import Numbers
from benchmarks.claims.section import Row, Section
from benchmarks.parts.baselines import BASELINES
from benchmarks.parts.measured_subnets import MeasuredSubnets, supernet_samples
from benchmarks.parts.report import COLOURS, markdown_table, new_figure, tidy
from predictors import features
from predictors.files import file_digest

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME = "predictor"
OURS = "ours"
MODELS = (OURS, "Ridge", "RBF-SVR", "published MLP 3x600")
TAU_TOP1, TAU_ENTROPY, RMSE = "tau, top-1", "tau, cross-entropy", "RMSE"
METRICS = (TAU_TOP1, TAU_ENTROPY, RMSE)
GOAL = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictorPlan:
    """Sizes of the trial.

    Attributes:
        sizes: Numbers of subnets to learn from; those that there are not are left out, and all
            that are not held out come last.
        splits: Random splits.
        held_out: Share of the subnets that tests, the same for all sizes of a split.
    """

    sizes: tuple[int, ...] = (50, 100, 200, 400, 800, 1600)
    splits: int = 5
    held_out: float = 0.25

    def sizes_of(self, n: int) -> list[int]:
        """Numbers of subnets to learn from when there are `n`."""
        most = n - self.n_test(n)
        return [*(size for size in self.sizes if size < most), most]

    def n_test(self, n: int) -> int:
        """Subnets that are held out when there are `n`."""
        return max(2, round(self.held_out * n))


def predictor_samples(bench: Bench, plan: PredictorPlan, about: str) -> Section:
    """Fit every model to ever more samples of the supernet."""
    data = supernet_samples(bench.files.samples)
    sizes = plan.sizes_of(len(data.X))
    rows = [
        Row(case=model, at=n, repeat=split, metric=metric, value=value)
        for n in sizes
        for model in MODELS
        for split in range(plan.splits)
        for metric, value in scored(bench, data, model, n, split, plan.n_test(len(data.X))).items()
    ]
    frame = pd.DataFrame([(r.case, int(r.at), r.metric, r.value) for r in rows])
    frame.columns = pd.Index(["model", "n", "metric", "value"])
    n_images = bench.n_images("val")
    noise = float(standard_error(float(data.top1.mean()), n_images))
    return Section(
        name=NAME,
        title="Accuracy predictor",
        parts=[
            "How many measured subnets does the predictor need, and is it better than simpler "
            "models and than the published one?",
            about,
            f"{len(data.X)} measured subnets of the supernet; of each of {plan.splits} random "
            f"splits {plan.n_test(len(data.X))} are held out and test every model, the first n "
            "others train it. *ours* is fitted once, as `qfa-search fit` does it: to "
            "the cross-entropy, where there is one, and turned into top-1. The others are fitted "
            "to top-1 for tau and RMSE of top-1, and once more to the logarithm of the "
            "cross-entropy for its tau; they read one-hot genes. Mean over splits ± standard "
            f"deviation. A measured top-1 is itself off by {noise:.2f} points (one standard "
            f"error of {n_images} validation images), which no RMSE against it can be far below.",
            _table(frame),
            verdict(frame),
        ],
        rows=rows,
        figure=_plot(frame),
    )


def scored(
    bench: Bench, data: MeasuredSubnets, model: str, n_train: int, split: int, n_test: int
) -> dict[str, float]:
    """Kendall taus and RMSE of one model on subnets that it never saw."""
    settings = {
        "samples": file_digest(bench.files.samples),
        "model": model,
        "n_train": n_train,
        "n_test": n_test,
        "split": split,
    }

    def run(folder: Path) -> Numbers:
        order = np.random.default_rng(split).permutation(len(data.X))
        test, train = order[:n_test], order[n_test : n_test + n_train]
        entropy = data.cross_entropy
        by_entropy = None
        if model == OURS:
            top1 = data.fit(train, split).predict(data.X[test])
            by_entropy = None if entropy is None else -top1
        else:
            A = features(data.space, data.X)
            fit = BASELINES[model]
            top1 = fit(A[train], data.top1[train], A[test], split)[0]
            if entropy is not None:
                by_entropy = fit(A[train], np.log(entropy[train]), A[test], split)[0]
        numbers = {
            TAU_TOP1: float(kendalltau(top1, data.top1[test]).statistic),
            RMSE: float(np.sqrt(np.mean((top1 - data.top1[test]) ** 2))),
        }
        if entropy is not None and by_entropy is not None:
            numbers[TAU_ENTROPY] = float(kendalltau(by_entropy, entropy[test]).statistic)
        return numbers

    name = f"{NAME}-{model.split()[0].lower()}-{n_train}-split{split}"
    return bench.runs.numbers(name, settings, run)


def verdict(frame: pd.DataFrame) -> str:
    """From how many subnets ours reaches the goal, and whether it is the best."""
    means = frame.groupby(["metric", "model", "n"])["value"].mean()
    most = int(frame["n"].max())
    sentences = []
    for metric in METRICS:
        if metric not in means:
            continue
        ours = means[metric, OURS]
        others = {m: means[metric, m] for m in MODELS if m != OURS and (metric, m) in means}
        sign = -1 if metric == RMSE else 1
        best = [
            n for n in ours.index if all(sign * ours[n] >= sign * o[n] for o in others.values())
        ]
        where = (
            "at every size" if len(best) == len(ours) else f"at {len(best)} of {len(ours)} sizes"
        )
        sentence = f"{metric}: {ours[most]:.3f} with {most} subnets, ours the best {where}"
        if metric != RMSE:
            reached = [int(n) for n in ours.index if ours[n] >= GOAL]
            goal = f"from {reached[0]} subnets on" if reached else "never reached"
            sentence += f", {GOAL:g} {goal}"
        sentences.append(sentence)
    return f"*Result*, in the mean of the splits: {'; '.join(sentences)}."


def _table(frame: pd.DataFrame) -> str:
    metrics = [metric for metric in METRICS if metric in set(frame["metric"])]
    rows = []
    for (n, model), part in frame.groupby(["n", "model"], sort=False):
        values = [part.loc[part["metric"] == metric, "value"].to_numpy() for metric in metrics]
        shown = f"**{model}**" if model == OURS else model
        rows.append((n, shown, *(plus_minus(value, 3) for value in values)))
    return markdown_table(("subnets", "model", *metrics), rows)


def _plot(frame: pd.DataFrame) -> Figure:
    metrics = [metric for metric in METRICS if metric in set(frame["metric"])]
    figure = new_figure(4.4 * len(metrics), 4.0)
    for axes, metric in zip(
        figure.subplots(1, len(metrics), squeeze=False)[0], metrics, strict=True
    ):
        part = frame[frame["metric"] == metric]
        for colour, (model, found) in zip(COLOURS, part.groupby("model", sort=False), strict=False):
            by_n = found.groupby("n")["value"]
            axes.errorbar(
                by_n.mean().index,
                by_n.mean(),
                yerr=by_n.std(ddof=0),
                color=colour,
                marker="o",
                markersize=4,
                capsize=2,
                linewidth=2.2 if model == OURS else 1.2,
                label=str(model),
            )
        numbers = sorted(part["n"].unique().tolist())
        axes.set(xscale="log", xlabel="subnets to learn from")
        axes.set_xticks(numbers, [str(n) for n in numbers])
        axes.minorticks_off()
        axes.set_title(metric if metric != RMSE else "RMSE (points of top-1)")
        axes.legend(frameon=False, fontsize=8)
    tidy(figure)
    return figure
