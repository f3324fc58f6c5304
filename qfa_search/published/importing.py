"""From a folder of the published release to a supernet, samples, predictor and architectures."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import rmtree
from typing import Any

import numpy as np
from numpy.typing import NDArray

import search_spaces
from predictors import COST_COLUMNS, AccuracyPredictor, cost_arrays
from predictors.files import locked_folder, temporary_folder
from qfa_search.errors import QFAError
from qfa_search.front.front import ParetoFront
from qfa_search.measuring.samples import Sample, Setting
from qfa_search.measuring.store import SampleStore
from qfa_search.published.files import (
    ARCHITECTURES,
    CHECKPOINT,
    PUBLISHED_SPACE,
    SAMPLES,
    PublishedSamples,
    read_architectures,
    read_checkpoint,
    read_samples_json,
)
from qfa_search.supernet.files import resolve_supernet
from search_spaces import SearchSpace

OUTPUTS = ("supernet.safetensors", "samples.sqlite", "predictor.safetensors", "architectures.json")
UNFINISHED = ".import-unfinished"  # there until the last file is in place
TEMPORARY = ".import-"
SOURCE = "apple/ml-batchquant"
PUBLISHED_RECALIBRATION = "30x64"
UNKNOWN_SUPERNET = "published"
# Our split, made on the user's folder. Which images the checkpoint was trained on is not known.
UNKNOWN_SPLIT = {"seed": 0, "digest": None}


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOptions:
    """How published files are read in.

    Attributes:
        drop_outliers: Fit the predictor without the samples that the outlier rule names.
        seed: Of the predictor's weights and held-out parts.
    """

    drop_outliers: bool = False
    seed: int = 0


def import_published(
    folder: Path, out: Path, options: ImportOptions, *, say: Callable[[str], None]
) -> None:
    """Write what `folder` has of the published release to `out`, in the formats of this package.

    Args:
        folder: With any of b234_ps.pth, qsamples_8k.json and pareto_archs.npy.
        out: Folder for `OUTPUTS`; an earlier result in it is never overwritten.
        options: How.
        say: Gets a line for every file that was read.

    Raises:
        QFAError: `folder` has none of the files or lacks those that an option is for, or `out`
            has an earlier result.
        CheckpointMismatchError: The checkpoint is not the published supernet.
        ValueError: A file cannot be read, or would have to be run.
    """
    sources = {name: folder / name for name in (CHECKPOINT, SAMPLES, ARCHITECTURES)}
    found = {name for name, path in sources.items() if path.is_file()}
    if not found:
        raise QFAError(f"{folder} has none of {', '.join(sources)}: give a clone of {SOURCE}")
    if options.drop_outliers and SAMPLES not in found:
        raise QFAError(f"--drop-outliers is for {SAMPLES}, which is not in {folder}")
    with _own_folder(out):
        _check_out(out)
        with temporary_folder(out, TEMPORARY) as temporary:
            _import(sources, found, temporary, options, say)
            (out / UNFINISHED).touch()
            for name in OUTPUTS:
                if (temporary / name).exists():
                    (temporary / name).replace(out / name)
        (out / UNFINISHED).unlink()
    for name in sources:
        if name not in found:
            say(f"{name}: not in {folder}, left out")


@contextmanager
def _own_folder(out: Path) -> Iterator[None]:
    """The folder for this process alone; a QFAError says why it cannot be had."""
    with ExitStack() as stack:
        try:
            stack.enter_context(locked_folder(out))
        except OSError as error:
            raise QFAError(f"cannot write to {out}: {error.strerror or error}") from None
        yield


def _check_out(out: Path) -> None:
    """Nothing, if an import may write to `out`; what a killed one left there goes.

    Raises:
        QFAError: `out` has a finished import.
    """
    if (out / UNFINISHED).exists():
        for name in OUTPUTS:
            (out / name).unlink(missing_ok=True)
    for path in out.glob(f"{TEMPORARY}*/"):
        rmtree(path, ignore_errors=True)
    there = [name for name in OUTPUTS if (out / name).exists()]
    if there:
        raise QFAError(f"{out} has {', '.join(there)} already: choose another --out")


def _import(
    sources: Mapping[str, Path],
    found: Collection[str],
    out: Path,
    options: ImportOptions,
    say: Callable[[str], None],
) -> None:
    space = search_spaces.load(PUBLISHED_SPACE)
    samples = read_samples_json(sources[SAMPLES], space) if SAMPLES in found else None
    genomes = read_architectures(sources[ARCHITECTURES], space) if ARCHITECTURES in found else None
    predictor = None
    if samples is not None:
        say(_about(samples))
        predictor = _fit(space, samples, options, say)
    digest = None
    if CHECKPOINT in found:  # after the fit, whose memory is free again by now
        digest = _import_checkpoint(sources[CHECKPOINT], out, say)
    if predictor is not None:
        replace(predictor, supernet=digest).save(out / "predictor.safetensors")
    if samples is not None:
        _store(samples, out / "samples.sqlite", space, digest or UNKNOWN_SUPERNET)
    if genomes is not None:
        front = _front(space, genomes, predictor, digest)
        front.save(out / "architectures.json")
        cost = front.costs["published_mflops"]
        say(
            f"{ARCHITECTURES}: {len(front)} architectures, {cost.min():.3f} to {cost.max():.3f} "
            "published MFLOPs"
        )


def _fit(
    space: SearchSpace,
    samples: PublishedSamples,
    options: ImportOptions,
    say: Callable[[str], None],
) -> AccuracyPredictor:
    if options.drop_outliers:
        kept = samples.without_outliers()
        say(f"outlier rule: {len(samples.X) - len(kept.X)} of {len(samples.X)} left out")
        samples = kept
    predictor = AccuracyPredictor.fit(space, samples.X, samples.top1, seed=options.seed)
    report = predictor.report
    say(
        f"predictor: Kendall tau {report.kendall_tau:.3f}, Spearman {report.spearman:.3f}, "
        f"RMSE {report.rmse:.3f} points on {report.n_test} subnets held out in turn"
    )
    return predictor


def _import_checkpoint(path: Path, out: Path, say: Callable[[str], None]) -> str:
    """Write the supernet; returns its digest."""
    from qfa_search.published.checkpoint import import_published_supernet, published_keys
    from qfa_search.supernet.storage import save_supernet

    supernet = import_published_supernet(read_checkpoint(path))
    keys = published_keys(supernet)
    ignored = Counter(entry.ignored for entry in keys if entry.ignored)
    metadata: dict[str, Any] = {
        "data": "imagenet",
        "split": UNKNOWN_SPLIT,
        "preprocessing": "imagenet",
        "recipe": {"source": SOURCE, "file": path.name, "sha256": _sha256(path)},
        "ignored_keys": dict(ignored),
    }
    save_supernet(out / "supernet.safetensors", supernet, metadata)
    say(f"{path.name}: {len(keys)} keys, {len(keys) - ignored.total()} used")
    for reason, n in ignored.items():
        say(f"  {n} left out: {reason}")
    return resolve_supernet(out).digest()


def _store(samples: PublishedSamples, path: Path, space: SearchSpace, digest: str) -> None:
    setting = Setting(supernet=digest, split="val", recalibration=PUBLISHED_RECALIBRATION)
    SampleStore(path, space).add(
        setting,
        [
            Sample(genome=genome, top1=float(top1))
            for genome, top1 in zip(samples.X, samples.top1, strict=True)
        ],
    )


def _about(samples: PublishedSamples) -> str:
    agreement = (
        f"their cost equals ours to {samples.cost_error:.1e}"
        if samples.cost_error < 1e-3
        else f"WARNING: their cost differs from ours by up to {samples.cost_error:.1%}"
    )
    return f"{SAMPLES}: {samples.n_rows} samples, {len(samples.X)} different subnets; {agreement}"


def _front(
    space: SearchSpace,
    X: NDArray[np.int64],
    predictor: AccuracyPredictor | None,
    digest: str | None,
) -> ParetoFront:
    nothing = np.full(len(X), np.nan)
    top1, spread = predictor.predict_with_spread(X) if predictor else (nothing, nothing)
    return ParetoFront(
        space=space,
        X=X,
        costs=cost_arrays(space, X, COST_COLUMNS),
        top1_predicted=np.asarray(top1, dtype=np.float64),
        top1_spread=np.asarray(spread, dtype=np.float64),
        top1_measured=nothing,
        objectives=("top1", "published_mflops"),
        supernet_digest=digest,
        predictor_scores=predictor.report.to_dict() if predictor else {},
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
