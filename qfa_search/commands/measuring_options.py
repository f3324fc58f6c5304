"""Options that every command has that measures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from qfa_search.measuring.samples import Sample

Jobs = Annotated[
    int, typer.Option(min=1, help="Processes that measure; fewer where memory is short.")
]
Device = Annotated[
    str, typer.Option(help="cpu, cuda, cuda:N, or auto: the GPU where there is one.")
]
Backend = Annotated[str, typer.Option(help="loky (local processes) or dask (a cluster).")]
Scheduler = Annotated[
    str | None, typer.Option(metavar="ADDR", help="Address of the Dask scheduler.")
]
Data = Annotated[
    str | None,
    typer.Option(metavar="NAME|DIR", help="What it was trained on; known for a named data set."),
]


@contextmanager
def measuring_progress(
    description: str, quiet: bool
) -> Iterator[tuple[Callable[[int], None], Callable[[Sample], None]]]:
    """A progress bar on stderr, as the callbacks `on_start` and `on_sample`."""
    from rich.console import Console
    from rich.progress import Progress

    progress = Progress(console=Console(stderr=True), disable=quiet)
    task = progress.add_task(description, total=None)

    def start(n: int) -> None:
        # Only now: an error before the first measurement stands alone.
        if n:
            progress.start()
            progress.update(task, total=n)

    def advance(sample: Sample) -> None:
        progress.update(task, advance=1)

    try:
        yield start, advance
    finally:
        progress.stop()
