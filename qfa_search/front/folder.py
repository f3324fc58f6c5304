"""A search's result on disk: where it goes, and that no earlier one is overwritten."""

from __future__ import annotations

from pathlib import Path

from predictors.files import write_text
from qfa_search.errors import QFAError
from qfa_search.front.front import ParetoFront

STATE_STEM, STATE_SUFFIX = "search-state", ".safetensors"
JSON_NAME, CSV_NAME, PICTURE_NAME = "front.json", "front.csv", "front.png"
PAGE_NAME = "report.html"
RUNS = Path("runs")


def check_is_free(folder: Path, *, resume: bool = False) -> None:
    """Refuse a folder that a front cannot go to.

    Args:
        folder: Where to.
        resume: Whether what an unfinished search left there is to be finished.

    Raises:
        QFAError: There is a front already, or an unfinished search that is not to be resumed,
            or `folder` is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise QFAError(f"cannot write to {folder}: it is a file, expected a folder")
    is_unfinished = not (folder / JSON_NAME).exists() and any(state_files(folder))
    if is_unfinished and resume:
        return
    if is_unfinished:
        raise QFAError(
            f"{folder} holds an unfinished search: go on with it with the same command and "
            "--resume, or choose another folder"
        )
    there = [n for n in (JSON_NAME, CSV_NAME, PICTURE_NAME, PAGE_NAME) if (folder / n).exists()]
    if there:
        raise QFAError(
            f"{folder} holds an earlier result ({', '.join(there)}): it stays as it is; "
            "choose another folder"
        )


def state_name(refined: int = 0) -> str:
    """Name of the state of a search, or of the one after so many refinements of its predictor."""
    return f"{STATE_STEM}{f'-{refined}' if refined else ''}{STATE_SUFFIX}"


def state_files(folder: Path) -> list[Path]:
    """The states of unfinished searches in `folder`."""
    return sorted(folder.glob(f"{STATE_STEM}*{STATE_SUFFIX}"))


def new_run_folder(parent: Path = RUNS) -> Path:
    """Make the first folder search-001, search-002, ... that does not exist yet."""
    parent.mkdir(parents=True, exist_ok=True)
    number = 1
    while True:
        folder = parent / f"search-{number:03d}"
        try:
            folder.mkdir()
        except FileExistsError:
            number += 1
        else:
            return folder


def write_front(front: ParetoFront, folder: Path, *, resume: bool = False) -> None:
    """Write front.csv, front.png and, last, front.json; each is whole or absent.

    Equal fronts give equal files. States of the search that found the front are removed.

    Args:
        front: The front.
        folder: Where to; made if it is missing.
        resume: Whether the front finishes an unfinished search there.

    Raises:
        QFAError: `folder` has a front already.
    """
    from qfa_search.front.picture import save_figure

    check_is_free(folder, resume=resume)
    frame = front.to_frame()
    frame["genome"] = [" ".join(map(str, genome)) for genome in frame["genome"]]
    write_text(folder / CSV_NAME, frame.to_csv(index=False, lineterminator="\n"))
    save_figure(front.plot(), folder / PICTURE_NAME)
    front.save(folder / JSON_NAME)
    # Hidden ones are what a kill in the middle of writing a state left.
    for path in [*state_files(folder), *folder.glob(f".{STATE_STEM}*{STATE_SUFFIX}")]:
        path.unlink()
