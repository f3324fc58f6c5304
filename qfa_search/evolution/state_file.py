"""The state of an unfinished search on disk, from which it goes on after a kill."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from predictors import LatencyTable
from predictors.files import digest_of, load_tensors, save_tensors
from qfa_search.errors import CheckpointMismatchError, QFAError
from qfa_search.evolution.config import SearchConfig
from qfa_search.evolution.loop import Archive, Population, SearchState
from qfa_search.evolution.problem import predict_top1
from qfa_search.evolution.seen import SeenGenomes
from qfa_search.evolution.target import SearchTarget
from search_spaces.genome import Genomes
from search_spaces.plain_data import whole_number

KIND = "search state"
SAVE_SECONDS = 5.0
# A state grows with what was seen: one that takes longer to write is written as much less often,
# so that writing takes a twentieth of the time at most, however long the search.
QUICK_SAVE_SECONDS = 0.25
N_PROBES = 16  # genomes by whose predictions predictors are told apart

_POPULATION_ARRAYS = ("X", "F", "CV", "rank", "crowding")


class StateFile:
    """Where a search keeps its state while it runs.

    The file is replaced every `SAVE_SECONDS` (less often when it is large) and after the last
    generation, each time whole or not at all. It stays after the search until whoever has stored
    the result removes it.
    """

    def __init__(self, path: str | Path, settings: Mapping[str, Any], *, resume: bool) -> None:
        """Use `path` for a search with `settings`.

        Args:
            path: The file.
            settings: What decides the course of the search, as plain data.
            resume: Whether to go on from what the file holds, if it exists.

        Raises:
            QFAError: The file exists and `resume` is not set.
            CheckpointMismatchError: The file belongs to a search with other settings.
            ValueError: It is no state of a search.
        """
        self.path = Path(path)
        self.settings = dict(settings)
        self.saved_at = time.monotonic()
        self.pause = SAVE_SECONDS
        self.start: SearchState | None = None
        if not self.path.exists():
            return
        if not resume:
            raise QFAError(
                f"{self.path} holds an unfinished search: go on with it with --resume "
                "(resume=True), or choose another folder"
            )
        tensors, metadata = load_tensors(self.path, KIND)
        try:
            _check_settings(self.path, self.settings, metadata["settings"])
            self.start = _from_tensors(tensors, metadata)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            told = f"{error} is missing" if isinstance(error, KeyError) else error
            raise ValueError(f"{self.path} is not a complete {KIND}: {told}") from error

    def keep(self, state: SearchState) -> None:
        """Write `state` some seconds after the one before, and that of the last generation."""
        is_last = state.generation == self.settings["generations"]
        if not is_last and time.monotonic() - self.saved_at < self.pause:
            return
        started = time.monotonic()
        tensors = {
            **{f"population.{n}": getattr(state.population, n) for n in _POPULATION_ARRAYS},
            "archive.X": state.archive.X,
            "archive.F": state.archive.F,
            "archive.least_shortfall": np.array([state.archive.least_shortfall]),
            "seen": state.seen.to_array(),
            "hypervolumes": np.array(state.hypervolumes),
        }
        metadata = {
            "settings": self.settings,
            "generation": state.generation,
            "n_evaluated": state.archive.n_evaluated,
            "rng": state.rng.bit_generator.state,
        }
        save_tensors(self.path, KIND, tensors, metadata)
        self.saved_at = time.monotonic()
        self.pause = SAVE_SECONDS * max(1.0, (self.saved_at - started) / QUICK_SAVE_SECONDS)


def search_settings(
    target: SearchTarget,
    config: SearchConfig,
    given: Genomes | None,
    latency_table: LatencyTable | None,
) -> dict[str, Any]:
    """All that the course of a search depends on, as plain data; long parts as digests."""
    space = target.space
    probes = space.layout.sample(np.random.default_rng(0), N_PROBES)
    table = sorted(latency_table.values.items()) if latency_table else None
    return {
        "space": f"{space.name} {digest_of(json.dumps(space.to_dict(), sort_keys=True).encode())}",
        "supernet": target.files.digest() if target.files else None,
        "predictor": digest_of(predict_top1(target.predictor, probes).tobytes()),
        "initial": None if given is None else digest_of(np.ascontiguousarray(given).tobytes()),
        "latency_table": None if table is None else digest_of(json.dumps(table).encode()),
        "limits": config.limits.to_dict(),
        "objectives": list(config.objectives),
        "population": config.population,
        "generations": config.generations,
        "seed": config.seed,
        "crossover_prob": config.crossover_prob,
        "mutation_prob": config.mutation_prob,
    }


def _check_settings(path: Path, wanted: Mapping[str, Any], stored: Mapping[str, Any]) -> None:
    names = [name for name in wanted if wanted[name] != stored.get(name)]
    if names:
        changes = ", ".join(f"{n} {stored.get(n)} (now {wanted[n]})" for n in names)
        raise CheckpointMismatchError(
            f"{path} is of a search with other settings: {changes}; "
            "repeat these to resume it, or choose another folder"
        )


def _from_tensors(tensors: Mapping[str, Any], metadata: Mapping[str, Any]) -> SearchState:
    X, F = tensors["archive.X"], tensors["archive.F"]
    archive = Archive(X.shape[1], F.shape[1])
    archive.X, archive.F = X, F
    archive.n_evaluated = whole_number("n_evaluated", metadata["n_evaluated"])
    archive.least_shortfall = float(tensors["archive.least_shortfall"][0])
    rng = np.random.default_rng()
    rng.bit_generator.state = metadata["rng"]
    return SearchState(
        generation=whole_number("generation", metadata["generation"]),
        population=Population(**{n: tensors[f"population.{n}"] for n in _POPULATION_ARRAYS}),
        archive=archive,
        seen=SeenGenomes.from_array(tensors["seen"]),
        rng=rng,
        hypervolumes=tensors["hypervolumes"].tolist(),
    )
