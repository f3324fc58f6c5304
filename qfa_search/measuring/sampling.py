"""Scores that are in a store are taken from there; others are measured and stored at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from predictors.files import read_metadata
from qfa_search.errors import CheckpointMismatchError
from qfa_search.measuring.parallel import Workers
from qfa_search.measuring.samples import Sample, Setting, found_samples
from qfa_search.measuring.store import SampleStore
from qfa_search.measuring.subnets import MeasureConfig, measure
from qfa_search.supernet.files import BUNDLED_SUPERNETS, SupernetFiles

SAMPLES_NAME = "samples.sqlite"


def setting_of(config: MeasureConfig, supernet_digest: str) -> Setting:
    """Under which setting a store keeps what is measured with `config`."""
    return Setting(
        supernet=supernet_digest,
        split=config.split,
        recalibration=str(config.recalibration),
        images=read_metadata(config.supernet, "supernet").get("data_digest", ""),
    )


def scores_file(files: SupernetFiles, folder: Path) -> Path:
    """Where scores of subnets go that are evaluated: beside the supernet.

    Those of a bundled supernet, or of one in a folder that cannot be written, go to
    samples.sqlite in `folder`.
    """
    place = files.samples if files.samples.exists() else files.samples.parent
    if files.name in BUNDLED_SUPERNETS or not os.access(place, os.W_OK):
        return folder / SAMPLES_NAME
    return files.samples


def measure_missing(
    config: MeasureConfig,
    store: SampleStore,
    X: NDArray[np.int64],
    *,
    supernet_digest: str,
    seed: int | None = None,
    chosen: bool = False,
    by_class: bool = False,
    workers: Workers | None = None,
    on_start: Callable[[int], None] = lambda n: None,
    on_sample: Callable[[Sample], None] = lambda sample: None,
) -> int:
    """Measure those of `X` that the store lacks, and store each as soon as it is done.

    Args:
        config: What to measure with.
        store: Where samples are and go.
        X: Canonical genomes, `(n, n_genes)`.
        supernet_digest: Which supernet the samples are of.
        seed: Seed that `X` was drawn with.
        chosen: Whether somebody wanted these, rather than any.
        by_class: Whether the store lacks what it has without the scores of each class.
        workers: Who measures; this process alone by default.
        on_start: Called once with the number of subnets to measure.
        on_sample: Called after each.

    Returns:
        How many were measured.
    """
    setting = setting_of(config, supernet_digest)
    missing = store.missing(setting, X, by_class=by_class)
    on_start(len(missing))
    for done in measure(config, missing, workers=workers):
        evaluation = done.evaluation
        found = Sample(
            genome=missing[done.index],
            top1=evaluation.top1,
            cross_entropy=evaluation.cross_entropy,
            n_images=evaluation.n_images,
            seconds=done.seconds,
            seed=seed,
            chosen=chosen,
            confusion=evaluation.confusion,
        )
        store.add(setting, [found])
        on_sample(found)
    return len(missing)


def known_or_measured(
    config: MeasureConfig,
    files: SupernetFiles,
    X: NDArray[np.int64],
    path: Path,
    *,
    folder: Path,
    by_class: bool = False,
    workers: Workers | None = None,
    on_start: Callable[[int], None] = lambda n: None,
    on_sample: Callable[[Sample], None] = lambda sample: None,
) -> list[Sample]:
    """The scores of the chosen subnets `X`, in their order; what is measured is stored at once.

    What is stored beside the supernet or in `folder` is not measured again.

    Args:
        config: What to measure with.
        files: The supernet.
        X: Canonical genomes, `(n, n_genes)`.
        path: Store of what is measured.
        folder: Where a search may have left scores in `SAMPLES_NAME`.
        by_class: Whether scores that are stored without those of each class will not do.
        workers: Who measures; this process alone by default.
        on_start: Called once with the number of subnets to measure.
        on_sample: Called after each.

    Raises:
        CheckpointMismatchError: The stored scores are of other images.
        MeasurementError: A subnet has no accuracy, or a process is gone.
    """
    space, digest = files.space(), files.digest()
    setting = setting_of(config, digest)
    store = SampleStore(path, space)
    if path != files.samples:
        _copy(found_samples(files.samples, space, setting, X), store, setting)
    if path != folder / SAMPLES_NAME:
        with suppress(ValueError, CheckpointMismatchError):  # whatever else has that name there
            _copy(found_samples(folder / SAMPLES_NAME, space, setting, X), store, setting)
    measure_missing(
        config,
        store,
        X,
        supernet_digest=digest,
        chosen=True,
        by_class=by_class,
        workers=workers,
        on_start=on_start,
        on_sample=on_sample,
    )
    return [sample for sample in store.found(setting, X) if sample is not None]


def _copy(known: Sequence[Sample | None], store: SampleStore, setting: Setting) -> None:
    store.add(setting, [sample for sample in known if sample is not None])
