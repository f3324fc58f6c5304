"""The progress of a search on standard error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qfa_search.evolution.loop import SearchProgress


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
