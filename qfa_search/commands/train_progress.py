"""The course of a training on standard error: bars in a terminal, lines in a log file."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from qfa_search.training.estimate import PhaseTime
    from qfa_search.training.phase import Progress

SHOW_SECONDS = 1.0
LINE_SECONDS = 30.0
LINES_PER_PHASE = 4  # at least, so that a short training has some too


class Remaining:
    """Time to the end of all phases, from the estimate and what its steps really took here."""

    def __init__(self, times: Sequence[PhaseTime]) -> None:
        """Start with the estimate; without one only the phase that runs is known."""
        self._times = {time.name: time for time in times}
        self._phase, self._first, self._began = "", 0, 0.0

    def seconds(self, progress: Progress, now: float) -> float | None:
        """After a step at the time `now`; None before the pace is known."""
        if progress.phase != self._phase:
            self._phase, self._first, self._began = progress.phase, progress.step, now
        done = progress.step - self._first
        planned = self._times.get(progress.phase)
        if done == 0 and planned is None:
            return None
        pace = (now - self._began) / done if done else planned.seconds_per_step if planned else 0.0
        left = pace * (progress.n_steps - progress.step)
        names = list(self._times)
        if planned is not None and planned.seconds_per_step > 0:
            later = names[names.index(progress.phase) + 1 :]
            factor = pace / planned.seconds_per_step
            certain = [self._times[name] for name in later if self._times[name].is_certain]
            left += factor * sum(time.seconds for time in certain)
        return left


@contextmanager
def training_progress(
    quiet: bool, times: Sequence[PhaseTime] = ()
) -> Iterator[Callable[[Progress], None]]:
    """What shows each step: bars in a terminal, else a line each half minute and for each phase.

    Args:
        quiet: Show nothing.
        times: The estimate, from which the time to the end of all phases is told.
    """
    if quiet:
        yield lambda progress: None
    elif sys.stderr.isatty():
        with _bars(Remaining(times)) as show:
            yield show
    else:
        yield lines(Remaining(times), lambda line: typer.echo(line, err=True))


def lines(remaining: Remaining, tell: Callable[[str], None]) -> Callable[[Progress], None]:
    """What tells the first and last step of a phase, and the first of each half minute between."""
    phase, told, quarter = "", 0.0, 0

    def show(progress: Progress) -> None:
        nonlocal phase, told, quarter
        now = time.monotonic()
        left = remaining.seconds(progress, now)
        quarter_now = LINES_PER_PHASE * progress.step // progress.n_steps
        if progress.phase == phase and quarter_now == quarter and now - told < LINE_SECONDS:
            return
        phase, told, quarter = progress.phase, now, quarter_now
        tell(
            f"{phase} phase: step {progress.step} of {progress.n_steps}, {_state(progress)}"
            f"{_in_words(left)}"
        )

    return show


@contextmanager
def _bars(remaining: Remaining) -> Iterator[Callable[[Progress], None]]:
    """Progress bars, one for each phase."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn
    from rich.progress import Progress as Bars

    bars = Bars(
        TextColumn("{task.description}"),
        MofNCompleteColumn(),
        BarColumn(bar_width=20),
        TextColumn("{task.fields[state]}"),
        console=Console(stderr=True),
    )
    tasks: dict[str, TaskID] = {}
    shown = 0.0

    def show(progress: Progress) -> None:
        nonlocal shown
        now = time.monotonic()
        left = remaining.seconds(progress, now)
        if progress.step < progress.n_steps and now - shown < SHOW_SECONDS:
            return
        shown = now
        bars.start()
        if progress.phase not in tasks:
            tasks[progress.phase] = bars.add_task(progress.phase, total=progress.n_steps, state="")
        state = f"{_state(progress)}{_in_words(left)}"
        bars.update(tasks[progress.phase], completed=progress.step, state=state)

    try:
        yield show
    finally:
        if bars.live.is_started:
            bars.stop()


def _state(progress: Progress) -> str:
    losses = " ".join(f"{loss:.3f}" for loss in progress.losses)
    return f"loss {losses}, {progress.images_per_second:.0f} images/s"


def _in_words(seconds: float | None) -> str:
    from qfa_search.training.estimate import duration

    return "" if seconds is None else f", about {duration(seconds)} left"
