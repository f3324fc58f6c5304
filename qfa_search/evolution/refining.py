"""Search, measure, refit, again: a predictor that is sharpened where the front is."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from predictors import AccuracyPredictor, LatencyTable
from predictors.files import check_place
from qfa_search.errors import InfeasibleBudgetError, QFAError
from qfa_search.evolution.config import SearchConfig
from qfa_search.evolution.loop import SearchProgress
from qfa_search.evolution.measured import measured_members
from qfa_search.evolution.problem import Predictor
from qfa_search.evolution.search import chosen_config, search
from qfa_search.evolution.seen import genome_keys
from qfa_search.front.dominance import largest_gains
from qfa_search.front.folder import remove_states, state_name
from qfa_search.front.front import ParetoFront
from qfa_search.measuring.device import AUTO
from qfa_search.measuring.parallel import Workers
from qfa_search.measuring.samples import Samples, Setting, read_samples, stored_samples
from qfa_search.measuring.sampling import SAMPLES_NAME, measure_missing
from qfa_search.measuring.scoring import RecalibrationSetting
from qfa_search.measuring.store import SampleStore
from qfa_search.measuring.subnets import measure_config
from qfa_search.supernet.files import DEFAULT_SUPERNET, SupernetFiles, resolve_supernet
from search_spaces.arrays import Floats
from search_spaces.genome import Genomes

DEFAULT_BATCH = 16
PREDICTOR_NAME = "predictor.safetensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class RefinedRound:
    """What a round of search and measurement brought.

    Attributes:
        number: Of the round; 0 is the one with the predictor as it was.
        rounds: Number of the last one.
        n_measured: Subnets of its front that were measured.
        hypervolume: Of the front of all measured subnets so far, the samples among them, in the
            units of the objectives.
        rmse: Error of the predictor on the subnets of this round, which it had never seen, in
            points; NaN if there were none.
    """

    number: int
    rounds: int
    n_measured: int
    hypervolume: float
    rmse: float


def refine(
    config: SearchConfig | None = None,
    *,
    data: str | Path | None = None,
    rounds: int,
    folder: str | Path,
    supernet: str | Path | None = None,
    predictor: Predictor | str | Path | None = None,
    latency_table: LatencyTable | str | Path | None = None,
    batch: int = DEFAULT_BATCH,
    jobs: int = 1,
    device: str = AUTO,
    backend: str = "loky",
    scheduler: str | None = None,
    resume: bool = False,
    on_generation: Callable[[SearchProgress], None] | None = None,
    on_round: Callable[[RefinedRound], None] | None = None,
    **settings: object,
) -> ParetoFront:
    """The front of all measured subnets after searching with ever better predictors.

    A search is followed by `rounds` rounds; each measures a batch of the last front on the
    validation split, fits the predictor again with these subnets among the samples, and
    searches. The last front is measured, too. `folder` gets the samples with all measured
    subnets, the last predictor and the states of the searches: nothing is measured twice.

    Args:
        config: Limits, objectives and how to search, every time; instead of `settings`.
        data: Images that the supernet was trained on; those that it names by default.
        rounds: How often to refit, at least 1.
        folder: For samples, predictor and states.
        supernet: Name, file or folder of a supernet with samples beside it.
        predictor: For the first search; the one beside the supernet by default.
        latency_table: Latencies of layers, or their CSV file.
        batch: Subnets to measure per round: those that promise the most hypervolume.
        jobs: Processes that measure; fewer where memory is short.
        device: "cpu", "cuda", "cuda:N", or "auto": the GPU where there is one.
        backend: "loky" (local processes) or "dask".
        scheduler: Address of the Dask scheduler.
        resume: Go on with a call that was killed; the result is the same.
        on_generation: Called after each generation of every search.
        on_round: Called after each round.
        **settings: Limits and other settings of every search by name, as `search` takes them.

    Returns:
        The measured subnets inside the limits that no other one dominates.

    Raises:
        TypeError: An unknown setting, or both `config` and settings.
        ValueError: An argument is out of range.
        InfeasibleBudgetError: No subnet is inside the limits, or none that was measured.
        QFAError: The supernet has no samples, or `folder` is its own.
        FileExistsError: `folder` has a predictor already.
    """
    config = chosen_config(config, settings)
    for name, value in (("rounds", rounds), ("batch", batch)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    folder = Path(folder)
    workers = Workers(jobs=jobs, backend=backend, scheduler=scheduler)
    files = resolve_supernet(supernet)
    measuring = measure_config(files.weights, files.data(data), device=device)
    goes_on = resume and (folder / state_name()).exists()
    base, store = _open_samples(files, folder, goes_on=goes_on)
    recalibration = RecalibrationSetting.parse(base.setting.recalibration)
    measuring = replace(measuring, recalibration=recalibration)
    if isinstance(latency_table, str | Path):
        latency_table = LatencyTable.load(latency_table)
    known = set(genome_keys(base.X))
    initial: Genomes | None = None
    ref_point: tuple[float, ...] | None = None
    without_floor = replace(config.limits, min_top1=None)
    for number in range(rounds + 1):
        # A first predictor may promise min_top1 and a later one not, while what is measured has it.
        front = search(
            config if number == 0 else replace(config, limits=without_floor),
            supernet=supernet if supernet is not None else DEFAULT_SUPERNET,
            predictor=predictor,
            initial=initial,
            latency_table=latency_table,
            state_file=folder / state_name(number),
            resume=resume,
            callback=on_generation,
        )
        rated = replace(front, limits=without_floor)
        samples = _known_samples(store, base.setting, known)
        measured = measured_members(rated, samples.X, samples.frame["top1"], latency_table)
        ref_point = ref_point or measured.default_ref_point()
        chosen = worth_measuring(front, known, measured.objective_values, ref_point, batch)
        measure_missing(
            measuring,
            store,
            chosen.X,
            supernet_digest=files.digest(),
            seed=config.seed,
            chosen=True,
            workers=workers,
        )
        known.update(genome_keys(chosen.X))
        samples = _known_samples(store, base.setting, known)
        measured = measured_members(
            rated, samples.X, samples.frame["top1"], latency_table
        ).measured()
        if on_round is not None:
            on_round(
                RefinedRound(
                    number=number,
                    rounds=rounds,
                    n_measured=len(chosen),
                    hypervolume=measured.hypervolume(ref_point),
                    rmse=_rmse(chosen, samples),
                )
            )
        if number < rounds:
            predictor = AccuracyPredictor.fit(
                samples.space,
                samples.X,
                samples.frame["top1"].to_numpy(),
                cross_entropy=samples.cross_entropy(),
                seed=config.seed,
                supernet=files.digest(),
            )
            initial = measured.X
    assert isinstance(predictor, AccuracyPredictor)
    try:
        measured = replace(measured, limits=config.limits).measured()
    except InfeasibleBudgetError:
        remove_states(folder)  # nothing to go on with; what was measured stays
        raise
    predictor.save(folder / PREDICTOR_NAME)
    top1, spread = predictor.predict_with_spread(measured.X)
    return replace(
        measured,
        top1_predicted=top1.astype(np.float64),
        top1_spread=spread.astype(np.float64),
        predictor_scores=predictor.report.to_dict(),
        settings={**measured.settings, "refinements": rounds, "measured_per_round": batch},
        extrapolates=predictor.extrapolates(measured.X),
    )


def _open_samples(
    files: SupernetFiles, folder: Path, *, goes_on: bool
) -> tuple[Samples, SampleStore]:
    """The supernet's samples, and their copy in `folder` to add to."""
    path = folder / SAMPLES_NAME
    if not files.samples.is_file():
        raise QFAError(
            f"the supernet {files.name} has no samples to refine its predictor with "
            f"({files.samples} is missing): make them with qfa-search sample "
            f"--supernet {shlex.quote(files.name)} --data IMAGES"
        )
    if path.exists() and path.samefile(files.samples):
        raise QFAError(
            f"{path} is the supernet's own, and a refinement leaves its samples and predictor as "
            "they are: choose another folder"
        )
    if not goes_on:
        check_place(folder / PREDICTOR_NAME)  # before a sample is written beside it
    base = read_samples(files.samples, supernet=files.digest())
    store = SampleStore(path, base.space)
    store.add(base.setting, stored_samples(files.samples, base.space, base.setting))
    return base, store


def worth_measuring(
    front: ParetoFront,
    known: set[bytes],
    measured: Floats,
    ref_point: Sequence[float],
    n: int,
) -> ParetoFront:
    """Up to `n` members of a predicted front that nobody has measured yet.

    Those come first that add the most hypervolume to what is measured, if the predictions hold;
    when fewer add any, the rest is spread evenly over the front.

    Args:
        front: Predicted front.
        known: Keys of the genomes that are measured.
        measured: Their objectives, `(n_known, n_obj)`.
        ref_point: As in `ParetoFront.hypervolume`.
        n: How many to choose.
    """
    new = [i for i, key in enumerate(genome_keys(front.X)) if key not in known]
    rest = front.subset(np.array(new, dtype=np.int64))
    if len(rest) <= n:
        return rest
    signs = np.where([name == "top1" for name in front.objectives], -1.0, 1.0)
    chosen = largest_gains(rest.objective_values, measured, signs * np.asarray(ref_point), n)
    if len(chosen) < n:
        others = np.setdiff1d(np.arange(len(rest)), chosen)
        evenly = others[rest.subset(others).evenly_chosen(n - len(chosen))]
        chosen = np.concatenate([chosen, evenly])
    return rest.subset(np.sort(chosen))


def _known_samples(store: SampleStore, setting: Setting, known: set[bytes]) -> Samples:
    """Samples with the genomes `known`; a call that was killed may have left others."""
    samples = read_samples(store.path, supernet=setting.supernet)
    rows = np.array([key in known for key in genome_keys(samples.X)])
    return replace(samples, X=samples.X[rows], frame=samples.frame[rows].reset_index(drop=True))


def _rmse(chosen: ParetoFront, samples: Samples) -> float:
    """Error of the predictions of `chosen`, all of them among the samples."""
    if not len(chosen):
        return float("nan")
    row = {key: i for i, key in enumerate(genome_keys(samples.X))}
    top1 = samples.frame["top1"].to_numpy()[[row[key] for key in genome_keys(chosen.X)]]
    return float(np.sqrt(np.mean((chosen.top1_predicted - top1) ** 2)))
