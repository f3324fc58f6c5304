"""Real scores of subnets of a supernet: extract, recalibrate, evaluate, in parallel."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qfa_search.errors import CheckpointMismatchError, DataError

if TYPE_CHECKING:
    from qfa_search.data import Images, SplitName
    from qfa_search.evaluation import Evaluation
    from qfa_search.supernet.mobilenet_v3 import Supernet

EVALUATION_BATCH = 250


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureConfig:
    """What a subnet is measured with.

    Attributes:
        supernet: Supernet file.
        data: "fashion-mnist" or a folder.
        split: Images to score on; recalibration always uses training images.
        n_batches: Batches of recalibration.
        batch_size: Images of such a batch; activation ranges depend on it.
    """

    supernet: Path
    data: str
    split: SplitName = "val"
    n_batches: int = 16
    batch_size: int = 64

    def __post_init__(self) -> None:
        """Check the values; a ValueError names the first wrong one."""
        for name in ("n_batches", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")

    @property
    def recalibration(self) -> str:
        """The recalibration setting as the samples store names it."""
        return f"{self.n_batches}x{self.batch_size}"


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

    supernet, _, _ = _workspace(config)  # raises here, before any process starts
    X = supernet.space.layout.check(X)
    tasks = (delayed(_measure_one)(config, index, genome) for index, genome in enumerate(X))
    results: Iterator[Measurement] = Parallel(n_jobs=jobs, return_as="generator_unordered")(tasks)
    return results


def measure_all(config: MeasureConfig, X: NDArray[np.int64], *, jobs: int = 1) -> list[Evaluation]:
    """`measure`, with the evaluations in the order of `X`."""
    found = {m.index: m.evaluation for m in measure(config, X, jobs=jobs)}
    return [found[index] for index in range(len(X))]


def _measure_one(config: MeasureConfig, index: int, genome: NDArray[np.int64]) -> Measurement:
    import torch

    from qfa_search.evaluation import evaluate
    from qfa_search.supernet.extract import extract
    from qfa_search.supernet.recalibrate import recalibrate

    started = time.perf_counter()
    supernet, train, held_out = _workspace(config)
    subnet = supernet.space.layout.decode(genome)
    network = extract(supernet, subnet)
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        recalibrate(network, train.batches(subnet.resolution, config.batch_size), config.n_batches)
        evaluation = evaluate(network, held_out.batches(subnet.resolution, EVALUATION_BATCH))
    finally:
        torch.set_num_threads(n_threads)
    return Measurement(index, evaluation, time.perf_counter() - started)


@lru_cache(maxsize=2)
def _workspace(config: MeasureConfig) -> tuple[Supernet, Images, Images]:
    """Supernet, recalibration images and images to score on; loaded once per process."""
    from qfa_search.allocator import reuse_freed_memory
    from qfa_search.data import open_data
    from qfa_search.supernet.storage import read_supernet

    reuse_freed_memory()
    supernet, metadata = read_supernet(config.supernet)
    space = supernet.space
    split: dict[str, Any] = metadata["split"]
    data = open_data(
        config.data,
        channels=space.input_channels,
        resolution=max(space.resolutions),
        split_seed=split["seed"],
    )
    if data.n_classes != space.n_classes:
        raise DataError(
            f"{config.data} has {data.n_classes} classes, the supernet {space.n_classes}"
        )
    if data.split_digest != split["digest"]:
        raise CheckpointMismatchError(
            f"{config.data} is not what {config.supernet} was trained on: its validation split is "
            f"{data.split_digest}, the supernet's {split['digest']}. Scores would count images "
            "that it was trained on; give the same images"
        )
    train = data.images("train")
    drawn = train.drawn(config.n_batches * config.batch_size)
    return supernet, drawn, data.images(config.split)
