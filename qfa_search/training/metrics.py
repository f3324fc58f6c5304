"""The course of a training as numbers: a CSV file, and TensorBoard's event files if wanted."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from predictors.files import naming, write_text
from qfa_search.errors import QFAError
from qfa_search.training.phase import Progress

METRICS_FILE = "metrics.csv"
TENSORBOARD_FOLDER = "tensorboard"
COLUMNS = (
    "phase",
    "step",
    "epoch",
    "loss_largest",
    "loss_smallest",
    "loss_random",
    "learning_rate",
    "gradient_norm",
    "images_per_second",
)
STEPS_PER_ROW = 20


def row(progress: Progress) -> dict[str, str | float]:
    """The values of a step by column; a loss that the phase does not have is empty."""
    largest, *others = progress.losses
    return {
        "phase": progress.phase,
        "step": progress.step,
        "epoch": round(progress.epoch, 4),
        "loss_largest": largest,
        "loss_smallest": others[0] if others else "",
        "loss_random": sum(others[1:]) / (len(others) - 1) if len(others) > 1 else "",
        "learning_rate": progress.learning_rate,
        "gradient_norm": progress.gradient_norm,
        "images_per_second": round(progress.images_per_second, 1),
    }


@contextmanager
def metrics_writer(out: Path, *, tensorboard: bool) -> Iterator[Callable[[Progress], None]]:
    """What writes a row every 20 steps to `metrics.csv` in `out`, and to TensorBoard.

    A run that goes on from a checkpoint first drops the rows of the steps that it repeats.

    Raises:
        QFAError: TensorBoard is wanted and not installed.
    """
    path = out / METRICS_FILE
    events = _event_writer(out / TENSORBOARD_FOLDER) if tensorboard else None
    has_started = False

    def write(progress: Progress) -> None:
        nonlocal has_started
        if not has_started:
            has_started = True
            _drop_repeated(path, progress)
        if progress.step % STEPS_PER_ROW and progress.step != progress.n_steps:
            return
        values = row(progress)
        with naming(path), path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, COLUMNS).writerow(values)
        if events is not None:
            for name in COLUMNS[2:]:
                if values[name] != "":
                    events.add_scalar(f"{progress.phase}/{name}", values[name], progress.step)

    try:
        yield write
    finally:
        if events is not None:
            events.close()


def _drop_repeated(path: Path, progress: Progress) -> None:
    """Keep the header and the rows from before the step that `progress` tells of."""
    rows: list[dict[str, str]] = []
    if path.is_file():
        # A full disk may have cut the last row.
        with path.open(newline="", encoding="utf-8", errors="replace") as file, suppress(csv.Error):
            rows.extend(filter(_is_whole, csv.DictReader(file)))
    names = [r["phase"] for r in rows]
    if progress.phase in names:
        first = names.index(progress.phase)
        rows = [r for i, r in enumerate(rows) if i < first or int(r["step"]) < progress.step]
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, COLUMNS)
    table.writeheader()
    table.writerows(rows)
    write_text(path, text.getvalue())


def _is_whole(row: dict[str, str]) -> bool:
    return tuple(row) == COLUMNS and None not in row.values() and row["step"].isdecimal()


def _event_writer(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise QFAError(
            "--tensorboard needs the package tensorboard: pip install 'qfa-search[tensorboard]'"
        ) from error
    return SummaryWriter(str(folder))
