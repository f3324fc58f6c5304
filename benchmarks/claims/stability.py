"""Claim: BatchQuant makes mixed-precision supernet training stable where learned steps do not."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.claims.bench import Bench, plus_minus
from benchmarks.claims.section import Row, Section
from benchmarks.claims.supernet_trainings import (
    ADAMW_RATE,
    BATCHQUANT,
    MIXED_SHARE,
    NAME,
    SGD_CLIP,
    SGD_RATE,
    VARIANTS,
    StabilityPlan,
    Training,
    trainings,
)
from benchmarks.parts.report import COLOURS, markdown_table, new_figure, tidy
from search_spaces.arrays import Floats

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def stability(bench: Bench, plan: StabilityPlan, about: str) -> Section:
    """Train every variant from the same start, and compare."""
    found = trainings(bench, plan)
    return Section(
        name=NAME,
        title="BatchQuant against learned steps in supernet training",
        parts=_parts(found, bench, plan, about),
        rows=_rows(found, plan.windows),
        figure=_plot(found, plan.windows),
    )


def verdict(found: list[Training], optimizer: str) -> str:
    """What the trainings with one optimizer say about the claim."""
    of = {v: [t for t in found if (t.variant, t.optimizer) == (v, optimizer)] for v in VARIANTS}
    ours = of[BATCHQUANT]
    n_ours = sum(t.diverged for t in ours)
    sentences = []
    for variant, theirs in of.items():
        if variant == BATCHQUANT:
            continue
        n_theirs = sum(t.diverged for t in theirs)
        if n_theirs != n_ours:
            holds = n_theirs > n_ours
            reason = f"{n_theirs} of {len(theirs)} trainings diverge against {n_ours}"
        elif n_ours == len(ours):
            holds, reason = False, "all trainings of both diverge"
        else:
            a, b = (_means([t for t in part if not t.diverged]) for part in (ours, theirs))
            gap = float(a.mean() - b.mean())
            error = math.hypot(_mean_error(a), _mean_error(b))
            holds = gap > 2 * error
            reason = (
                f"{n_theirs} trainings of either diverge, and the mean of the subnets is "
                f"{abs(gap):.2f} points {'above' if gap > 0 else 'below'} (standard error over "
                f"seeds {f'{error:.2f}' if math.isfinite(error) else 'unknown'})"
            )
        sentences.append(
            f"against {variant} the claim **{'holds' if holds else 'does not hold'}** at this "
            f"scale: {reason}"
        )
    return f"*Result, {optimizer}*: {'; '.join(sentences)}."


def seed_spread(found: list[Training]) -> str:
    """How far the seeds of BatchQuant are apart in the largest subnet; empty with one seed."""
    scores = [t.top1 for t in found if t.variant == BATCHQUANT and t.top1]
    if len(scores) < 2:
        return ""
    spreads = {
        name: max(s[name] for s in scores) - min(s[name] for s in scores) for name in scores[0]
    }
    shown = ", ".join(
        f"{gap:.2f} in {name}" for name, gap in spreads.items() if name.startswith("largest")
    )
    return (
        f"*Result, seeds*: {len(scores)} trainings with batchquant that differ in the seed alone "
        f"(float start included, the same teacher) are at most {shown} points apart; at most "
        f"{max(spreads.values()):.2f} in any of the subnets."
    )


def _means(trainings: list[Training]) -> Floats:
    return np.array([np.mean(list(t.top1.values())) for t in trainings])


def _mean_error(values: Floats) -> float:
    return float(np.std(values, ddof=1) / math.sqrt(len(values))) if len(values) > 1 else math.inf


def _parts(found: list[Training], bench: Bench, plan: StabilityPlan, about: str) -> list[str]:
    parts = [
        "Does a supernet that mixes 2, 3 and 4 bits train better with BatchQuant than with "
        "learned activation steps (LSQ), and do those diverge?",
        about,
        f"For each of the seeds 0 to {plan.seeds - 1} a float network is trained for "
        f"{plan.float_steps} steps (largest subnet); all variants start from its weights, with "
        f"{plan.steps} steps of {plan.batch_size} images for each of the sandwich's subnets, the "
        f"first {MIXED_SHARE:.0%} with 32 bits as one more choice. Labels"
        f"{' and the soft labels of a teacher' if bench.teacher_file else ' alone, no teacher'}. "
        "*batchquant*: as released. *lsq*: a step per layer, kernel size and bit width, "
        "started at 2 mean|x| / sqrt(qmax) of the first batch, gradient times 1 / sqrt(n qmax). "
        "*lsq-released*: steps start at 1, whatever the data, and their gradient is not scaled, "
        "as in the released code without BatchQuant. Both have no zero point, and the stem's "
        "input keeps BatchQuant. Activation parameters of all variants learn at the full rate. "
        "A training *diverges* when a loss or gradient is no number (it ends there), or when "
        "the last tenth of its losses is no better than guessing.",
    ]
    parts.append(" ".join(f"*{name}*: {_settings(name, bench)}." for name in plan.optimizers))
    for optimizer in plan.optimizers:
        chosen = [t for t in found if t.optimizer == optimizer]
        parts += [
            f"**{optimizer}**: loss of random subnets after so many steps (mean over the window "
            "before, median of the seeds with quartiles), gradient norms before clipping.",
            _loss_table(chosen, plan.windows),
            f"Top-1 of subnets on validation after recalibration, {optimizer}, mean over seeds "
            "that did not end early ± standard deviation.",
            _score_table(chosen),
            verdict(found, optimizer),
            seed_spread(chosen),
        ]
    return parts


def _settings(optimizer: str, bench: Bench) -> str:
    """What an optimizer changes in the preset."""
    if optimizer == bench.recipe.optimizer:
        return f"optimizer, rates and clip of the preset {bench.preset_name}"
    if optimizer == "sgd":
        return f"Nesterov momentum, rate {SGD_RATE:g} and clip {SGD_CLIP:g}"
    return f"rate {ADAMW_RATE:g}"


def _loss_table(found: list[Training], windows: int) -> str:
    by_variant = {v: [t for t in found if t.variant == v] for v in VARIANTS}
    ends = found[0].windows(windows)[0]
    rows: list[list[str]] = []
    for i in sorted({round(share * (len(ends) - 1)) for share in (0.05, 0.25, 0.5, 0.75, 1)}):
        row = [f"loss, step {ends[i]:.0f}"]
        for part in by_variant.values():
            values = np.array([t.windows(windows)[1][i] for t in part])
            row.append(_quartiles(values[np.isfinite(values)], 3))
        rows.append(row)

    def line(name: str, text: Callable[[list[Training]], str]) -> None:
        rows.append([name, *(text(part) for part in by_variant.values())])

    line("gradient norm, median", lambda p: _quartiles(_of_norms(p, np.median)))
    line("largest norm", lambda p: _largest(_of_norms(p, np.max)))
    line("largest norm, second half", lambda p: _largest(_of_norms(p, np.max, second_half=True)))
    line("non-finite loss", lambda p: f"{sum(t.ended_early for t in p)} of {len(p)}")
    line("diverged", lambda p: f"{sum(t.diverged for t in p)} of {len(p)}")
    return markdown_table(("", *by_variant), rows)


def _score_table(found: list[Training]) -> str:
    by_variant = {v: [t for t in found if t.variant == v and t.top1] for v in VARIANTS}
    names = next((list(t.top1) for part in by_variant.values() for t in part), [])
    rows = [
        [name, *(plus_minus(np.array([t.top1[name] for t in p])) for p in by_variant.values())]
        for name in names
    ]
    rows.append(["**mean**", *(plus_minus(_means(part)) for part in by_variant.values())])
    return markdown_table(("subnet, w/a bits", *by_variant), rows)


def _of_norms(
    trainings: list[Training],
    reduce: Callable[[Floats], float],
    *,
    second_half: bool = False,
) -> Floats:
    """A number from the gradient norms of each training that got so far."""
    parts = [t.norms[t.n_steps // 2 if second_half else 0 :] for t in trainings]
    return np.array([reduce(norms) for norms in parts if len(norms)])


def _largest(values: Floats) -> str:
    return f"{values.max():.3g}" if len(values) else "none"


def _quartiles(values: Floats, digits: int = 2) -> str:
    if not len(values):
        return "none"
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def _rows(found: list[Training], windows: int) -> list[Row]:
    rows = []
    for t in found:
        case = f"{t.variant}, {t.optimizer}"

        def row(at: float, metric: str, value: Any, case: str = case, seed: int = t.seed) -> Row:
            return Row(case=case, at=at, repeat=seed, metric=metric, value=float(value))

        rows += [
            row(end, "loss of random subnets", loss)
            for end, loss in zip(*t.windows(windows), strict=True)
        ]
        rows.append(row(t.n_steps, "largest gradient norm", max(t.norms, default=math.nan)))
        rows.append(row(len(t.losses), "diverged", t.diverged))
        rows += [row(t.n_steps, f"top1 {name}", value) for name, value in t.top1.items()]
    return rows


def _plot(found: list[Training], windows: int) -> Figure:
    """Loss and gradient norm over the steps, a row for each optimizer."""
    optimizers = list(dict.fromkeys(t.optimizer for t in found))
    figure = new_figure(10, 3.7 * len(optimizers))
    grid = figure.subplots(len(optimizers), 2, squeeze=False)
    for optimizer, (left, right) in zip(optimizers, grid, strict=True):
        for colour, variant in zip(COLOURS, VARIANTS, strict=False):
            part = [t for t in found if (t.variant, t.optimizer) == (variant, optimizer)]
            ends = part[0].windows(windows)[0]
            losses = np.array([t.windows(windows)[1] for t in part])
            seen = np.isfinite(losses).any(axis=0)
            low, middle, high = np.nanquantile(losses[:, seen], [0.25, 0.5, 0.75], axis=0)
            left.fill_between(ends[seen], low, high, color=colour, alpha=0.2, linewidth=0)
            left.plot(ends[seen], middle, color=colour, linewidth=1.7, label=variant)
            for t in part:
                right.plot(t.norms, color=colour, linewidth=0.6, alpha=0.7)
        left.set(xlabel="step", ylabel="loss of random subnets")
        left.set_title(f"{optimizer}: loss, median and quartiles of seeds")
        left.legend(frameon=False, fontsize=8.5)
        right.set(xlabel="step", ylabel="gradient norm", yscale="log")
        right.set_title(f"{optimizer}: gradient norm before clipping, every seed")
    tidy(figure)
    return figure
