"""What all claims are tried with: a supernet, images, a teacher, and places to keep numbers."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.claims.finished import FinishedRuns, Numbers
from predictors.files import file_digest, read_metadata
from qfa_search.errors import DataError
from qfa_search.evolution.seen import genome_keys
from qfa_search.images.layout import SplitName
from qfa_search.images.memory import ImageFolder, Images
from qfa_search.images.on_disk import FolderData
from qfa_search.images.published_set import PublishedSet
from qfa_search.images.sources import open_as_trained
from qfa_search.measuring.evaluation import evaluate
from qfa_search.measuring.parallel import Workers, run
from qfa_search.measuring.result import Evaluation
from qfa_search.measuring.samples import read_samples
from qfa_search.measuring.sampling import measure_missing
from qfa_search.measuring.scoring import EVALUATION_BATCH
from qfa_search.measuring.store import SampleStore
from qfa_search.measuring.subnets import (
    MeasureConfig,
    measure_config,
    measured_images,
    measured_network,
)
from qfa_search.supernet.files import SupernetFiles
from qfa_search.supernet.mobilenet_v3 import Supernet
from qfa_search.supernet.recalibrate import recalibrate
from qfa_search.supernet.storage import read_supernet
from qfa_search.training.batches import MemoryBatches, teacher_logits_in_memory
from qfa_search.training.config import PRESETS, TrainConfig, preset
from qfa_search.training.recipe import TEACHER_BATCHES
from qfa_search.training.teacher import (
    Teacher,
    is_dense_teacher,
    largest_as_teacher,
    load_teacher,
    open_supernet_as_teacher,
)
from search_spaces import SearchSpace
from search_spaces.arrays import Bools, Floats
from search_spaces.genome import Genomes


@dataclass(frozen=True)
class Bench:
    """Supernet, images and teacher; what costs time to read is read once.

    Attributes:
        files: The supernet, its predictor and its samples.
        data: Images that it was trained on.
        out: Where numbers are kept.
        teacher_file: Whose soft labels trainings learn from; labels only without it.
        jobs: Processes that measure.
    """

    files: SupernetFiles
    data: str
    out: Path
    teacher_file: Path | None = None
    jobs: int = 1

    @cached_property
    def space(self) -> SearchSpace:
        """Space of the supernet."""
        return self.files.space()

    @property
    def preset_name(self) -> str:
        """The preset that trainings follow: that of the space, or of own images."""
        return self.space.name if self.space.name in PRESETS else "own-images"

    @property
    def recipe(self) -> TrainConfig:
        """That preset as long as is asked, with images as they are, shifted and mirrored alone."""
        return preset(self.preset_name, steps=0, crop_share=1.0, colour=0.0, policy="none")

    @property
    def runs(self) -> FinishedRuns:
        """Numbers of finished runs."""
        return FinishedRuns(self.out)

    @cached_property
    def settings(self) -> dict[str, str | None]:
        """What the numbers of any run depend on."""
        teacher = None
        if self.teacher_file is not None:
            teacher = file_digest(self.teacher_file)
        return {
            "supernet": self.files.digest(),
            "data": self.data,
            "teacher": teacher,
            "recalibration": str(self.measuring("val").recalibration),
        }

    @cached_property
    def image_data(self) -> PublishedSet | ImageFolder:
        """The images, split as in the supernet's training."""
        weights = self.files.weights
        data = open_as_trained(self.data, self.space, weights, read_metadata(weights, "supernet"))
        if isinstance(data, FolderData):
            raise DataError(f"{self.data} does not fit into memory")
        return data

    @cached_property
    def train(self) -> Images:
        """The training split."""
        return self.image_data.images("train")

    @cached_property
    def held_out(self) -> dict[SplitName, Images]:
        """The validation and the test split."""
        return {"val": self.image_data.images("val"), "test": self.image_data.images("test")}

    def supernet(self) -> Supernet:
        """The supernet with the weights of its file, a new copy."""
        return read_supernet(self.files.weights)[0]

    def source(self, config: TrainConfig) -> MemoryBatches:
        """Training batches, with the teacher's soft labels if there is one."""
        return MemoryBatches(self.train, config, self.teacher_logits)

    @cached_property
    def teacher_logits(self) -> Tensor | None:
        """Logits `(2, n, n_classes)` of the training images and their mirror images."""
        if self.teacher_file is None:
            return None
        teacher = self._teacher(self.teacher_file)
        everything = slice(None)
        return teacher_logits_in_memory(
            teacher,
            self.train,
            TrainConfig(),  # whose two views are the image and its mirror image
            batch_size=EVALUATION_BATCH,
            device=torch.device("cpu"),
            share=everything,
        )

    def _teacher(self, path: Path) -> Teacher:
        if is_dense_teacher(path):
            return load_teacher(path, self.space)
        supernet = open_supernet_as_teacher(path, self.space)
        size = self.measuring("val").recalibration.batch_size
        drawn = self.train.drawn(TEACHER_BATCHES * size)
        batches = drawn.batches(max(supernet.space.resolutions), size)
        return largest_as_teacher(supernet, batches, TEACHER_BATCHES)

    def measuring(self, split: SplitName) -> MeasureConfig:
        """How subnets are recalibrated and scored."""
        return measure_config(self.files.weights, self.data, split)

    def score(self, network: nn.Module, resolution: int, split: SplitName) -> Evaluation:
        """Score of a static network, recalibrated like every measured subnet."""
        setting = self.measuring(split).recalibration
        drawn = self.train.drawn(setting.n_images)
        batches = drawn.batches(resolution, setting.batch_size)
        recalibrate(network, batches, setting.n_batches, sequential=setting.sequential)
        return evaluate(network, self.held_out[split].batches(resolution, EVALUATION_BATCH))

    def top1(self, X: Genomes, split: SplitName) -> Floats:
        """Measured top-1 of the supernet's subnets `X`, `(n,)`; each is measured once."""
        config, digest = self.measuring(split), self.files.digest()
        store = SampleStore(self.out / f"measured-{digest}.sqlite", self.space)
        X = self.space.layout.canonicalize(X)

        def start(n: int) -> None:
            if n:
                print(f"measuring {n} subnets on {split} ...", file=sys.stderr, flush=True)

        measure_missing(
            config,
            store,
            X,
            supernet_digest=digest,
            seed=0,
            workers=Workers(jobs=self.jobs),
            on_start=start,
        )
        samples = read_samples(store.path, supernet=digest, split=split)
        known = dict(zip(genome_keys(samples.X), samples.frame["top1"], strict=True))
        return np.array([known[key] for key in genome_keys(X)], dtype=np.float64)

    def hits(self, X: Genomes, split: SplitName) -> Bools:
        """Which images the subnets `X` of the supernet get right, `(n, n_images)`."""
        config = self.measuring(split)
        X = self.space.layout.canonicalize(X)
        settings = {**self.settings, "split": split, "X": X.tolist()}

        def find(_: Path) -> Numbers:
            tasks = [(config, index, genome) for index, genome in enumerate(X)]
            found = dict(run(_hits, tasks, Workers(jobs=self.jobs)))
            return {"wrong": [np.flatnonzero(~found[index]).tolist() for index in sorted(found)]}

        hits = np.ones((len(X), self.n_images(split)), dtype=bool)
        for row, wrong in zip(
            hits, self.runs.numbers("hits", settings, find)["wrong"], strict=True
        ):
            row[wrong] = False
        return hits

    def n_images(self, split: SplitName) -> int:
        """Images of a split that is held out."""
        return len(self.held_out[split])


@torch.inference_mode()
def _hits(config: MeasureConfig, index: int, genome: NDArray[np.int64]) -> tuple[int, Bools]:
    """Which images one subnet, row `index` of those asked for, gets right."""
    subnet = read_supernet(config.supernet)[0].space.layout.decode(genome)
    network = measured_network(config, subnet)
    device = next(network.parameters()).device
    batches = measured_images(config).batches(subnet.resolution, EVALUATION_BATCH)
    right = [network(x.to(device)).argmax(1).cpu() == labels for x, labels in batches]
    return index, torch.cat(right).numpy()


def standard_error(top1: Floats | float, n_images: int) -> Floats:
    """Binomial standard error of a top-1 in percent, points."""
    share = np.asarray(top1, dtype=np.float64) / 100
    return np.asarray(100 * np.sqrt(share * (1 - share) / n_images))


def difference_error(a: Floats | float, b: Floats | float, n_images: int) -> Floats:
    """Standard error of the difference of two top-1 in percent, points.

    As if on different images. On the same ones it is smaller, so this asks for more.
    """
    return np.asarray(np.hypot(standard_error(a, n_images), standard_error(b, n_images)))


def paired_gap(a: Bools, b: Bools) -> tuple[float, float]:
    """By how much the top-1 of `a` is above that of `b`, and its standard error, points.

    Both on the same images: `a` and `b` are `(n_images,)`, or `(n_pairs, n_images)` for the mean
    over several pairs. An image that both get right, or both wrong, adds no error.
    """
    of_image = (np.atleast_2d(a).astype(float) - np.atleast_2d(b)).mean(axis=0)
    error = of_image.std(ddof=1) / math.sqrt(len(of_image))
    return 100 * float(of_image.mean()), 100 * float(error)


def plus_minus(values: Floats, digits: int = 2) -> str:
    """Mean and standard deviation over repeats, as tables show them."""
    if not len(values) or not math.isfinite(float(np.mean(values))):
        return "none"
    return f"{np.mean(values):.{digits}f} ± {np.std(values):.{digits}f}"
