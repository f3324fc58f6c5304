"""What ImageNet takes on several GPUs: work, images, exchange and hours, computed.

    python -m benchmarks.scale_arithmetic [--tmacs 0.5 1 2] [--images 1281167]

Nothing is trained and no GPU is needed. Work and exchange are exact, of the subnets that the recipe
draws; the rate at which a core decodes photos is measured here, on made-up ones. The one
assumption is --tmacs, the multiply-accumulates that a GPU sustains in such a step, in 1e12 a
second: `benchmarks/gpu_check.py` prints a card's own.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import search_spaces
from benchmarks.parts.report import markdown_table
from predictors import cost_arrays, macs
from qfa_search.images.holding_out import MOST_VAL
from qfa_search.images.on_disk import FolderImages
from qfa_search.measuring.drawing import draw_stratified
from qfa_search.measuring.samples import read_samples
from qfa_search.measuring.scoring import PUBLISHED_BATCHES, RecalibrationSetting
from qfa_search.measuring.subnets import LARGEST_GROUP
from qfa_search.supernet.allocator import reuse_freed_memory
from qfa_search.supernet.files import resolve_supernet
from qfa_search.supernet.mobilenet_v3 import Supernet
from qfa_search.training.config import TrainConfig, preset
from qfa_search.training.phase import drawn_costs
from qfa_search.training.recipe import bit_phases
from qfa_search.training.sharing import GradientVector, longest, share
from search_spaces import SearchSpace, layer_specs

SPACE = "mobilenet-v3-w1.2"
IMAGES = 1_281_167  # of ImageNet's training set
GPUS = (1, 8, 32)
N_STEPS = 20  # whose subnets are counted
TRAINING_PASSES = 3  # a backward pass is two products for each one of a forward pass
TMACS = (0.5, 1.0, 2.0)
N_SAMPLES = 8000
BUNDLED = "fashion-mnist"
PHOTO, N_PHOTOS = (500, 375), 64  # ImageNet's photos are of about that size


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """An optimizer step with quantizers, whoever runs it.

    Attributes:
        parts: Multiply-accumulates of each part of some steps, of one image: forward and backward
            of its subnets, forward of the teacher.
        vector_bytes: What processes exchange for each part that they ran.
        config: Recipe.
    """

    parts: list[list[float]]
    vector_bytes: int
    config: TrainConfig

    @classmethod
    def of(cls, space: SearchSpace, config: TrainConfig) -> Step:
        """A step of the recipe."""
        phase = bit_phases(space, config.images_per_step, config)[-1]
        teacher = float(sum(layer.macs for layer in layer_specs(space, space.largest())))
        drawn = [drawn_costs(phase, space, config, step, macs) for step in range(N_STEPS)]
        return cls(
            parts=[[TRAINING_PASSES * sum(part) + teacher for part in parts] for parts in drawn],
            vector_bytes=4 * GradientVector(Supernet(space)).length,
            config=config,
        )

    def macs(self) -> float:
        """Multiply-accumulates of all GPUs, on average."""
        return self.config.batch_size * float(np.mean([sum(parts) for parts in self.parts]))

    def longest_macs(self, n_gpus: int) -> float:
        """Those of the GPU that has most to do, on average: a step takes as long."""
        shares = [longest([[part] for part in parts], n_gpus) for parts in self.parts]
        return self.config.batch_size * float(np.mean(shares))

    def received_bytes(self, n_gpus: int) -> float:
        """What a GPU receives: its slice of the vectors of all parts, then slices of the sum."""
        units = max(map(len, share([[1.0]] * self.config.parts, n_gpus)))
        return self.vector_bytes * (units + 1) * (n_gpus - 1) / n_gpus


def training_rows(
    step: Step, n_images: int, tmacs: list[float], decoded: float
) -> list[tuple[str, ...]]:
    """Seconds of a step, images a second and hours, for each number of GPUs and each rate."""
    config = step.config
    n_steps = {
        name: config.n_steps(name, n_images)  # type: ignore[arg-type]
        for name in ("mixed", "quantized")
    }
    rows = []
    for n in GPUS:
        for rate in tmacs:
            seconds = step.longest_macs(n) / (1e12 * rate)
            per_second = config.images_per_step / seconds
            received = step.received_bytes(n)
            rows.append(
                (
                    str(n),
                    f"{rate:g}",
                    f"{seconds:.2f}",
                    f"{per_second:,.0f}",
                    f"{per_second / decoded:.0f}",
                    f"{received / 1e6:.0f}",
                    f"{received / 1e9 / seconds:.2f}",
                    *(f"{count * seconds / 3600:,.0f}" for count in n_steps.values()),
                    f"{sum(n_steps.values()) * seconds / 3600:,.0f}",
                )
            )
    return rows


def sampling_rows(space: SearchSpace, tmacs: list[float]) -> list[tuple[str, ...]]:
    """Hours of measuring `N_SAMPLES` subnets, for each number of GPUs and each rate."""
    X = draw_stratified(space, N_SAMPLES, np.random.default_rng(0))
    macs = float(cost_arrays(space, X, ["macs"])["macs"].sum()) * images_per_subnet()
    rows = []
    for n in GPUS:
        for rate in tmacs:
            seconds = macs / (1e12 * rate) / n
            per_second = N_SAMPLES / LARGEST_GROUP * images_per_subnet() / seconds
            hours = f"{seconds / 3600:.1f}"
            rows.append((str(n), f"{rate:g}", hours, f"{per_second:,.0f}"))
    return rows


def images_per_subnet() -> int:
    """Images that a subnet of the ImageNet space is recalibrated and scored on."""
    return MOST_VAL + RecalibrationSetting(n_batches=PUBLISHED_BATCHES).n_images


def decoded_per_core(resolutions: list[int], n: int) -> float:
    """Photos a second that one core decodes, crops and resizes for a part, made-up ones."""
    from PIL import Image

    reuse_freed_memory()  # as a training does
    rng = np.random.default_rng(0)
    width, height = PHOTO
    with tempfile.TemporaryDirectory() as folder:
        for i in range(n):
            coarse = rng.integers(0, 256, (height // 12, width // 12, 3), dtype=np.uint8)
            image = Image.fromarray(coarse).resize(PHOTO, Image.Resampling.BICUBIC)
            image.save(Path(folder) / f"{i}.jpg", quality=90)
        names = tuple(f"{i}.jpg" for i in range(n))
        photos = FolderImages(Path(folder), names, np.zeros(n, dtype=np.int64)).with_crops(0)
        for _ in range(2):  # the first time loads what decodes, and takes the memory
            started = time.process_time()
            for _ in photos.batches_at(resolutions, n):
                pass
        return n / (time.process_time() - started)


def text(n_images: int, tmacs: list[float]) -> str:
    """Everything, as Markdown."""
    space, config = search_spaces.load(SPACE), preset("imagenet")
    step = Step.of(space, config)
    per_part = 2 + config.n_random
    drawn = bit_phases(space, config.images_per_step, config)[-1].drawn(config.seed, 0, 0)
    decoded = decoded_per_core(sorted({r for _, r in drawn}), N_PHOTOS)
    decoded_once = decoded_per_core([max(space.resolutions)], N_PHOTOS)
    files = resolve_supernet(BUNDLED)
    seconds = read_samples(files.samples, supernet=files.digest()).frame["seconds"]
    mixed, quantized = config.n_steps("mixed", n_images), config.n_steps("quantized", n_images)
    return "\n\n".join(
        (
            "# ImageNet on several GPUs, computed",
            f"The recipe: {n_images:,} images, steps of {config.parts} parts of "
            f"{config.batch_size} images, {config.images_per_step:,} together, {per_part} subnets "
            f"each; {config.mixed_epochs:g} epochs with 32 bits as a choice are {mixed:,} steps, "
            f"{config.epochs:g} with quantizers {quantized:,}. Published: {config.parts} "
            "processes of one part.",
            f"A step of all GPUs is {step.macs() / 1e12:.2f}e12 multiply-accumulates, the mean of "
            f"{N_STEPS} steps: forward and backward of the subnets, forward of the teacher. Each "
            f"part that a GPU ran is {step.vector_bytes / 1e6:.1f} MB to exchange. Of {GPUS[-1]} "
            f"GPUs the one that has most to do has "
            f"{step.longest_macs(GPUS[-1]) * GPUS[-1] / step.macs():.3f} of the mean.",
            markdown_table(
                (
                    "GPUs",
                    "TMAC/s each",
                    "s per step",
                    "images/s",
                    "cores that decode",
                    "MB received by each",
                    "GB/s of that",
                    "hours, mixed",
                    "hours, quantized",
                    "hours",
                ),
                training_rows(step, n_images, tmacs, decoded),
            ),
            f"A core of this machine (load average {os.getloadavg()[0]:.0f}) decodes {decoded:.0f} "
            f"made-up photos of {PHOTO[0]} x {PHOTO[1]} a second for a part, each at "
            f"{len({r for _, r in drawn})} resolutions; {decoded_once:.0f} at one.",
            f"## {N_SAMPLES:,} subnets, measured",
            f"{images_per_subnet():,} images each, to recalibrate and to score; {LARGEST_GROUP} "
            "subnets share a pass over the images.",
            markdown_table(
                ("GPUs", "TMAC/s each", "hours", "images decoded/s, all together"),
                sampling_rows(space, tmacs),
            ),
            f"Of the bundled {BUNDLED} supernet: its {len(seconds):,} samples took "
            f"{seconds.mean():.2f} s each on one core, {N_SAMPLES:,} would take "
            f"{N_SAMPLES * seconds.mean() / 3600:.1f} hours of one core, "
            f"{60 * N_SAMPLES * seconds.mean() / 3600 / 32:.0f} minutes of 32.",
        )
    )


def main() -> None:
    """Compute and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--tmacs", type=float, nargs="+", default=list(TMACS))
    arguments = parser.parse_args()
    print(text(arguments.images, arguments.tmacs))


if __name__ == "__main__":
    main()
