"""Where the page takes things from: fronts, and the samples that belong to them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from predictors import AccuracyPredictor
from predictors.files import file_digest, read_metadata
from qfa_search.front.folder import JSON_NAME
from qfa_search.front.front import ParetoFront
from qfa_search.images.sources import published_name
from qfa_search.measuring.samples import Samples, read_samples
from qfa_search.report.content import ReportedFront
from qfa_search.supernet.files import SupernetFiles, resolve_supernet
from search_spaces.arrays import Floats

# As a search that measures, and one that refines its predictor, leave them beside the front.
UNSAVED = "SAVED-FRONT.json"  # in the page's commands, for the user to fill in
SAMPLES_NAME, PREDICTOR_NAME = "samples.sqlite", "predictor.safetensors"


def front_path(path: str | Path) -> Path:
    """The front's file: `path` itself, or front.json in the folder `path`."""
    path = Path(path)
    return path / JSON_NAME if path.is_dir() else path


def open_fronts(paths: Sequence[str | Path], page: str | Path) -> tuple[ReportedFront, ...]:
    """Fronts from their files, for a page that will be at `page`.

    Args:
        paths: Front files, or folders with a front.json.
        page: Where the page goes; it names the files from there.

    Raises:
        ValueError: A file is missing or no front, or is given twice.
    """
    files = [front_path(path) for path in paths]
    twice = [str(file) for i, file in enumerate(files) if file in files[:i]]
    if twice:
        raise ValueError(f"{twice[0]} is given twice: a page shows each front once")
    return tuple(
        reported(ParetoFront.load(file), file, page, name=name)
        for file, name in zip(files, _names(files), strict=True)
    )


def reported(
    front: ParetoFront, file: str | Path, page: str | Path, *, name: str = ""
) -> ReportedFront:
    """What is known about a front that is, or could be, stored in `file`."""
    file = Path(file)
    return ReportedFront(
        front=front,
        name=name or front.space.name,
        file=Path(os.path.relpath(file, Path(page).parent)).as_posix(),
        file_digest=file_digest(file) if file.is_file() else None,
        samples=samples_of(front, file.parent),
        images_have_a_name=_images_have_a_name(front),
        held_out=held_out_of(front, file.parent),
    )


def stored_beside(front: ParetoFront, page: Path) -> Path:
    """The front.json beside a page, if that holds `front`; else a name that stands for a file.

    Another front there, such as the one that `front` is a part of, has other members at its places.
    """
    file = page.with_name(JSON_NAME)
    with suppress(ValueError, OSError):
        if ParetoFront.load(file).to_dict() == front.to_dict():
            return file
    return page.with_name(UNSAVED)


def samples_of(front: ParetoFront, folder: Path) -> Samples | None:
    """Measured subnets of the front's supernet: its own or those in `folder`, where more are.

    None if there are none, or if they cannot be read: the page is worth showing without.
    """
    files = _supernet_files(front)
    found = []
    for path in (folder / SAMPLES_NAME, *((files.samples,) if files else ())):
        with suppress(ValueError):
            samples = read_samples(path, supernet=front.supernet_digest)
            if samples.space == front.space:
                found.append(samples)
    return max(found, key=lambda samples: len(samples.X), default=None)


def held_out_of(front: ParetoFront, folder: Path) -> Floats | None:
    """Held-out predictions of the predictor that found the front, found as its samples are.

    None if it cannot be found or read, or is another one by its scores.
    """
    files = _supernet_files(front)
    for path in (folder / PREDICTOR_NAME, *((files.predictor,) if files else ())):
        try:
            predictor = AccuracyPredictor.load(path)
        except ValueError:
            continue
        if predictor.report.to_dict() == dict(front.predictor_scores):
            return predictor.held_out
    return None


def _images_have_a_name(front: ParetoFront) -> bool:
    files = _supernet_files(front)
    if files is None or not files.weights.is_file():
        return False
    with suppress(ValueError):
        return published_name(read_metadata(files.weights, "supernet")) is not None
    return False


def _supernet_files(front: ParetoFront) -> SupernetFiles | None:
    """The files of the front's supernet; None if it is not where it was."""
    if front.supernet is not None:
        with suppress(ValueError, OSError):
            return resolve_supernet(front.supernet)
    return None


def _names(files: Sequence[Path]) -> list[str]:
    """What tells the files apart: their folders' names if these differ, else their paths."""
    resolved = [file.resolve() for file in files]
    folders = [f.parent.name if f.name == JSON_NAME else f.name for f in resolved]
    return folders if len(set(folders)) == len(folders) else [str(file) for file in files]
