"""The progress of a search and of measuring on standard error: a bar, or lines in a log file."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from qfa_search.evolution.loop import SearchProgress
    from qfa_search.measuring.samples import Sample


LINE_SECONDS = 30.0


class _Lines:
    """A line each half minute and at the end, for who looks into a log file."""

    def __init__(self, what: str) -> None:
        self._what, self._began = what, time.monotonic()
        self._told = self._began

    def show(self, done: int, total: int, state: str = "") -> None:
        """Say how far it is, if it is time to."""
        now = time.monotonic()
        if done == 0 or (done < total and now - self._told < LINE_SECONDS):
            return
        self._told = now
        minutes = (now - self._began) / done * (total - done) / 60
        left = f", about {minutes:.0f} min left" if done < total else ""
        typer.echo(f"{self._what} {done} of {total}{state}{left}", err=True)


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
    lines = _Lines("generation")

    def show(progress: SearchProgress) -> None:
        state = f"front {progress.front_size}, hypervolume {progress.hypervolume:.4f}"
        if not _is_drawn(bar.console):
            lines.show(progress.generation, progress.generations, f": {state}")
            return
        # Only now: an error before the first generation stands alone.
        bar.start()
        bar.update(
            task,
            completed=progress.generation,
            total=progress.generations,
            state=state,
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
    lines = _Lines(f"{description}:")
    n_done = n_all = 0

    def start(n: int) -> None:
        nonlocal n_all
        n_all = n
        # Only now: an error before the first measurement stands alone.
        if n and _is_drawn(progress.console):
            progress.start()
            progress.update(task, total=n)

    def advance(sample: Sample) -> None:
        nonlocal n_done
        n_done += 1
        if _is_drawn(progress.console):
            progress.update(task, advance=1)
        elif not quiet:
            lines.show(n_done, n_all)

    try:
        yield start, advance
    finally:
        if progress.live.is_started:
            progress.stop()


def _is_drawn(console: Console) -> bool:
    """Whether a bar can be drawn there, again and again."""
    return console.is_terminal and not console.is_dumb_terminal
