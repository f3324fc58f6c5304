"""A search's result on disk: where it goes, and that no earlier one is overwritten."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from predictors.files import locked_folder, write_text
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
    is_unfinished = any(state_files(folder))
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


@contextmanager
def result_folder(out: Path | None, *, resume: bool = False) -> Iterator[Path]:
    """The folder of a result, checked before the work starts, and this process's alone.

    Args:
        out: Which one; a new one in `RUNS` by default, which goes again if nothing is in it in
            the end.
        resume: Whether what an unfinished search left there is to be finished.

    Raises:
        QFAError: There is a result already or an unfinished search, another command works in the
            folder, or nothing can be written there.
    """
    with ExitStack() as stack:
        try:
            if out is not None:
                check_is_free(out, resume=resume)
            is_new = out is None or not out.exists()
            folder = new_run_folder() if out is None else out
            stack.enter_context(locked_folder(folder))
        except BlockingIOError as error:
            raise QFAError(f"cannot use {out}: {error.strerror}") from None
        except OSError as error:
            told = error.strerror or error
            raise QFAError(f"cannot write to {error.filename or out or RUNS}: {told}") from error
        if is_new:
            stack.callback(_remove_if_empty, folder)
        check_is_free(folder, resume=resume)  # again: now nobody else can write to it
        yield folder


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


def _remove_if_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()


def write_front(front: ParetoFront, folder: Path, *, resume: bool = False) -> None:
    """Write front.csv and then front.json, each whole or absent; pictures come after them.

    Equal fronts give equal files.

    Args:
        front: The front.
        folder: Where to; made if it is missing.
        resume: Whether the front finishes an unfinished search there.

    Raises:
        QFAError: `folder` has a front already.
    """
    check_is_free(folder, resume=resume)
    frame = front.to_frame()
    frame["genome"] = [" ".join(map(str, genome)) for genome in frame["genome"]]
    write_text(folder / CSV_NAME, frame.to_csv(index=False, lineterminator="\n"))
    front.save(folder / JSON_NAME)


def remove_states(folder: Path) -> None:
    """End a search of which everything is written: there is nothing left to resume."""
    # Hidden files are what a kill in the middle of writing left.
    written = (f"{STATE_STEM}*{STATE_SUFFIX}", JSON_NAME, CSV_NAME, PICTURE_NAME, PAGE_NAME)
    hidden = [path for name in written for path in folder.glob(f".{name}.*")]
    for path in [*state_files(folder), *hidden]:
        path.unlink()


def write_picture(front: ParetoFront, folder: Path) -> None:
    """Write front.png, whole or not at all."""
    from qfa_search.front.picture import save_figure

    save_figure(front.plot(), folder / PICTURE_NAME)
