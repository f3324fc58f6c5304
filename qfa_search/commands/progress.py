"""The progress of a search and of measuring on standard error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qfa_search.evolution.loop import SearchProgress
    from qfa_search.measuring.samples import Sample


@contextmanager
def search_progress(quiet: bool) -> Iterator[Callable[[SearchProgress], None] | None]:
    """A progress bar on stderr, as a callback for `search`."""
    if quiet:
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeElapsedColumn as Elapsed

    bar = Progress(
        TextColumn("generation"),
        MofNCompleteColumn(),
        BarColumn(bar_width=30),
        TextColumn("{task.fields[state]}"),
        Elapsed(),
        console=Console(stderr=True),
    )
    task = bar.add_task("search", total=None, state="")

    def show(progress: SearchProgress) -> None:
        # Only now: an error before the first generation stands alone.
        bar.start()
        bar.update(
            task,
            completed=progress.generation,
            total=progress.generations,
            state=f"front {progress.front_size}, hypervolume {progress.hypervolume:.4f}",
        )

    try:
        yield show
    finally:
        if bar.live.is_started:
            bar.stop()


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
