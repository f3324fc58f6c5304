"""Claim: BatchQuant makes mixed-precision supernet training stable where learned steps do not."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from benchmarks.claims.activation_steps import (
    LSQ_RULE,
    RELEASED_RULE,
    LearnedStepSupernet,
    static_network,
)
from benchmarks.claims.bench import Bench, Floats, plus_minus
from benchmarks.claims.finished import Numbers
from benchmarks.claims.section import Row, Section
from benchmarks.report import COLOURS, markdown_table, new_figure, tidy
from benchmarks.supernet_scores import corners
from predictors.files import atomic_path
from qfa_search.errors import TrainingError
from qfa_search.supernet.mobilenet_v3 import Supernet
from qfa_search.train.config import TrainConfig, preset
from qfa_search.train.distributed import World
from qfa_search.train.phase import Phase, Progress, run_phase
from qfa_search.train.sandwich import sandwich
from search_spaces import SearchSpace

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME = "stability"
BATCHQUANT = "batchquant"
VARIANTS: dict[str, Callable[[SearchSpace], Supernet]] = {
    BATCHQUANT: Supernet,
    "lsq": lambda space: LearnedStepSupernet(space, LSQ_RULE),
    "lsq-released": lambda space: LearnedStepSupernet(space, RELEASED_RULE),
}
Optimizer = Literal["adamw", "sgd"]
# What "sgd" changes in the preset: a high rate, and a clip that only stops explosions.
SGD_RATE, SGD_CLIP = 0.1, 500.0
MIXED_SHARE = 0.2  # of the steps has 32 bits as one more choice


@dataclass(frozen=True, slots=True, kw_only=True)
class StabilityPlan:
    """Sizes of the comparison.

    Attributes:
        steps: Optimizer steps of each training.
        float_steps: Of the float network that all start from.
        batch_size: Images per step and subnet.
        seeds: Trainings of each variant.
        optimizers: The preset's "adamw", "sgd" with a high rate, or both.
        windows: The loss is averaged over so many parts of the training.
    """

    steps: int = 1000
    float_steps: int = 1000
    batch_size: int = 64
    seeds: int = 3
    optimizers: tuple[Optimizer, ...] = ("adamw", "sgd")
    windows: int = 20

    def config(self, optimizer: Optimizer, seed: int) -> TrainConfig:
        """The recipe of one training."""
        config = preset("fashion-mnist", batch_size=self.batch_size, parts=1, seed=seed)
        if optimizer == "adamw":
            return config
        return preset(
            "fashion-mnist",
            batch_size=self.batch_size,
            parts=1,
            seed=seed,
            optimizer="sgd",
            learning_rate=SGD_RATE,
            clip_norm=SGD_CLIP,
        )


@dataclass(frozen=True, slots=True)
class Training:
    """What one training came to.

    Attributes:
        variant: Activation quantizer.
        optimizer: "adamw" or "sgd".
        seed: Of images, subnets and augmentation.
        losses: Mean over the random subnets at every step that ended well.
        norms: Gradient norm before clipping at these.
        n_steps: Steps that it should have had.
        top1: Of the corners on the validation split; empty after a non-finite loss.
        chance_loss: Loss of guessing.
    """

    variant: str
    optimizer: str
    seed: int
    losses: Floats
    norms: Floats
    n_steps: int
    top1: dict[str, float]
    chance_loss: float

    @property
    def ended_early(self) -> bool:
        """Whether a loss or gradient was no number."""
        return len(self.losses) < self.n_steps

    @property
    def diverged(self) -> bool:
        """Whether it ended early, or the last tenth is no better than guessing."""
        last = self.losses[-max(1, self.n_steps // 10) :]
        return self.ended_early or bool(last.mean() >= self.chance_loss)

    def windows(self, n: int) -> tuple[Floats, Floats]:
        """Ends of `n` windows and mean loss in each; NaN from a non-finite loss on."""
        edges = np.linspace(0, self.n_steps, min(n, self.n_steps) + 1).round().astype(int)
        padded = np.full(self.n_steps, np.nan)
        padded[: len(self.losses)] = self.losses
        means = [padded[a:b].mean() for a, b in pairwise(edges)]
        return edges[1:].astype(np.float64), np.array(means)


def stability(bench: Bench, plan: StabilityPlan, about: str) -> Section:
    """Train every variant from the same start, and compare."""
    start = float_start(bench, plan)
    found = []
    for optimizer in plan.optimizers:
        for seed in range(plan.seeds):
            for variant in VARIANTS:
                config = plan.config(optimizer, seed)
                settings = {
                    **bench.settings,
                    "start": start.stem,
                    "steps": plan.steps,
                    "recipe": asdict(config),
                }
                numbers = bench.runs.numbers(
                    f"{NAME}-{variant}-{optimizer}-seed{seed}",
                    settings,
                    lambda folder, v=variant, c=config: train_variant(  # type: ignore[misc]
                        bench, v, c, plan.steps, start, folder
                    ),
                )
                found.append(
                    Training(
                        variant,
                        optimizer,
                        seed,
                        np.array(numbers["losses"]),
                        np.array(numbers["norms"]),
                        plan.steps,
                        numbers["top1"],
                        math.log(bench.space.n_classes),
                    )
                )
    return Section(
        name=NAME,
        title="BatchQuant against learned steps in supernet training",
        parts=_parts(found, plan, about, bench.teacher_file is not None),
        rows=_rows(found, plan.windows),
        figure=_plot(found, plan.windows),
    )


def float_start(bench: Bench, plan: StabilityPlan) -> Path:
    """File with the weights of the float network that every training starts from."""
    config = plan.config("adamw", 0)
    settings = {**bench.settings, "steps": plan.float_steps, "recipe": asdict(config)}

    def run(folder: Path) -> Numbers:
        torch.manual_seed(config.seed)
        network = Supernet(bench.space.in_floating_point())
        largest = network.space.largest()
        losses: list[float] = []
        phase = Phase(
            name="float",
            n_steps=plan.float_steps,
            learning_rate=config.float_learning_rate,
            resolution=largest.resolution,
            subnets=lambda rng, step: [largest],
        )
        run_phase(
            phase,
            network,
            bench.source(config),
            config,
            folder,
            world=World(),
            on_step=lambda progress: losses.append(progress.losses[0]),
        )
        with atomic_path(bench.out / f"{folder.name}.pt") as path:
            torch.save(network.state_dict(), path)
        return {"weights": f"{folder.name}.pt"}

    return bench.out / str(bench.runs.numbers(f"{NAME}-float", settings, run)["weights"])


def train_variant(
    bench: Bench, variant: str, config: TrainConfig, n_steps: int, start: Path, folder: Path
) -> Numbers:
    """Losses, gradient norms and final scores of one training; it may end in a NaN."""
    space = bench.space
    torch.manual_seed(config.seed)
    supernet = VARIANTS[variant](space)
    supernet.load_state_dict(torch.load(start, weights_only=True), strict=False)
    supernet.reset_weight_scales()
    mixed = round(MIXED_SHARE * n_steps)
    phase = Phase(
        name="quantized",
        n_steps=n_steps,
        learning_rate=config.learning_rate,
        resolution=max(space.resolutions),
        subnets=lambda rng, step: sandwich(
            space, rng, n_random=config.n_random, float_bits=step < mixed
        ),
    )
    trace = folder / "trace.jsonl"
    ended_early = False
    with trace.open("a", encoding="utf-8", buffering=1) as file:
        file.write("\n")  # the line before may have been cut off

        def note(progress: Progress) -> None:
            line = [progress.step, float(np.mean(progress.losses[2:])), progress.gradient_norm]
            file.write(json.dumps(line) + "\n")

        try:
            source = bench.source(config)
            run_phase(phase, supernet, source, config, folder, world=World(), on_step=note)
        except TrainingError:
            ended_early = True
    losses, norms = read_trace(trace)
    top1: dict[str, float] = {}
    if not ended_early:
        names, X = corners(space)
        for name, genome in zip(names, X, strict=True):
            subnet = space.layout.decode(genome)
            network = static_network(supernet, subnet)
            top1[name] = bench.score(network, subnet.resolution, "val").top1
    return {"losses": losses, "norms": norms, "top1": top1}


def read_trace(path: Path) -> tuple[list[float], list[float]]:
    """Losses and gradient norms by step; of a step that was repeated, the last."""
    by_step: dict[int, tuple[float, float]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            step, loss, norm = json.loads(line)
        except ValueError:
            continue
        by_step[step] = loss, norm
    ordered = [by_step[step] for step in sorted(by_step)]
    return [loss for loss, _ in ordered], [norm for _, norm in ordered]


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


def _means(trainings: list[Training]) -> Floats:
    return np.array([np.mean(list(t.top1.values())) for t in trainings])


def _mean_error(values: Floats) -> float:
    return float(np.std(values, ddof=1) / math.sqrt(len(values))) if len(values) > 1 else math.inf


def _parts(found: list[Training], plan: StabilityPlan, about: str, has_teacher: bool) -> list[str]:
    parts = [
        "Does a supernet that mixes 2, 3 and 4 bits train better with BatchQuant than with "
        "learned activation steps (LSQ), and do those diverge?",
        about,
        f"One float network is trained for {plan.float_steps} steps (largest subnet); all "
        f"trainings start from its weights, with {plan.steps} steps of {plan.batch_size} images "
        f"for each of the sandwich's subnets, seeds 0 to {plan.seeds - 1}, the first "
        f"{MIXED_SHARE:.0%} with 32 bits as one more choice. Labels"
        f"{' and the soft labels of a teacher' if has_teacher else ' alone, no teacher'}. "
        "*batchquant*: as released. *lsq*: a step per layer, kernel size and bit width, "
        "started at 2 mean|x| / sqrt(qmax) of the first batch, gradient times 1 / sqrt(n qmax). "
        "*lsq-released*: steps start at 1, whatever the data, and their gradient is not scaled, "
        "as in the released code without BatchQuant. Both have no zero point, and the stem's "
        "input keeps BatchQuant. Activation parameters of all variants learn at the full rate. "
        "A training *diverges* when a loss or gradient is no number (it ends there), or when "
        "the last tenth of its losses is no better than guessing.",
    ]
    if "sgd" in plan.optimizers:
        parts.append(
            f"*adamw* is the preset's optimizer, rate and clip; *sgd* has Nesterov momentum, "
            f"rate {SGD_RATE:g} and clip {SGD_CLIP:g}."
        )
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
        ]
    return parts


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
