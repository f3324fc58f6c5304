"""What a search is about: space, predictor and supernet, found and checked against each other."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import search_spaces
from qfa_search.errors import CheckpointMismatchError, QFAError
from qfa_search.evolution.problem import Predictor
from qfa_search.front.dominance import non_dominated_mask
from qfa_search.front.objectives import objective_values
from qfa_search.supernet.files import SupernetFiles, resolve_supernet
from search_spaces import SearchSpace
from search_spaces.genome import Genomes

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchTarget:
    """A space and what ranks its subnets.

    Attributes:
        space: Where to search.
        predictor: Ranks subnets of that space.
        files: The supernet and its samples, if a supernet was named or implied.
    """

    space: SearchSpace
    predictor: Predictor
    files: SupernetFiles | None

    def known_front(self, objectives: tuple[str, ...]) -> Genomes | None:
        """Measured subnets of the supernet that no other one dominates, `(n, n_genes)`.

        None if the supernet has no samples, or none that know these objectives.
        """
        if self.files is None or not os.path.lexists(self.files.samples):
            return None
        from qfa_search.measuring.samples import read_samples

        try:
            # Those that earlier searches chose would let the same search end otherwise.
            samples = read_samples(
                self.files.samples, supernet=self.files.digest(), drawn_only=True
            )
        except (ValueError, OSError) as error:
            # Another start gives another front, so that this must not pass in silence.
            logger.warning("the search does not start from the supernet's samples: %s", error)
            return None
        known = tuple(name for name in objectives if name in samples.frame)
        if samples.space != self.space or not known or not len(samples.X):
            return None
        values = {name: samples.frame[name].to_numpy(dtype=np.float64) for name in known}
        return samples.X[non_dominated_mask(objective_values(values, known))]

    def predictor_scores(self) -> dict[str, Any]:
        """What the predictor says about its own quality, as plain data; empty if nothing."""
        report: Any = getattr(self.predictor, "report", None)
        if hasattr(report, "to_dict"):
            report = report.to_dict()
        return dict(report) if isinstance(report, Mapping) else {}


def resolve_target(
    *,
    supernet: str | Path | None = None,
    space: SearchSpace | str | Path | None = None,
    predictor: Predictor | str | Path | None = None,
) -> SearchTarget:
    """Find space, predictor and supernet of a search.

    Args:
        supernet: Name, file or folder; the bundled one if neither this nor `predictor` is given.
        space: A space, its name or file; None for that of the predictor.
        predictor: A predictor or its file; None for the one beside the supernet.

    Raises:
        ValueError: A name or file that does not exist or cannot be read.
        CheckpointMismatchError: The three are not of one space.
        QFAError: There is no predictor beside the supernet.
    """
    wanted = space
    if isinstance(wanted, str | Path):
        wanted = search_spaces.load(wanted)
    files = None
    if supernet is not None or predictor is None:
        files = resolve_supernet(supernet)
        if not files.weights.is_file():
            raise QFAError(
                f"the bundled supernet {files.name} is not part of this installation "
                f"({files.weights} is missing): install qfa-search again or give a supernet file"
            )
        _check(wanted, files.space(), f"the supernet {files.name}")
    if predictor is None:
        assert files is not None
        if not files.predictor.is_file():
            raise QFAError(
                f"the supernet {files.name} has no predictor beside it ({files.predictor} is "
                "missing): give a predictor, or make one with qfa-search sample and "
                "qfa-search fit"
            )
        predictor = files.predictor
    if isinstance(predictor, str | Path):
        origin = f"the predictor {predictor}"
        predictor = _load_predictor(predictor)
    else:
        origin = "the predictor"
    _check(wanted, predictor.space, origin)
    if files is not None:
        _check(files.space(), predictor.space, origin)
        _check_supernet(files, predictor, origin)
    return SearchTarget(space=predictor.space, predictor=predictor, files=files)


def _load_predictor(path: str | Path) -> Predictor:
    from predictors import AccuracyPredictor

    return AccuracyPredictor.load(path)


def _check(wanted: SearchSpace | None, found: SearchSpace, origin: str) -> None:
    if wanted is None or wanted == found:
        return
    if wanted.name != found.name:
        detail = f"is for the space {found.name}, not for {wanted.name}"
    else:
        detail = f"is for another version of the space {found.name}"
    raise CheckpointMismatchError(
        f"{origin} {detail}: give a supernet or predictor of the space that is searched"
    )


def _check_supernet(files: SupernetFiles, predictor: Predictor, origin: str) -> None:
    known = getattr(predictor, "supernet", None)
    if known is not None and known != files.digest():
        raise CheckpointMismatchError(
            f"{origin} was fitted to samples of supernet {known}, {files.name} is "
            f"{files.digest()}: sample this one and fit again, or give the supernet it belongs to"
        )
