"""Claim: subnets are taken from the supernet without retraining."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from joblib import Parallel, delayed, parallel_config

from benchmarks.claims.bench import Bench, difference_error, standard_error
from benchmarks.claims.finished import Numbers
from benchmarks.claims.fronts import searched_front
from benchmarks.claims.section import Row, Section
from benchmarks.parts.report import COLOURS, markdown_table, new_figure, tidy
from predictors import cost_arrays
from predictors.files import read_metadata
from qfa_search.images.layout import SplitName
from qfa_search.supernet.allocator import reuse_freed_memory
from qfa_search.supernet.extract import extract
from qfa_search.supernet.mobilenet_v3 import Supernet
from qfa_search.training.config import TrainConfig, read_recipe
from qfa_search.training.distributed import World
from qfa_search.training.phase import Phase, run_phase
from qfa_search.training.recipe import ROUND_SHARE
from search_spaces.arrays import Floats
from search_spaces.genome import Genomes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME = "retraining"
TAKEN = "from the supernet"
FINE_TUNE_RATE = 0.1  # of the preset's: the weights are trained already
HELD_OUT: tuple[SplitName, ...] = ("val", "test")


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrainingPlan:
    """Sizes of the comparison.

    Attributes:
        subnets: Members of the searched front, evenly spread.
        epochs: Of fine-tuning, and of the short training from scratch.
        long_epochs: Of the long training from scratch.
        batch_size: Images per step.
        population: Of the search.
        generations: Of the search.
    """

    subnets: int = 5
    epochs: float = 2.0
    long_epochs: float = 6.0
    batch_size: int = 64
    population: int = 200
    generations: int = 100

    @property
    def ways(self) -> dict[str, tuple[bool, float]]:
        """Each way to train on: whether it starts from the supernet, and its epochs."""
        return {
            f"fine-tuned, {self.epochs:g} epochs": (True, self.epochs),
            f"from scratch, {self.epochs:g} epochs": (False, self.epochs),
            f"from scratch, {self.long_epochs:g} epochs": (False, self.long_epochs),
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """Scores of the same subnets, however trained.

    Attributes:
        mflops: `(n,)`.
        top1: By way and split, `(n,)` each.
        n_images: By split.
    """

    mflops: Floats
    top1: dict[str, dict[SplitName, Floats]]
    n_images: dict[SplitName, int]


def retraining(bench: Bench, plan: RetrainingPlan, about: str) -> Section:
    """Score subnets of the front as they are, fine-tuned and trained from scratch."""
    front = searched_front(bench, "mixed", plan.population, plan.generations)
    X = front[np.unique(np.linspace(0, len(front) - 1, plan.subnets).round().astype(int))]
    config = replace(bench.recipe, batch_size=plan.batch_size, parts=1)
    top1: dict[str, dict[SplitName, Floats]] = {
        TAKEN: {split: bench.top1(X, split) for split in HELD_OUT}
    }
    bench.source(config)  # images and soft labels, once for all processes
    with parallel_config("loky", n_jobs=bench.jobs, inner_max_num_threads=1):
        scores = Parallel()(
            delayed(trained_alone)(bench, genome, config, from_supernet=start, epochs=epochs)
            for start, epochs in plan.ways.values()
            for genome in X
        )
    for i, way in enumerate(plan.ways):
        of_way = scores[i * len(X) : (i + 1) * len(X)]
        top1[way] = {split: np.array([score[split] for score in of_way]) for split in HELD_OUT}
    mflops = np.asarray(cost_arrays(bench.space, X, ["mflops"])["mflops"], dtype=np.float64)
    found = Comparison(mflops, top1, {split: bench.n_images(split) for split in HELD_OUT})
    return Section(
        name=NAME,
        title="Without retraining",
        parts=[
            "Are subnets as good as they come from the supernet, or is there something to gain "
            "from training them on, or alone?",
            about,
            _set_up(bench, plan),
            "Top-1 on test ± binomial standard error (on validation).",
            _table(found),
            *verdicts(found),
        ],
        rows=_rows(found),
        figure=_plot(found),
    )


def trained_alone(
    bench: Bench, genome: Genomes, config: TrainConfig, *, from_supernet: bool, epochs: float
) -> Numbers:
    """Top-1 by split of one subnet after a training that runs nothing else."""
    subnet = bench.space.layout.decode(genome)
    share = FINE_TUNE_RATE if from_supernet else 1.0
    settings = {
        **bench.settings,
        "genome": genome.tolist(),
        "from_supernet": from_supernet,
        "epochs": epochs,
        "rate_share": share,
        "recipe": asdict(config),
    }

    def run(folder: Path) -> Numbers:
        reuse_freed_memory()
        torch.manual_seed(config.seed)
        supernet = bench.supernet() if from_supernet else Supernet(bench.space)
        phase = Phase(
            name="alone",
            n_steps=replace(config, epochs=epochs).n_steps("quantized", len(bench.train)),
            learning_rate=share * config.learning_rate,
            resolution=subnet.resolution,
            subnets=lambda rng, step: [subnet],
        )
        source = bench.source(config)
        run_phase(
            phase, supernet, source, config, folder, world=World(), on_step=lambda progress: None
        )
        scores: Numbers = {}
        for split in HELD_OUT:
            scores[split] = bench.score(extract(supernet, subnet), subnet.resolution, split).top1
        return scores

    start = "tuned" if from_supernet else "scratch"
    return bench.runs.numbers(f"{NAME}-{start}-{epochs:g}", settings, run)


def verdicts(found: Comparison) -> list[str]:
    """A sentence for each way to train, from the numbers on test."""
    taken = found.top1[TAKEN]["test"]
    sentences = []
    for way, scores in found.top1.items():
        if way == TAKEN:
            continue
        gaps = scores["test"] - taken
        errors = difference_error(scores["test"], taken, found.n_images["test"])
        gap, error = float(gaps.mean()), float(np.sqrt((errors**2).sum())) / len(gaps)
        if gap > 2 * error:
            claim = "the claim **does not hold** at this scale: training gains"
        elif gap < -2 * error:
            claim = "the claim **holds**: training loses"
        else:
            claim = "the claim **holds** within the noise: training changes top-1 by"
        better = int((gaps > 2 * errors).sum())
        worse = int((gaps < -2 * errors).sum())
        shown = f"{gap:+.2f}" if abs(gap) <= 2 * error else f"{abs(gap):.2f}"
        sentences.append(
            f"*Result, {way}*: {claim} {shown} points in the mean of {len(gaps)} subnets "
            f"(standard error {error:.2f}); {better} subnets are better than from the supernet by "
            f"more than two standard errors, {worse} are worse."
        )
    return sentences


def _set_up(bench: Bench, plan: RetrainingPlan) -> str:
    spent = quantized_epochs(read_metadata(bench.files.weights, "supernet"), len(bench.train))
    teacher = "and a teacher's soft labels, the same for all" if bench.teacher_file else "alone"
    return (
        f"{plan.subnets} members of the searched front, evenly spread. Each is trained alone, "
        f"quantized from the first step, by the preset's optimizer on batches of "
        f"{plan.batch_size}, from labels {teacher}; fine-tuning at {FINE_TUNE_RATE:g} times the "
        "rate. One seed. The budgets cannot be compared with the supernet's: its own quantized "
        f"training ran {spent:.3g} epochs with several subnets in every step, once for all "
        "subnets together, and began with a trained float network."
    )


def quantized_epochs(metadata: Mapping[str, Any], n_images: int) -> float:
    """Epochs with quantizers of a supernet, those of the one it started from included."""
    before = quantized_epochs(metadata["init"], n_images) if "init" in metadata else 0.0
    if "recipe" not in metadata:
        return before
    config = read_recipe(metadata["recipe"])
    mixed, quantized = (config.n_steps(name, n_images) for name in ("mixed", "quantized"))
    rounds = int(metadata.get("rounds", 0)) * math.ceil(ROUND_SHARE * quantized)
    return before + (mixed + quantized + rounds) * config.images_per_step / n_images


def _table(found: Comparison) -> str:
    rows = []
    for i, mflops in enumerate(found.mflops):
        cells = []
        for scores in found.top1.values():
            top1 = scores["test"][i]
            error = float(standard_error(top1, found.n_images["test"]))
            cells.append(f"{top1:.2f} ± {error:.2f} ({scores['val'][i]:.2f})")
        rows.append((f"{mflops:.3f}", *cells))
    return markdown_table(("MFLOPs", *found.top1), rows)


def _rows(found: Comparison) -> Sequence[Row]:
    return [
        Row(case=way, at=mflops, repeat=0, metric=f"top1 {split}", value=float(values[i]))
        for way, scores in found.top1.items()
        for split, values in scores.items()
        for i, mflops in enumerate(found.mflops.tolist())
    ]


def _plot(found: Comparison) -> Figure:
    figure = new_figure(6.4, 4.2)
    axes = figure.subplots()
    for colour, (way, scores) in zip(COLOURS, found.top1.items(), strict=False):
        errors = standard_error(scores["test"], found.n_images["test"])
        axes.errorbar(
            found.mflops,
            scores["test"],
            yerr=errors,
            color=colour,
            marker="o",
            markersize=4,
            capsize=2,
            linewidth=2.2 if way == TAKEN else 1.2,
            label=way,
        )
    axes.set(xscale="log", xlabel="MFLOPs", ylabel="top-1 on test (%)")
    axes.set_title("Subnets of the front, however trained")
    axes.legend(frameon=False, fontsize=8.5, loc="lower right")
    tidy(figure)
    return figure
