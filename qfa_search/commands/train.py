"""`qfa-search train`."""

from __future__ import annotations

import multiprocessing
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qfa_search.commands.terminal import open_streams
from qfa_search.commands.train_progress import training_progress
from qfa_search.commands.train_report import (
    notes_on_stderr,
    print_dry_run,
    print_result,
    space_in_words,
    tell,
    tell_images,
)

if TYPE_CHECKING:
    from qfa_search.training.estimate import PhaseTime
    from qfa_search.training.plan import Planned

RECIPE = "Recipe (changes single settings of --preset)"


def train(
    data: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|DIR",
            help="fashion-mnist, cifar10, or a folder: CLASS/*.jpg, or train/CLASS/ with any of "
            "val/ and test/.",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder for the result.")] = None,
    space: Annotated[
        str | None,
        typer.Option(metavar="NAME|FILE", help="Space or .toml file; fitted to a folder if none."),
    ] = None,
    resolution: Annotated[
        int | None,
        typer.Option(
            help="Largest image side of a fitted space, 16 to 224; else that of the images, at "
            "most 64 without a GPU."
        ),
    ] = None,
    bits: Annotated[
        str | None,
        typer.Option(metavar="2,4,8", help="Bit widths of a fitted space; 2,3,4 by default."),
    ] = None,
    w_bits: Annotated[
        str | None,
        typer.Option(metavar="2,4,8", help="Those for weights, in place of --bits; 1 to 8."),
    ] = None,
    a_bits: Annotated[
        str | None,
        typer.Option(metavar="8", help="Those for activations, in place of --bits; 1 to 8."),
    ] = None,
    fit_ram_kb: Annotated[
        float | None,
        typer.Option(help="Fit the space to a device with so much memory for activations."),
    ] = None,
    fit_flash_kb: Annotated[
        float | None,
        typer.Option(help="Fit the space to a device with so much memory for weights."),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            help="Recipe: cifar10, fashion-mnist, imagenet, own-images (folders), or a .toml file.",
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Any field of the recipe, as recipe.toml in --out names them; again for more.",
        ),
    ] = None,
    teacher: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Learn from this teacher or supernet, train none."),
    ] = None,
    teacher_weights: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Weights of a classifier of torchvision or timm (safetensors), to be tuned as the "
            "teacher.",
        ),
    ] = None,
    init: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            help="Supernet to start from where shapes agree: cifar10 for colour photos unless "
            "another or none is said.",
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(help="How long to train at most, about; phases are shortened or lengthened."),
    ] = None,
    continue_steps: Annotated[
        int | None,
        typer.Option(
            "--continue",
            metavar="N",
            help="Train the finished supernet of --init DIR for N more steps, with its own "
            "teacher, space and split.",
        ),
    ] = None,
    flip: Annotated[
        bool | None,
        typer.Option(
            "--flip/--no-flip",
            help="Whether a mirrored image means the same; for folders it does not by default.",
        ),
    ] = None,
    teacher_epochs: Annotated[
        float | None,
        typer.Option(help="Epochs of the teacher; 0 for none.", rich_help_panel=RECIPE),
    ] = None,
    float_epochs: Annotated[
        float | None,
        typer.Option(help="Epochs of the float network to start from.", rich_help_panel=RECIPE),
    ] = None,
    mixed_epochs: Annotated[
        float | None,
        typer.Option(help="Epochs with 32 bits as a choice.", rich_help_panel=RECIPE),
    ] = None,
    epochs: Annotated[
        float | None,
        typer.Option(help="Epochs of the quantized supernet.", rich_help_panel=RECIPE),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Images per part of a step.", rich_help_panel=RECIPE)
    ] = None,
    parts: Annotated[
        int | None,
        typer.Option(help="Parts of a step, each of --batch-size.", rich_help_panel=RECIPE),
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(help="Peak rate of the quantized phase.", rich_help_panel=RECIPE),
    ] = None,
    shift_share: Annotated[
        float | None,
        typer.Option(
            help="Images in memory move by up to this share of their side.", rich_help_panel=RECIPE
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Of every random choice.", rich_help_panel=RECIPE)
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option(help="That train together, to the same result; else one a core or GPU."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from checkpoints.")] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Print shapes, memory and time; needs neither --data nor --out."
        ),
    ] = False,
    images: Annotated[
        int | None, typer.Option(help="Images that --dry-run counts with, without --data.")
    ] = None,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write event files for TensorBoard.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the file and its scores as JSON.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no estimate.")] = False,
) -> None:
    """Train a supernet on your images, on all cores or GPUs of this machine.

    Ctrl-C keeps what was done; the same command with --resume goes on from there. Several
    machines train together under `torchrun ... -m qfa_search train ...`.
    """
    if not dry_run and (data is None or out is None):
        missing = "--data" if data is None else "--out"
        raise typer.BadParameter(f"missing option {missing} (only --dry-run does without)")
    if images is not None and (not dry_run or data is not None):
        raise typer.BadParameter(
            "--images goes with --dry-run and without --data: that has its own"
        )
    if dry_run and (as_json or tensorboard):
        option = "--json" if as_json else "--tensorboard"
        raise typer.BadParameter(f"--dry-run goes without {option}: it trains nothing")
    if dry_run and minutes is not None:
        raise typer.BadParameter("--dry-run goes without --minutes: it times the recipe as it is")
    from qfa_search.training.arguments import Asked
    from qfa_search.training.config import settings
    from qfa_search.training.estimate import told
    from qfa_search.training.launch import run_together
    from qfa_search.training.plan import plan
    from qfa_search.training.run import SUPERNET_FILE

    given = {
        "teacher_epochs": teacher_epochs,
        "float_epochs": float_epochs,
        "mixed_epochs": mixed_epochs,
        "epochs": epochs,
        "batch_size": batch_size,
        "parts": parts,
        "learning_rate": learning_rate,
        "shift_share": shift_share,
        "flip": flip,
        "seed": seed,
    }
    recipe: dict[str, float | bool | str] = {k: v for k, v in given.items() if v is not None}
    recipe |= settings(set_ or ())
    widths = {
        name: None if text is None else _widths(f"--{name.replace('_', '-')}", text)
        for name, text in (("bits", bits), ("w_bits", w_bits), ("a_bits", a_bits))
    }
    try:
        asked = Asked(
            data=data,
            out=out,
            space=space,
            resolution=resolution,
            **widths,
            fit_ram_kb=fit_ram_kb,
            fit_flash_kb=fit_flash_kb,
            preset=preset,
            recipe=recipe,
            teacher=teacher,
            teacher_weights=teacher_weights,
            init=init,
            minutes=minutes,
            continue_steps=continue_steps,
            processes=processes,
            resume=resume,
            is_dry_run=dry_run,
            n_images=images,
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    is_first = os.environ.get("RANK", "0") == "0"
    with notes_on_stderr(quiet or not is_first):
        planned = plan(asked)
    if dry_run:
        print_dry_run(planned)
        return
    assert data is not None
    assert out is not None
    assert planned.listed is not None
    if is_first and not quiet:
        tell_images(planned.listed)
        if init is None and planned.init is not None:
            tell(f"starts from the bundled supernet {planned.init.stem}; from none: --init none")
    times: list[PhaseTime] = []
    is_timed = not (quiet or "WORLD_SIZE" in os.environ)
    if minutes is not None:
        planned, times = planned.within(minutes)
        if planned.begun_with is not None and is_first and not quiet:
            tell("goes on for as long as it was begun; --minutes is for a training that begins")
    elif is_timed:
        times = planned.times()
    if is_timed and planned.begun_with is None:
        tell(f"{space_in_words(planned.space)}; as a file: {out / 'space.toml'}")
        tell(told(times, planned.processes))
    work = partial(_train_here, planned, tensorboard=tensorboard, times=times, quiet=quiet)
    try:
        if planned.processes == 1:
            work()
        else:
            run_together(work, planned.processes)
    except KeyboardInterrupt:
        if is_first:
            tell(f"interrupted; {out} keeps what was done: the same command with --resume goes on")
        raise typer.Exit(130) from None
    if is_first:
        print_result(out / SUPERNET_FILE, data, as_json=as_json)


def _train_here(
    planned: Planned, *, tensorboard: bool, times: list[PhaseTime], quiet: bool
) -> None:
    """Train in this process; the first of several shows the progress."""
    if multiprocessing.parent_process() is not None:  # one of several of this machine
        open_streams()
    is_first = os.environ.get("RANK", "0") == "0"
    is_silent = quiet or not is_first
    with notes_on_stderr(is_silent), training_progress(is_silent, times) as show:
        planned.run(show, tensorboard=tensorboard)


def _widths(option: str, text: str) -> tuple[int, ...]:
    """Bit widths of a text like 2,4,8, the value of `option`."""
    try:
        return tuple(int(width) for width in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"{option} must be widths like 2,4,8, got {text!r}") from None
