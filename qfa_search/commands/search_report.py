"""What a search leaves and tells: the front in files, as a table, a picture and a page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from qfa_search.commands.terminal import say

if TYPE_CHECKING:
    from qfa_search.front.front import ParetoFront


def report(front: ParetoFront, folder: Path, *, as_json: bool, quiet: bool) -> None:
    """Write the front to `folder`, finishing its search, and print it."""
    from qfa_search.front.folder import write_front

    write_front(front, folder, resume=True)
    try:
        _print(front, as_json=as_json)
    finally:  # whoever reads the front may go away before its end
        _finish(front, folder, quiet=quiet)


def _print(front: ParetoFront, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(front.to_dict(), indent=1, allow_nan=False))
        return
    from qfa_search.commands.tables import print_front

    print_front(front)


def _finish(front: ParetoFront, folder: Path, *, quiet: bool) -> None:
    """Draw the front, say where everything is, and end its search."""
    from qfa_search.front.folder import PAGE_NAME, PICTURE_NAME, remove_states, write_picture

    told = "front.json, front.csv"
    with _only_a_word(folder / PICTURE_NAME):
        write_picture(front, folder)
        told += ", front.png"
    if not quiet:
        _warn_of_extrapolation(front)
        say(f"written: {folder}/{told}")
    page = folder / PAGE_NAME
    with _only_a_word(page):
        front.report(page)
        if not quiet:
            say(f"look at it: {page.resolve().as_uri()}")
    remove_states(folder)


@contextmanager
def _only_a_word(path: Path) -> Iterator[None]:
    """A picture or page that fails costs a word: the result itself is stored and shown."""
    try:
        yield
    except Exception as error:  # whatever it is that a drawing library meets
        say(f"no {path}: {error}")


def _warn_of_extrapolation(front: ParetoFront) -> None:
    import numpy as np

    n = int((front.extrapolates & np.isnan(front.top1_measured)).sum())
    if n:
        typer.echo(
            f"warning: {n} of {len(front)} subnets are far from all that the predictor was fitted "
            "to (extrapolates in front.csv): measure them before you trust their top1",
            err=True,
        )
