"""How many images recalibration needs, and what doing it layer by layer gains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from benchmarks.claims.bench import Bench, plus_minus
from benchmarks.claims.finished import Numbers
from benchmarks.claims.section import Row, Section
from benchmarks.parts.report import COLOURS, markdown_table, new_figure, tidy
from benchmarks.supernet_scores import corners
from qfa_search.measuring.drawing import draw_stratified
from qfa_search.measuring.evaluation import Score, evaluate
from qfa_search.measuring.scoring import EVALUATION_BATCH
from qfa_search.measuring.subnets import measure_all
from qfa_search.supernet.extract import extract
from qfa_search.supernet.recalibrate import recalibrate
from search_spaces.arrays import Floats
from search_spaces.genome import Genomes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME = "recalibration"
ENOUGH = 0.1  # points below the most images, in the mean of the draws
FAR = 2.0  # points between two recalibrations of one subnet
METHODS = {"as published": False, "sequential": True}
Scores = dict[str, dict[int, Floats]]  # by subnet and number of images, one for each draw


@dataclass(frozen=True, slots=True, kw_only=True)
class RecalibrationPlan:
    """Sizes of the trial.

    Attributes:
        images: Numbers of images.
        draws: Random draws of each number.
        batch_size: Images per batch; activation ranges depend on it.
        compared: Subnets over the whole range of cost that are recalibrated both ways.
    """

    images: tuple[int, ...] = (0, 64, 128, 256, 512, 1024, 2048)
    draws: int = 5
    batch_size: int = 64
    compared: int = 150


def recalibration(bench: Bench, plan: RecalibrationPlan, about: str) -> Section:
    """Score a few subnets after recalibration on ever more images, and many both ways."""
    found = {method: scores(bench, plan, method) for method in METHODS}
    both = {method: compared(bench, plan, method) for method in METHODS}
    return Section(
        name=NAME,
        title="Recalibration",
        parts=[
            "Training never updates running statistics. How many training images does a subnet "
            "need before it can be evaluated? The paper uses 1920 (30 batches of 64), every "
            "batch on its own statistics, and averages those. *Sequential* sets each quantizer "
            "and norm from what reaches it through layers that are set already.",
            about,
            f"Top-1 on validation after recalibration on batches of {plan.batch_size} training "
            f"images, mean of {plan.draws} draws ± standard deviation; 0: as extracted.",
            *(
                f"**{method}**\n\n{_table(of_method, plan.images)}"
                for method, of_method in found.items()
            ),
            *(verdict(method, of_method) for method, of_method in found.items()),
            gain(*both.values()),
        ],
        rows=_rows(found, both),
        figure=_plot(found),
    )


def subjects(bench: Bench) -> dict[str, Genomes]:
    """Largest, middle and smallest subnet, each at another bit width, and one of random genes."""
    names, X = corners(bench.space)
    n_bits = len(bench.space.uniform_bits)
    rows = [i * n_bits + min(i, n_bits - 1) for i in range(3)]
    mixed = bench.space.layout.sample(np.random.default_rng(0), 1)[0]
    return {**{names[row]: X[row] for row in rows}, "random mixed": mixed}


def scores(bench: Bench, plan: RecalibrationPlan, method: str) -> Scores:
    """Top-1 of every subject after recalibration on every number of images."""
    found: Scores = {}
    for name, genome in subjects(bench).items():
        found[name] = {}
        for n in plan.images:
            draws = range(plan.draws if n else 1)  # without images there is nothing to draw
            found[name][n] = np.array(
                [
                    scored(bench, name, genome, n, draw, plan.batch_size, method=method)
                    for draw in draws
                ]
            )
    return found


def scored(
    bench: Bench,
    name: str,
    genome: Genomes,
    n_images: int,
    draw: int,
    batch_size: int,
    *,
    method: str,
) -> float:
    """Top-1 on validation after recalibration on one draw."""
    settings = {
        **bench.settings,
        "genome": genome.tolist(),
        "images": n_images,
        "draw": draw,
        "batch_size": batch_size,
        "method": method if n_images else None,
    }

    def run(folder: Path) -> Numbers:
        subnet = bench.space.layout.decode(genome)
        network = extract(bench.supernet(), subnet)
        if n_images:
            batches = bench.train.drawn(n_images, draw).batches(subnet.resolution, batch_size)
            n_batches = -(-n_images // batch_size)
            recalibrate(network, batches, n_batches, sequential=METHODS[method])
        held_out = bench.held_out["val"].batches(subnet.resolution, EVALUATION_BATCH)
        if n_images:
            return {"top1": evaluate(network, held_out).top1}
        score = Score()  # `evaluate` refuses a network without statistics, whose score is wanted
        with torch.inference_mode():
            for images, labels in held_out:
                score.add(network(images), labels)
        return {"top1": score.result().top1}

    short = name.replace("/", "-").replace(" ", "-")
    run_name = f"{NAME}-{short}-{n_images}-draw{draw}"
    return float(bench.runs.numbers(run_name, settings, run)["top1"])


def compared(bench: Bench, plan: RecalibrationPlan, method: str) -> Floats:
    """Top-1 on validation of the same subnets over the whole range of cost, `(n,)`."""
    config = bench.measuring("val")
    setting = replace(config.recalibration, sequential=METHODS[method])
    config = replace(config, recalibration=setting)
    settings = {**bench.settings, "n": plan.compared, "setting": str(setting)}

    def run(folder: Path) -> Numbers:
        X = draw_stratified(bench.space, plan.compared, np.random.default_rng(1))
        return {"top1": [found.top1 for found in measure_all(config, X, jobs=bench.jobs)]}

    return np.array(bench.runs.numbers(f"{NAME}-compared", settings, run)["top1"])


def enough(by_n: dict[int, Floats]) -> int:
    """The least number of images from which on no mean is far below that of the most."""
    means = {n: float(values.mean()) for n, values in by_n.items()}
    best = means[max(means)]
    numbers = sorted(means)
    short = [n for n in numbers if means[n] < best - ENOUGH]
    return numbers[numbers.index(short[-1]) + 1] if short else numbers[0]


def verdict(method: str, found: Scores) -> str:
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
        f"*Result, {method}*: within {ENOUGH:g} points of {most} images from "
        f"{max(needed.values())} images on ({needs}).{without}"
    )


def gain(published: Floats, sequential: Floats) -> str:
    """What the sequential recalibration of many subnets changes."""
    gaps = sequential - published
    error = float(gaps.std(ddof=1) / np.sqrt(len(gaps)))
    better, worse = int((gaps > FAR).sum()), int((gaps < -FAR).sum())
    return (
        f"*Result, one against the other*: {len(gaps)} subnets over the whole range of cost score "
        f"{gaps.mean():+.2f} points more when recalibrated sequentially (standard error "
        f"{error:.2f}, median {np.median(gaps):+.2f}); {better} gain more than {FAR:g} points, "
        f"the most {gaps.max():.1f}, and {worse} lose as much."
    )


def _table(found: Scores, images: Sequence[int]) -> str:
    rows = [
        [n, *(plus_minus(by_n[n]) if n else f"{by_n[n][0]:.2f}" for by_n in found.values())]
        for n in images
    ]
    return markdown_table(("images", *found), rows)


def _rows(found: dict[str, Scores], both: dict[str, Floats]) -> list[Row]:
    draws = [
        Row(case=f"{name}, {method}", at=n, repeat=draw, metric="top1 val", value=float(value))
        for method, of_method in found.items()
        for name, by_n in of_method.items()
        for n, values in by_n.items()
        for draw, value in enumerate(values)
    ]
    return draws + [
        Row(case=f"compared, {method}", at=i, repeat=0, metric="top1 val", value=float(value))
        for method, values in both.items()
        for i, value in enumerate(values)
    ]


def _plot(found: dict[str, Scores]) -> Figure:
    """Means with standard deviations; without images top-1 is far below, so it is left out."""
    figure = new_figure(6.4, 4.2)
    axes = figure.subplots()
    for (method, of_method), style in zip(found.items(), ("--", "-"), strict=True):
        for colour, (name, by_n) in zip(COLOURS, of_method.items(), strict=False):
            numbers = [n for n in by_n if n]
            axes.errorbar(
                numbers,
                [by_n[n].mean() for n in numbers],
                yerr=[by_n[n].std() for n in numbers],
                color=colour,
                linestyle=style,
                marker="o",
                markersize=4,
                capsize=2,
                label=f"{name}, {method}",
            )
    axes.set(xscale="log", xlabel="images of recalibration", ylabel="top-1 on validation (%)")
    every = (by_n for of_method in found.values() for by_n in of_method.values())
    numbers = sorted({n for by_n in every for n in by_n if n})
    axes.set_xticks(numbers, [str(n) for n in numbers])
    axes.minorticks_off()
    axes.set_title("Mean and standard deviation of the draws")
    axes.legend(frameon=False, fontsize=7.5)
    tidy(figure)
    return figure
