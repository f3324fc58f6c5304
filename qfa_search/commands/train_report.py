"""What `qfa-search train` tells: progress, the estimate, the scores and what to do next."""

from __future__ import annotations

import json
import logging
import math
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from qfa_search.images.names import printable, printable_lines

if TYPE_CHECKING:
    from qfa_search.images.published_set import Listed
    from qfa_search.training.plan import Planned
    from search_spaces import SearchSpace

PREDICTOR_FILE = "predictor.safetensors"


def tell(message: str) -> None:
    """Print to stderr, where progress goes."""
    typer.echo(printable_lines(message), err=True)


def tell_images(listed: Listed) -> None:
    """What was understood of a data set, and what of it is left out, a line each."""
    tell(listed.told)
    if listed.left_out:
        tell(f"left out: {listed.left_out}")


def space_in_words(space: SearchSpace) -> str:
    """What is to be trained, in four lines that fit a narrow terminal."""
    low, high = cost_range(space)
    colours = {1: "grey", 3: "colour"}.get(space.input_channels, f"{space.input_channels}-channel")
    sides = ", ".join(map(str, space.resolutions))
    stages = ", ".join(str(stage.width) for stage in space.stages)
    w_bits, a_bits = (
        ", ".join(map(str, choices)) for choices in (space.w_bit_choices, space.a_bit_choices)
    )
    bits = f"weights of {w_bits} bits, activations of {a_bits} bits"
    if w_bits == a_bits:
        bits = f"weights and activations of {w_bits} bits" if w_bits else "floating point"
    return (
        f"space {space.name}: {space.n_classes} classes, {colours} images of {sides} px,\n"
        f"stages of {stages} channels,\n"
        f"{bits},\n"
        f"10^{space.log10_size():.0f} subnets of {low:.2g} to {high:.2g} MFLOPs"
    )


def cost_range(space: SearchSpace) -> tuple[float, float]:
    """MFLOPs of the cheapest and of the largest subnet."""
    import numpy as np

    from predictors import cost_arrays

    corners = np.stack([space.layout.lowest(), space.layout.highest()])
    low, high = cost_arrays(space, corners, ["mflops"])["mflops"]
    return float(low), float(high)


def print_result(path: Path, data: str, *, as_json: bool) -> None:
    """Print the scores in a supernet file, and the commands that come next unless as JSON."""
    from joblib import cpu_count

    from predictors.files import read_metadata
    from qfa_search.training.gaps import below_teacher
    from qfa_search.training.recipe import TEACHER_FILE
    from search_spaces import SearchSpace

    metadata = read_metadata(path, "supernet")
    if as_json:
        typer.echo(json.dumps({"supernet": str(path), "scores": metadata["scores"]}))
        return
    for name, top1 in metadata["scores"].items():
        typer.echo(f"{name}: {top1:.2f} % of the validation split")
    typer.echo(f"written: {path}")
    gap = below_teacher(metadata["scores"])
    if gap and (path.parent / TEACHER_FILE).is_file():
        n_steps = metadata["steps"]["quantized"]
        run, images = _folder_argument(path.parent), shlex.quote(data)
        typer.echo(
            f"the largest subnet is {gap:.1f} points below its teacher; to train on for as long:\n"
            f"  qfa-search train --data {images} --continue {n_steps} --init {run} --out {run}-2"
        )
    low, high = cost_range(SearchSpace.from_dict(metadata["space"]))
    out = path.parent
    samples, predictor = (shlex.quote(str(out / f)) for f in ("samples.sqlite", PREDICTOR_FILE))
    run, images = _folder_argument(out), shlex.quote(data)
    typer.echo(
        "next: measure subnets, fit a predictor to them, search\n"
        f"  qfa-search sample --supernet {run} --data {images} --n 500 --out {samples} "
        f"--jobs {cpu_count()}\n"
        f"  qfa-search fit --samples {samples} --out {predictor}\n"
        f"  qfa-search --supernet {run} --max-mflops {math.sqrt(low * high):.2g}"
    )


def _folder_argument(folder: Path) -> str:
    """What a command line calls a supernet's folder, whatever name it has."""
    from qfa_search.supernet.files import BUNDLED_SUPERNETS
    from qfa_search.training.arguments import NO_START

    name = str(folder)
    return f"./{name}" if name in (*BUNDLED_SUPERNETS, NO_START) else shlex.quote(name)


def print_dry_run(planned: Planned) -> None:
    """Print shapes, parameters, memory, step time and hours of a training without any data."""
    from qfa_search.commands.tables import print_table
    from qfa_search.supernet.mobilenet_v3 import Supernet
    from qfa_search.training.estimate import duration, probe_batch, step_memory, told
    from search_spaces import layer_specs

    space, config = planned.space, planned.config
    layers = layer_specs(space, space.largest())
    print_table(
        ["layer", "kind", "in", "out", "kernel", "stride", "map"],
        [
            [
                *(layer.name, layer.kind, str(layer.in_channels), str(layer.out_channels)),
                *(str(layer.kernel_size), str(layer.stride), f"{layer.out_size} px"),
            ]
            for layer in layers
        ],
    )
    n_all = sum(parameter.numel() for parameter in Supernet(space).parameters())
    n_largest = sum(layer.n_params for layer in layers)
    side, batch = max(space.resolutions), config.batch_size
    typer.echo(
        f"largest subnet of {printable(space.name)}: {n_largest:,} parameters; supernet: {n_all:,}"
    )
    n_bytes, batches = step_memory(space, config)
    known = "" if batches == (batch,) else f", extended from batches of {batches[0]}, {batches[1]}"
    typer.echo(
        f"memory of a training step, each process: {n_bytes / 1e9:.2f} GB "
        f"({batch} images of {side} px{known})"
    )
    times = planned.times()
    probe = probe_batch(space, config)
    scaled = "" if probe == batch else f", timed with batches of {probe}"
    for phase in times:
        if phase.is_fixed:
            typer.echo(f"{phase.name}: {phase.n_steps:,}, {duration(phase.seconds)}")
            continue
        typer.echo(
            f"{phase.name} phase: {phase.n_steps:,} steps of {config.images_per_step} images, "
            f"{phase.seconds_per_step:.2f} s each{scaled}: {duration(phase.seconds)}"
            f"{'' if phase.is_certain else ', if much is left to gain'}"
        )
    estimate = told(times, planned.processes)
    decoded = "" if planned.listed else ", without decoding them"
    typer.echo(
        f"{planned.n_images:,} images, recipe {printable(planned.preset)}: {estimate}{decoded}"
    )


class _PlainFormatter(logging.Formatter):
    """Messages whose names of files are safe to show."""

    def format(self, record: logging.LogRecord) -> str:
        return printable_lines(super().format(record))


@contextmanager
def notes_on_stderr(quiet: bool) -> Iterator[None]:
    """What the package notes on its way, in plain lines on stderr; only warnings when quiet."""
    logger = logging.getLogger("qfa_search")
    handler = logging.StreamHandler()
    handler.setFormatter(_PlainFormatter())
    level, propagates = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.WARNING if quiet else logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagates
