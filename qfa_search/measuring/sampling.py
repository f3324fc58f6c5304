"""(subnet, accuracy) pairs for the predictor: measure, and store each at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from qfa_search.measuring.samples import Sample, SampleStore, Setting
from qfa_search.measuring.subnets import MeasureConfig, measure


def sample(
    config: MeasureConfig,
    store: SampleStore,
    X: NDArray[np.int64],
    *,
    supernet_digest: str,
    seed: int,
    jobs: int,
    on_start: Callable[[int], None],
    on_sample: Callable[[Sample], None],
) -> int:
    """Measure those of `X` that the store lacks, and store each as soon as it is done.

    Args:
        config: What to measure with.
        store: Where samples are and go.
        X: Canonical genomes, `(n, n_genes)`.
        supernet_digest: Which supernet the samples are of.
        seed: Seed that `X` was drawn with.
        jobs: Processes.
        on_start: Called once with the number of subnets to measure.
        on_sample: Called after each.

    Returns:
        How many were measured.
    """
    setting = Setting(
        supernet=supernet_digest, split=config.split, recalibration=str(config.recalibration)
    )
    missing = store.missing(setting, X)
    on_start(len(missing))
    for done in measure(config, missing, jobs=jobs):
        found = Sample(
            genome=missing[done.index],
            top1=done.evaluation.top1,
            cross_entropy=done.evaluation.cross_entropy,
            n_images=done.evaluation.n_images,
            seconds=done.seconds,
            seed=seed,
        )
        store.add(setting, [found])
        on_sample(found)
    return len(missing)
