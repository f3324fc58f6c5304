"""The front by measured accuracy: chosen members, and all that was measured before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from predictors import LatencyTable
from predictors.files import read_metadata
from qfa_search.errors import CheckpointMismatchError
from qfa_search.evolution.config import SearchConfig
from qfa_search.evolution.problem import Predictor
from qfa_search.evolution.search import cost_function
from qfa_search.evolution.target import resolve_target
from qfa_search.front.front import ParetoFront
from qfa_search.front.objectives import constraint_values
from qfa_search.measuring.device import AUTO
from qfa_search.measuring.parallel import Workers
from qfa_search.measuring.samples import Sample, stored_samples
from qfa_search.measuring.sampling import SAMPLES_NAME, known_or_measured, setting_of
from qfa_search.measuring.subnets import measure_config
from qfa_search.supernet.files import resolve_supernet
from search_spaces.arrays import Floats
from search_spaces.genome import Genomes

if TYPE_CHECKING:
    from qfa_search.measuring.result import Evaluation


def measured_front(
    front: ParetoFront,
    n: int,
    *,
    supernet: str | Path | None = None,
    predictor: Predictor | str | Path | None = None,
    data: str | Path | None = None,
    latency_table: LatencyTable | str | Path | None = None,
    folder: str | Path = ".",
    jobs: int = 1,
    device: str = AUTO,
    backend: str = "loky",
    scheduler: str | None = None,
    on_start: Callable[[int], None] = lambda n: None,
    on_sample: Callable[[Sample], None] = lambda sample: None,
) -> ParetoFront:
    """The front of measured subnets: `n` members, and every one that was measured before.

    Each score is stored at once in samples.sqlite of `folder`. No subnet that is there or in the
    supernet's samples is measured again, and none that is better is forgotten.

    Args:
        front: Predicted front.
        n: How many members to measure, evenly spread over the front.
        supernet: Name, file or folder of its supernet; by default where the front says it is.
        predictor: What predicted it; the one beside the supernet by default.
        data: Images that the supernet was trained on; those that it names by default.
        latency_table: Latencies of layers, or their CSV file, if it has latencies.
        folder: Where samples.sqlite is or goes.
        jobs: Processes that measure.
        device: "cpu", "cuda", "cuda:N", or "auto": the GPU where there is one.
        backend: "loky" (local processes) or "dask".
        scheduler: Address of the Dask scheduler.
        on_start: Called once with the number of subnets to measure.
        on_sample: Called after each.

    Raises:
        CheckpointMismatchError: The front is of another supernet.
        InfeasibleBudgetError: None of them holds min_top1.
        QFAError: A subnet cannot be measured.
    """
    from qfa_search.images.sources import class_names

    supernet = front.supernet if supernet is None else supernet
    files = resolve_supernet(supernet)
    if front.supernet_digest not in (None, files.digest()):
        raise CheckpointMismatchError(
            f"the front is of the supernet {front.supernet_digest}, {files.weights} is "
            f"{files.digest()}: give the supernet that was searched"
        )
    config = measure_config(files.weights, files.data(data), device=device)
    chosen = front.subset(front.evenly_chosen(n))
    path = Path(folder) / SAMPLES_NAME
    found = known_or_measured(
        config,
        files,
        chosen.X,
        path,
        folder=Path(folder),
        workers=Workers(jobs=jobs, backend=backend, scheduler=scheduler),
        on_start=on_start,
        on_sample=on_sample,
    )
    setting = setting_of(config, files.digest())
    known = {sample.genome.tobytes(): sample for sample in found}
    for stored in (path, files.samples):
        for sample in stored_samples(stored, front.space, setting):
            known.setdefault(sample.genome.tobytes(), sample)
    samples = list(known.values())
    if isinstance(latency_table, str | Path):
        latency_table = LatencyTable.load(latency_table)
    merged = measured_members(
        front,
        np.array([sample.genome for sample in samples]),
        [sample.top1 for sample in samples],
        latency_table,
        class_top1=_by_class([sample.evaluation for sample in samples], front.space.n_classes),
    ).measured()
    target = resolve_target(supernet=supernet, predictor=predictor)
    names = class_names(read_metadata(files.weights, "supernet")) or ()
    return replace(with_predictions(merged, target.predictor), class_names=names)


def measured_members(
    front: ParetoFront,
    X: Genomes,
    top1: ArrayLike,
    table: LatencyTable | None,
    *,
    class_top1: Floats | None = None,
) -> ParetoFront:
    """Measured subnets inside the cost limits of `front`, as members without predictions.

    Args:
        front: Where limits and objectives come from.
        X: Canonical genomes, `(n, n_genes)`.
        top1: Their accuracy in percent, `(n,)`.
        table: Latencies of layers, if the front has latencies.
        class_top1: Their accuracy by class, `(n, n_classes)`.
    """
    config = SearchConfig(limits=front.limits, objectives=front.objectives)
    costs, columns = cost_function(front.space, config, table)
    values = {name: np.asarray(column) for name, column in costs(X, columns).items()}
    budget = replace(front.limits, min_top1=None)
    inside = (constraint_values(values, budget) <= 0).all(axis=1)
    unknown: Floats = np.full(int(inside.sum()), np.nan)
    return replace(
        front,
        X=X[inside],
        costs={name: column[inside] for name, column in values.items()},
        top1_predicted=unknown,
        top1_spread=unknown,
        top1_measured=np.asarray(top1, dtype=np.float64)[inside],
        extrapolates=np.zeros(len(unknown), dtype=bool),
        class_top1=np.zeros((len(unknown), 0)) if class_top1 is None else class_top1[inside],
    )


def with_predictions(front: ParetoFront, predictor: Predictor) -> ParetoFront:
    """The same members with what `predictor` says of them."""
    X = front.X
    spread = np.full(len(X), np.nan)
    if hasattr(predictor, "predict_with_spread"):
        spread = np.asarray(predictor.predict_with_spread(X)[1], dtype=np.float64)
    extrapolates = np.zeros(len(X), dtype=bool)
    if hasattr(predictor, "extrapolates"):
        extrapolates = np.asarray(predictor.extrapolates(X), dtype=bool)
    return replace(
        front,
        top1_predicted=np.asarray(predictor.predict(X), dtype=np.float64),
        top1_spread=spread,
        extrapolates=extrapolates,
    )


def _by_class(found: list[Evaluation], n_classes: int) -> Floats:
    """Accuracies by class, `(n, n_classes)`; NaN where they were not kept."""
    unknown = (np.nan,) * n_classes
    return np.array([evaluation.class_top1 or unknown for evaluation in found])
