"""`qfa-search train`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from qfa_search.train.loop import Progress

SHOW_SECONDS = 1.0


def train(
    data: Annotated[
        str,
        typer.Option(metavar="NAME|DIR", help="fashion-mnist, or a folder with train/CLASS/*.jpg."),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the result.")],
    space: Annotated[
        str, typer.Option(metavar="NAME|FILE", help="Built-in space or a .toml file.")
    ] = "fashion-mnist",
    float_epochs: Annotated[
        float | None, typer.Option(help="Epochs of the float network, the teacher.")
    ] = None,
    epochs: Annotated[float | None, typer.Option(help="Epochs of the quantized supernet.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images per step and process.")] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Peak rate of the quantized phase.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of every random choice.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from checkpoints.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Train a supernet; several processes with `torchrun -m qfa_search train ...`.

    Ctrl-C keeps what was done; the same command with --resume goes on from there.
    """
    import search_spaces
    from qfa_search.train.config import TrainConfig

    given = {
        "float_epochs": float_epochs,
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "seed": seed,
    }
    config = TrainConfig(**{key: value for key, value in given.items() if value is not None})  # type: ignore[arg-type]
    chosen = search_spaces.load(space)

    from qfa_search.train.run import train as run

    try:
        with _progress(quiet) as show:
            path = run(chosen, data, out, config, resume=resume, on_step=show)
    except KeyboardInterrupt:
        typer.echo(f"interrupted; {out} keeps what was done: add --resume to go on", err=True)
        raise typer.Exit(130) from None
    if "RANK" not in os.environ or os.environ["RANK"] == "0":
        from predictors.files import read_metadata

        for name, top1 in read_metadata(path, "supernet")["scores"].items():
            typer.echo(f"{name}: {top1:.2f} % of the validation split")
        typer.echo(f"written: {path}")


@contextmanager
def _progress(quiet: bool) -> Iterator[Callable[[Progress], None]]:
    """Progress bars on stderr, one for each phase."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    bars = Bars(
        TextColumn("{task.description}"),
        MofNCompleteColumn(),
        BarColumn(bar_width=20),
        TextColumn("{task.fields[state]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=quiet,
    )
    tasks: dict[str, object] = {}
    shown = 0.0

    def show(progress: Progress) -> None:
        nonlocal shown
        now = time.monotonic()
        if progress.step < progress.n_steps and now - shown < SHOW_SECONDS:
            return
        shown = now
        bars.start()
        if progress.phase not in tasks:
            tasks[progress.phase] = bars.add_task(progress.phase, total=progress.n_steps, state="")
        losses = " ".join(f"{loss:.3f}" for loss in progress.losses)
        bars.update(
            tasks[progress.phase],  # type: ignore[arg-type]
            completed=progress.step,
            state=f"loss {losses}, {progress.images_per_second:.0f} images/s",
        )

    try:
        yield show
    finally:
        if bars.live.is_started:
            bars.stop()
