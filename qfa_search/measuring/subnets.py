"""Real scores of subnets of a supernet: extract, recalibrate, evaluate, in parallel."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from predictors.files import read_metadata
from qfa_search.errors import CheckpointMismatchError, DataError

if TYPE_CHECKING:
    from qfa_search.images.memory import Images
    from qfa_search.images.on_disk import FolderImages
    from qfa_search.images.splits import SplitName
    from qfa_search.measuring.evaluation import Evaluation
    from qfa_search.supernet.mobilenet_v3 import Supernet

EVALUATION_BATCH = 250
IMAGENET = "imagenet"  # preprocessing of the published recipe, by the supernet's metadata
IMAGENET_BATCHES = 30
SEQUENTIAL = " sequential"  # ends the name of such a recalibration setting
LARGEST_SEQUENTIAL_SIDE = 128  # of images whose maps memory can hold a thousand times
LARGEST_GROUP = 16  # subnets that share the decoding of an image folder


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureConfig:
    """What a subnet is measured with.

    Attributes:
        supernet: Supernet file.
        data: "fashion-mnist" or a folder.
        split: Images to score on; recalibration always uses training images.
        n_batches: Batches of recalibration.
        batch_size: Images of such a batch; activation ranges depend on it.
        sequential: Whether recalibration goes layer by layer.
    """

    supernet: Path
    data: str
    split: SplitName = "val"
    n_batches: int = 16
    batch_size: int = 64
    sequential: bool = False

    def __post_init__(self) -> None:
        """Check the values; a ValueError names the first wrong one."""
        for name in ("n_batches", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")

    @property
    def recalibration(self) -> str:
        """The recalibration setting as the samples store names it."""
        return f"{self.n_batches}x{self.batch_size}{SEQUENTIAL if self.sequential else ''}"

    def recalibrated(self, setting: str) -> MeasureConfig:
        """The same with a recalibration setting of the samples store."""
        sizes = setting.removesuffix(SEQUENTIAL)
        n_batches, batch_size = map(int, sizes.split("x"))
        return replace(
            self, n_batches=n_batches, batch_size=batch_size, sequential=sizes != setting
        )


def measure_config(supernet: Path, data: str, split: SplitName = "val") -> MeasureConfig:
    """How subnets of a supernet are measured; the published one has the published setting.

    Raises:
        ValueError: No such supernet.
    """
    metadata = read_metadata(supernet, "supernet")
    config = MeasureConfig(supernet=supernet, data=data, split=split)
    if metadata.get("preprocessing") == IMAGENET:
        return replace(config, n_batches=IMAGENET_BATCHES)
    side = max(metadata["space"]["resolutions"])
    return replace(config, sequential=side <= LARGEST_SEQUENTIAL_SIDE)


@dataclass(frozen=True, slots=True)
class Measurement:
    """The score of one genome of a batch.

    Attributes:
        index: Row in the genomes that were asked for.
        evaluation: Top-1 and cross-entropy.
        seconds: Time that it took in its process.
    """

    index: int
    evaluation: Evaluation
    seconds: float


def measure(config: MeasureConfig, X: NDArray[np.int64], *, jobs: int = 1) -> Iterator[Measurement]:
    """Measure the subnets `X` `(n, n_genes)`; results come as they are done, in any order.

    Processes are joblib's: choose another backend with `joblib.parallel_config`.

    Raises:
        DataError: The images do not fit the supernet or cannot be read.
        CheckpointMismatchError: The images are split otherwise than in the training.
        ValueError: A genome is not of the supernet's space.
    """
    from joblib import Parallel, delayed

    from qfa_search.images.memory import Images

    supernet, _, held_out = _workspace(config)  # raises here, before any process starts
    X = supernet.space.layout.check(X)
    size = 1 if isinstance(held_out, Images) else min(LARGEST_GROUP, -(-len(X) // max(jobs, 1)))
    groups = (range(start, min(start + size, len(X))) for start in range(0, len(X), max(size, 1)))
    tasks = (delayed(_measure_group)(config, group, X[group]) for group in groups)
    results = Parallel(n_jobs=jobs, return_as="generator_unordered")(tasks)
    return (measurement for group in results for measurement in group)


def measure_all(config: MeasureConfig, X: NDArray[np.int64], *, jobs: int = 1) -> list[Evaluation]:
    """`measure`, with the evaluations in the order of `X`."""
    found = {m.index: m.evaluation for m in measure(config, X, jobs=jobs)}
    return [found[index] for index in range(len(X))]


def _measure_group(
    config: MeasureConfig, indices: range, X: NDArray[np.int64]
) -> list[Measurement]:
    """Measure the subnets `X`, whose rows in the genomes asked for are `indices`."""
    import torch

    from qfa_search.images.memory import Images
    from qfa_search.measuring.shared_passes import score_together

    with _warnings_told_once():
        supernet, train, held_out = _workspace(config)
    if isinstance(held_out, Images):
        return [_measure_one(config, i, genome) for i, genome in zip(indices, X, strict=True)]
    assert not isinstance(train, Images)
    started = time.perf_counter()
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        evaluations = score_together(
            supernet,
            [supernet.space.layout.decode(genome) for genome in X],
            train,
            held_out,
            n_batches=config.n_batches,
            batch_size=config.batch_size,
            device="cuda" if torch.cuda.is_available() else "cpu",
        )
    finally:
        torch.set_num_threads(n_threads)
    seconds = (time.perf_counter() - started) / len(X)
    return [Measurement(i, e, seconds) for i, e in zip(indices, evaluations, strict=True)]


def _measure_one(config: MeasureConfig, index: int, genome: NDArray[np.int64]) -> Measurement:
    import torch

    from qfa_search.measuring.evaluation import evaluate
    from qfa_search.supernet.extract import extract
    from qfa_search.supernet.recalibrate import recalibrate

    started = time.perf_counter()
    supernet, train, held_out = _workspace(config)
    subnet = supernet.space.layout.decode(genome)
    network = extract(supernet, subnet)
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        batches = train.batches(subnet.resolution, config.batch_size)
        recalibrate(network, batches, config.n_batches, sequential=config.sequential)
        evaluation = evaluate(network, held_out.batches(subnet.resolution, EVALUATION_BATCH))
    finally:
        torch.set_num_threads(n_threads)
    return Measurement(index, evaluation, time.perf_counter() - started)


@lru_cache(maxsize=2)
def _workspace(
    config: MeasureConfig,
) -> tuple[Supernet, Images | FolderImages, Images | FolderImages]:
    """Supernet, recalibration images and images to score on; loaded once per process."""
    from qfa_search.images.sources import open_data
    from qfa_search.images.splits import SPLIT_FILE
    from qfa_search.supernet.allocator import reuse_freed_memory
    from qfa_search.supernet.storage import read_supernet

    reuse_freed_memory()
    supernet, metadata = read_supernet(config.supernet)
    space = supernet.space
    split: dict[str, Any] = metadata["split"]
    if metadata.get("preprocessing") == IMAGENET:
        return supernet, *_imagenet(config, split["seed"], supernet.space.n_classes)
    split_file = config.supernet.with_name(SPLIT_FILE)
    data = open_data(
        config.data,
        channels=space.input_channels,
        resolution=max(space.resolutions),
        split_seed=split["seed"],
        split_file=split_file,
    )
    if data.n_classes != space.n_classes:
        raise DataError(
            f"{config.data} has {data.n_classes} classes, the supernet {space.n_classes}"
        )
    found = {"digest": data.split_digest, "files": data.files_digest}
    for key, digest in found.items():
        if digest != split.get(key, digest):
            raise CheckpointMismatchError(
                f"{config.data} is not what {config.supernet} was trained on: the {key} of its "
                f"split is {digest}, the supernet's {split[key]}. Scores would count images that "
                "it was trained on; give the same images"
            )
    drawn = data.drawn("train", config.n_batches * config.batch_size)
    return supernet, drawn, data.images(config.split)


@contextmanager
def _warnings_told_once() -> Iterator[None]:
    """Of unreadable images the first process told already."""
    from qfa_search.images.decoding import logger

    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _imagenet(
    config: MeasureConfig, split_seed: int, n_classes: int
) -> tuple[FolderImages, FolderImages]:
    """Images of the user's folder; its validation split is stored beside the supernet."""
    from qfa_search.images.on_disk import SPLIT_FILE, FolderData

    folder = FolderData(Path(config.data), split_seed, config.supernet.with_name(SPLIT_FILE))
    if len(folder.classes) != n_classes:
        raise DataError(f"{config.data} has {len(folder.classes)} classes, expected {n_classes}")
    train = folder.images("train").drawn(config.n_batches * config.batch_size)
    return train, folder.images(config.split)
