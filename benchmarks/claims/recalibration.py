"""How many images recalibration needs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.claims.bench import Bench, plus_minus
from benchmarks.claims.finished import Numbers
from benchmarks.claims.section import Row, Section
from benchmarks.report import COLOURS, markdown_table, new_figure, tidy
from benchmarks.supernet_scores import corners
from qfa_search.evaluation import evaluate
from qfa_search.measuring import EVALUATION_BATCH
from qfa_search.supernet.extract import extract
from qfa_search.supernet.recalibrate import recalibrate
from search_spaces.genome import Genomes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME = "recalibration"
ENOUGH = 0.1  # points below the most images, in the mean of the draws


@dataclass(frozen=True, slots=True, kw_only=True)
class RecalibrationPlan:
    """Sizes of the trial.

    Attributes:
        images: Numbers of images.
        draws: Random draws of each number.
        batch_size: Images per batch; activation ranges depend on it.
    """

    images: tuple[int, ...] = (0, 64, 128, 256, 512, 1024, 2048)
    draws: int = 5
    batch_size: int = 64


def recalibration(bench: Bench, plan: RecalibrationPlan, about: str) -> Section:
    """Score a few subnets after recalibration on ever more images."""
    found: dict[str, dict[int, np.ndarray]] = {}
    for name, genome in subjects(bench).items():
        found[name] = {}
        for n in plan.images:
            draws = range(plan.draws if n else 1)  # without images there is nothing to draw
            scores = [scored(bench, name, genome, n, draw, plan.batch_size) for draw in draws]
            found[name][n] = np.array(scores)
    shown = [
        [n, *(plus_minus(by_n[n]) if n else f"{by_n[n][0]:.2f}" for by_n in found.values())]
        for n in plan.images
    ]
    return Section(
        name=NAME,
        title="Recalibration",
        parts=[
            "Training never updates running statistics. How many training images does a subnet "
            "need before it can be evaluated? The paper uses 1920 (30 batches of 64).",
            about,
            f"Top-1 on validation after recalibration on batches of {plan.batch_size} training "
            f"images, mean of {plan.draws} draws ± standard deviation; 0: as extracted.",
            markdown_table(("images", *found), shown),
            verdict(found),
        ],
        rows=[
            Row(case=name, at=n, repeat=draw, metric="top1 val", value=float(value))
            for name, by_n in found.items()
            for n, values in by_n.items()
            for draw, value in enumerate(values)
        ],
        figure=_plot(found),
    )


def subjects(bench: Bench) -> dict[str, Genomes]:
    """Largest, middle and smallest subnet, each at another bit width, and one of random genes."""
    names, X = corners(bench.space)
    n_bits = len(bench.space.bit_choices)
    rows = [i * n_bits + min(i, n_bits - 1) for i in range(3)]
    mixed = bench.space.layout.sample(np.random.default_rng(0), 1)[0]
    return {**{names[row]: X[row] for row in rows}, "random mixed": mixed}


def scored(
    bench: Bench, name: str, genome: Genomes, n_images: int, draw: int, batch_size: int
) -> float:
    """Top-1 on validation after recalibration on one draw."""
    settings = {
        **bench.settings,
        "genome": genome.tolist(),
        "images": n_images,
        "draw": draw,
        "batch_size": batch_size,
    }

    def run(folder: Path) -> Numbers:
        subnet = bench.space.layout.decode(genome)
        network = extract(bench.supernet(), subnet)
        if n_images:
            batches = bench.train.drawn(n_images, draw).batches(subnet.resolution, batch_size)
            recalibrate(network, batches, -(-n_images // batch_size))
        held_out = bench.held_out["val"].batches(subnet.resolution, EVALUATION_BATCH)
        return {"top1": evaluate(network, held_out).top1}

    short = name.replace("/", "-").replace(" ", "-")
    run_name = f"{NAME}-{short}-{n_images}-draw{draw}"
    return float(bench.runs.numbers(run_name, settings, run)["top1"])


def enough(by_n: dict[int, np.ndarray]) -> int:
    """The least number of images from which on no mean is far below that of the most."""
    means = {n: float(values.mean()) for n, values in by_n.items()}
    best = means[max(means)]
    numbers = sorted(means)
    short = [n for n in numbers if means[n] < best - ENOUGH]
    return numbers[numbers.index(short[-1]) + 1] if short else numbers[0]


def verdict(found: dict[str, dict[int, np.ndarray]]) -> str:
    """Images that are enough for every subnet, and what none cost."""
    needed = {name: enough(by_n) for name, by_n in found.items()}
    most = max(max(by_n) for by_n in found.values())
    needs = ", ".join(f"{n} for {name}" for name, n in needed.items())
    without = ""
    if all(0 in by_n for by_n in found.values()):
        losses = [float(by_n[max(by_n)].mean() - by_n[0].mean()) for by_n in found.values()]
        is_needed = min(losses) > ENOUGH
        without = (
            f" Without recalibration {min(losses):.1f} to {max(losses):.1f} points are missing, "
            f"so that it **{'is' if is_needed else 'is not always'}** needed."
        )
    return (
        f"*Result*: within {ENOUGH:g} points of {most} images from {max(needed.values())} images "
        f"on ({needs}).{without}"
    )


def _plot(found: dict[str, dict[int, np.ndarray]]) -> Figure:
    """Means with standard deviations; without images top-1 is far below, so it is left out."""
    figure = new_figure(6.4, 4.2)
    axes = figure.subplots()
    for colour, (name, by_n) in zip(COLOURS, found.items(), strict=False):
        numbers = [n for n in by_n if n]
        axes.errorbar(
            numbers,
            [by_n[n].mean() for n in numbers],
            yerr=[by_n[n].std() for n in numbers],
            color=colour,
            marker="o",
            markersize=4,
            capsize=2,
            label=name,
        )
    axes.set(xscale="log", xlabel="images of recalibration", ylabel="top-1 on validation (%)")
    numbers = sorted({n for by_n in found.values() for n in by_n if n})
    axes.set_xticks(numbers, [str(n) for n in numbers])
    axes.minorticks_off()
    axes.set_title("Mean and standard deviation of the draws")
    axes.legend(frameon=False, fontsize=8.5)
    tidy(figure)
    return figure
