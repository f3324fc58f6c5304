"""Real scores of subnets of a supernet: extract, recalibrate, evaluate, in parallel."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from predictors.files import read_metadata
from qfa_search.measuring.device import AUTO, check_device, resolve_device
from qfa_search.measuring.memory import within_memory
from qfa_search.measuring.parallel import Workers, run
from qfa_search.measuring.scoring import (
    LARGEST_SEQUENTIAL_SIDE,
    PUBLISHED_BATCHES,
    RecalibrationSetting,
    recalibrated,
    scores,
)
from qfa_search.supernet.files import space_of

if TYPE_CHECKING:
    from qfa_search.images.layout import SplitName
    from qfa_search.images.memory import Images
    from qfa_search.images.on_disk import FolderImages
    from qfa_search.measuring.result import Evaluation
    from qfa_search.supernet.extract import StaticNetwork
    from qfa_search.supernet.mobilenet_v3 import Supernet
    from search_spaces import Subnet

    Workspace: TypeAlias = tuple[Supernet, Images | FolderImages, Images | FolderImages]

IMAGENET = "imagenet"  # preprocessing of the published recipe, by the supernet's metadata
# Sums over other numbers of images may differ in the last bit from one run to the next.
WHOLE_VECTORS = 16
LARGEST_GROUP = 16  # subnets that share the decoding of an image folder


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureConfig:
    """What a subnet is measured with.

    Attributes:
        supernet: Supernet file.
        data: "fashion-mnist", "cifar10" or a folder.
        split: Images to score on; recalibration always uses training images.
        recalibration: How statistics are made anew.
        device: "cpu", "cuda", "cuda:N", or "auto": the GPU where there is one.
    """

    supernet: Path
    data: str
    split: SplitName = "val"
    recalibration: RecalibrationSetting = field(default_factory=RecalibrationSetting)
    device: str = AUTO

    def __post_init__(self) -> None:
        """Check the device's name."""
        check_device(self.device)


def measure_config(
    supernet: Path, data: str, split: SplitName = "val", *, device: str = AUTO
) -> MeasureConfig:
    """How subnets of a supernet are measured: on batches as large as those of its training.

    The published one has the published setting.

    Raises:
        ValueError: No such supernet, or no such device.
    """
    metadata = read_metadata(supernet, "supernet")
    recipe = metadata.get("recipe")
    size = recipe.get("batch_size") if isinstance(recipe, dict) else None
    if not isinstance(size, int) or size < 1 or size % WHOLE_VECTORS:
        size = RecalibrationSetting().batch_size
    if metadata.get("preprocessing") == IMAGENET:
        setting = RecalibrationSetting(n_batches=PUBLISHED_BATCHES, batch_size=size)
    else:
        side = max(space_of(supernet, metadata).resolutions)
        sequential = side <= LARGEST_SEQUENTIAL_SIDE
        setting = RecalibrationSetting.as_trained(size, sequential=sequential)
    return MeasureConfig(
        supernet=supernet, data=data, split=split, recalibration=setting, device=device
    )


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


def measure(
    config: MeasureConfig,
    X: NDArray[np.int64],
    *,
    jobs: int = 1,
    workers: Workers | None = None,
) -> Iterator[Measurement]:
    """Measure the subnets `X` `(n, n_genes)`; results come as they are done, in any order.

    Args:
        config: What to measure with.
        X: Genomes.
        jobs: Local processes, if `workers` does not say more.
        workers: Who measures.

    Raises:
        DataError: The images do not fit the supernet or cannot be read.
        CheckpointMismatchError: The images are split otherwise than in the training.
        MeasurementError: A network's logits are no numbers, a process was killed, or memory is
            full.
        ValueError: A genome is not of the supernet's space.
    """
    from qfa_search.images.memory import Images

    workers = workers or Workers(jobs=jobs)
    supernet, _, held_out = _workspace(config)  # raises here, before any process starts
    X = supernet.space.layout.check(X)
    workers = within_memory(workers, supernet.space, config.recalibration)
    is_decoded = isinstance(held_out, Images)
    size = 1 if is_decoded else min(LARGEST_GROUP, -(-len(X) // workers.jobs))
    groups = (range(start, min(start + size, len(X))) for start in range(0, len(X), max(size, 1)))
    tasks = ((config, group, X[group]) for group in groups)
    return (found for group in run(_measure_group, tasks, workers) for found in group)


def measure_all(
    config: MeasureConfig,
    X: NDArray[np.int64],
    *,
    jobs: int = 1,
    workers: Workers | None = None,
) -> list[Evaluation]:
    """`measure`, with the evaluations in the order of `X`."""
    found = {m.index: m.evaluation for m in measure(config, X, jobs=jobs, workers=workers)}
    return [found[index] for index in range(len(X))]


def measured_network(config: MeasureConfig, subnet: Subnet) -> StaticNetwork:
    """The very network that `measure` scores: same images, same recalibration, same device.

    Raises:
        DataError: The images do not fit the supernet or cannot be read.
        CheckpointMismatchError: The images are split otherwise than in the training.
        ValueError: The subnet is not of the supernet's space.
    """
    supernet, drawn, _ = _workspace(config)
    with _one_thread():
        return recalibrated(
            supernet, subnet, drawn, config.recalibration, device=resolve_device(config.device)
        )


def measured_images(config: MeasureConfig) -> Images | FolderImages:
    """The images that `measure` scores on.

    Raises:
        DataError: The images do not fit the supernet or cannot be read.
        CheckpointMismatchError: The images are split otherwise than in the training.
    """
    return _workspace(config)[2]


def _measure_group(
    config: MeasureConfig, indices: range, X: NDArray[np.int64]
) -> list[Measurement]:
    """Measure the subnets `X`, whose rows in the genomes asked for are `indices`."""
    with _warnings_told_once():
        supernet, drawn, held_out = _workspace(config)
    started = time.perf_counter()
    with _one_thread():
        evaluations = scores(
            supernet,
            [supernet.space.layout.decode(genome) for genome in X],
            drawn,
            held_out,
            config.recalibration,
            device=resolve_device(config.device),
        )
    seconds = (time.perf_counter() - started) / len(X)
    return [Measurement(i, e, seconds) for i, e in zip(indices, evaluations, strict=True)]


@contextmanager
def _one_thread() -> Iterator[None]:
    """Processes, not threads, share the cores; sums do not depend on the number of cores."""
    import torch

    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)


def _workspace(config: MeasureConfig) -> Workspace:
    """Supernet, recalibration images and images to score on; loaded once per process."""
    status = config.supernet.stat()  # another training may have written it since
    return _loaded(config, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=2)
def _loaded(config: MeasureConfig, _mtime_ns: int, _size: int) -> Workspace:
    from qfa_search.images.sources import open_as_trained
    from qfa_search.supernet.allocator import reuse_freed_memory
    from qfa_search.supernet.storage import read_supernet

    reuse_freed_memory()
    supernet, metadata = read_supernet(config.supernet)
    data = open_as_trained(config.data, supernet.space, config.supernet, metadata)
    drawn = data.drawn("train", config.recalibration.n_images)
    return supernet, drawn, data.images(config.split)


@contextmanager
def _warnings_told_once() -> Iterator[None]:
    """Of unreadable images the first process told already."""
    logger = logging.getLogger("qfa_search.images")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
