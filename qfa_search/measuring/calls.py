"""Sampling, fitting and measuring as calls with the arguments of the commands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from qfa_search.errors import QFAError
from qfa_search.measuring.device import AUTO
from qfa_search.measuring.parallel import Workers
from qfa_search.supernet.files import BUNDLED_SUPERNETS, resolve_supernet
from search_spaces import Subnet

if TYPE_CHECKING:
    from predictors import AccuracyPredictor
    from qfa_search.images.layout import SplitName
    from qfa_search.measuring.result import Evaluation
    from qfa_search.measuring.samples import Sample


@dataclass(frozen=True, slots=True)
class Sampled:
    """What a call of `sample` did.

    Attributes:
        path: File with the samples.
        n_measured: Subnets that were measured.
        n_known: Subnets whose scores were there already.
    """

    path: Path
    n_measured: int
    n_known: int


def sample(
    supernet: str | Path | None = None,
    *,
    data: str | Path | None = None,
    out: str | Path | None = None,
    n: int = 1000,
    seed: int = 0,
    jobs: int = 1,
    device: str = AUTO,
    backend: str = "loky",
    scheduler: str | None = None,
    on_start: Callable[[int], None] = lambda n: None,
    on_sample: Callable[[Sample], None] = lambda sample: None,
) -> Sampled:
    """Measure random subnets on the validation split, and store each at once.

    Args:
        supernet: Name, file or folder; the bundled one by default.
        data: Images that it was trained on; those that it names by default.
        out: SQLite file, new or to add to; the supernet's samples by default.
        n: Subnets to draw, spread over the whole range of cost.
        seed: Of the draw; the same seed draws the same subnets.
        jobs: Processes that measure; fewer where memory is short.
        device: "cpu", "cuda", "cuda:N", or "auto": the GPU where there is one.
        backend: "loky" (local processes) or "dask".
        scheduler: Address of the Dask scheduler.
        on_start: Called once with the number of subnets to measure.
        on_sample: Called after each.

    Raises:
        ValueError: An argument is out of range, or `out` is the file of another program.
        DataError: The images do not fit the supernet or cannot be read.
        CheckpointMismatchError: The images are not those of the training.
        MeasurementError: A subnet has no accuracy, a process was killed, or memory is full.
    """
    from qfa_search.measuring.drawing import draw_stratified
    from qfa_search.measuring.samples import check_seed
    from qfa_search.measuring.sampling import measure_missing
    from qfa_search.measuring.store import SampleStore
    from qfa_search.measuring.subnets import measure_config

    check_seed(seed)
    workers = Workers(jobs=jobs, backend=backend, scheduler=scheduler)
    files = resolve_supernet(supernet)
    if out is None and files.name in BUNDLED_SUPERNETS:
        raise QFAError(
            f"the bundled supernet {files.name} has its samples: say with --out where these go"
        )
    config = measure_config(files.weights, files.data(data), device=device)
    store = SampleStore(files.samples if out is None else out, files.space())
    X = draw_stratified(files.space(), n, np.random.default_rng(seed))
    n_measured = measure_missing(
        config,
        store,
        X,
        supernet_digest=files.digest(),
        seed=seed,
        workers=workers,
        on_start=on_start,
        on_sample=on_sample,
    )
    return Sampled(store.path, n_measured, len(X) - n_measured)


def fit(
    samples: str | Path | None = None,
    *,
    supernet: str | Path | None = None,
    out: str | Path | None = None,
    seed: int = 0,
) -> AccuracyPredictor:
    """The accuracy predictor of measured subnets, saved, with a report on unseen ones.

    Args:
        samples: What `sample` wrote; the samples of `supernet` by default.
        supernet: Name, file or folder of the supernet that the samples are of; any by default.
        out: Where to write it; the predictor of `supernet` by default.
        seed: Of weights and held-out parts.

    Raises:
        ValueError: Neither samples nor a supernet, or no readable samples.
        OSError: `out` exists already, or cannot be written.
    """
    from predictors import AccuracyPredictor
    from predictors.files import check_place
    from qfa_search.measuring.samples import check_seed, read_samples

    check_seed(seed)
    files = None if supernet is None else resolve_supernet(supernet)
    if files is not None:
        samples = files.samples if samples is None else samples
        out = files.predictor if out is None else out
    if samples is None or out is None:
        raise ValueError("fit needs --samples and --out, or --supernet for those of a supernet")
    check_place(out)
    found = read_samples(samples, supernet=None if files is None else files.digest())
    predictor = AccuracyPredictor.fit(
        found.space,
        found.X,
        found.frame["top1"].to_numpy(),
        cross_entropy=found.cross_entropy(),
        seed=seed,
        supernet=found.setting.supernet,
    )
    predictor.save(out)
    return predictor


def measure(
    supernet: str | Path | None,
    subnets: Subnet | ArrayLike,
    *,
    data: str | Path | None = None,
    split: SplitName = "val",
    folder: str | Path = ".",
    evaluated: str | Path | None = None,
    jobs: int = 1,
    device: str = AUTO,
    backend: str = "loky",
    scheduler: str | None = None,
    on_start: Callable[[int], None] = lambda n: None,
    on_sample: Callable[[Sample], None] = lambda sample: None,
) -> list[Evaluation]:
    """Scores of subnets, as `qfa-search evaluate` prints them; each is stored at once.

    Subnets in the supernet's samples or in samples.sqlite of `folder` are not measured again.
    Scores go to the former; those of a bundled or read-only supernet to the latter.

    Args:
        supernet: Name, file or folder; None is the bundled one.
        subnets: A subnet, or genomes `(n, n_genes)` such as `front.X`.
        data: Images that the supernet was trained on; those that it names by default.
        split: Images to score on; "test" is for the final report only, and each use of it is
            recorded in test-evaluations.jsonl of `folder` before an image is opened.
        folder: See above.
        evaluated: File that the subnets are of, for that record.
        jobs: Processes that measure; fewer where memory is short.
        device: "cpu", "cuda", "cuda:N", or "auto": the GPU where there is one.
        backend: "loky" (local processes) or "dask".
        scheduler: Address of the Dask scheduler.
        on_start: Called once with the number of subnets to measure.
        on_sample: Called after each.

    Returns:
        An evaluation for each subnet, in their order.

    Raises:
        ValueError: An argument is out of range.
        DataError: The images do not fit the supernet or cannot be read.
        CheckpointMismatchError: The images are not those of the training.
        MeasurementError: A subnet has no accuracy, a process was killed, or memory is full.
    """
    from qfa_search.measuring.sampling import known_or_measured, scores_file
    from qfa_search.measuring.subnets import measure_config
    from qfa_search.measuring.test_record import record_test_use

    files = resolve_supernet(supernet)
    layout = files.space().layout
    X = layout.encode(subnets)[None] if isinstance(subnets, Subnet) else layout.check(subnets)
    folder, workers = Path(folder), Workers(jobs=jobs, backend=backend, scheduler=scheduler)
    config = measure_config(files.weights, files.data(data), split, device=device)
    if split == "test":
        evaluated = None if evaluated is None else Path(evaluated)
        record_test_use(folder, files.digest(), len(X), evaluated=evaluated)
    found = known_or_measured(
        config,
        files,
        X,
        scores_file(files, folder),
        folder=folder,
        by_class=True,
        workers=workers,
        on_start=on_start,
        on_sample=on_sample,
    )
    return [sample.evaluation for sample in found]
