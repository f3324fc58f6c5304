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
    from qfa_search.images.folder_space import Wanted
    from qfa_search.images.published_set import Listed
    from qfa_search.supernet.files import SupernetFiles
    from qfa_search.training.config import TrainConfig
    from qfa_search.training.estimate import PhaseTime
    from search_spaces import SearchSpace

PUBLISHED_SETS = ("fashion-mnist", "cifar10")
DRY_RUN_IMAGES, IMAGENET_IMAGES = 55_000, 1_271_167
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
            help="Weights of a torchvision classifier (safetensors), to be tuned as the teacher.",
        ),
    ] = None,
    init: Annotated[
        str | None,
        typer.Option(metavar="NAME|FILE", help="Supernet to start from where shapes agree."),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(help="About how long to train: phases are shortened or lengthened alike."),
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
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no estimate.")] = False,
) -> None:
    """Train a supernet on your images, on all cores or GPUs of this machine.

    Ctrl-C keeps what was done; the same command with --resume goes on from there. Several
    machines train together under `torchrun ... -m qfa_search train ...`.
    """
    if not dry_run and (data is None or out is None):
        missing = "--data" if data is None else "--out"
        raise typer.BadParameter(f"missing option {missing} (only --dry-run does without)")
    if resolution is not None and (space is not None or data in (None, *PUBLISHED_SETS)):
        raise typer.BadParameter(f"--resolution {_why_not_fitted(data, space)}")
    is_folder = data is not None and data not in PUBLISHED_SETS
    fits = {"--bits": bits, "--fit-ram-kb": fit_ram_kb, "--fit-flash-kb": fit_flash_kb}
    for option, value in fits.items():
        if value is not None and (space is not None or not is_folder):
            raise typer.BadParameter(f"{option} {_why_not_fitted(data, space)}")
    wanted = _wanted(bits, fit_ram_kb, fit_flash_kb)

    from qfa_search.training.config import preset as load_preset
    from qfa_search.training.config import settings

    recipe = preset or ("own-images" if is_folder else data or "fashion-mnist")
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
    changes = {key: value for key, value in given.items() if value is not None}
    changes |= settings(set_ or ())
    # Who counts in epochs wants no least number of steps.
    steps = {key.replace("epochs", "steps"): 0 for key in changes if key.endswith("epochs")}
    changes = {**steps, **changes}
    if teacher_weights is not None and (teacher is not None or teacher_epochs == 0):
        raise typer.BadParameter("--teacher-weights FILE is tuned: no --teacher, no 0 epochs of it")
    if teacher is not None or teacher_epochs == 0:
        changes |= {"teacher_width": 0, "teacher_epochs": 0.0}
    config = load_preset(recipe, **changes)
    if continue_steps is not None and init is None:
        raise typer.BadParameter("--continue needs --init DIR: the training that goes on")
    for option, given_too in (("--space", space), ("--minutes", minutes)):
        if continue_steps is not None and given_too is not None:
            raise typer.BadParameter(f"--continue goes without {option}: that of --init stays")

    from qfa_search.images.folder_space import check_resolution
    from qfa_search.images.sources import data_for, is_too_large
    from qfa_search.supernet.files import resolve_supernet
    from qfa_search.training.estimate import default_processes, phase_times, told
    from qfa_search.training.launch import run_together
    from qfa_search.training.lengths import within_minutes
    from qfa_search.training.run import check_out, list_to_train, stored_recipe

    check_resolution(resolution)
    if out is not None and not dry_run:
        check_out(out, resume=resume)
    start = None if init is None else resolve_supernet(init).weights
    is_first = os.environ.get("RANK", "0") == "0"
    listed = None
    if data is not None:
        with notes_on_stderr(quiet or not is_first):
            starts = [path for path in (start, teacher) if path is not None]
            listed = list_to_train(
                data, out or Path(), resume=resume, starts=starts, by_content=not dry_run
            )
    if continue_steps is not None:
        assert init is not None
        assert listed is not None
        chosen, config, teacher = _to_train_on(
            resolve_supernet(init), listed.size("train"), continue_steps, teacher
        )
    else:
        chosen = _space(space, data, listed, resolution, wanted, out if resume else None)
    if processes is not None and processes < 1:
        raise typer.BadParameter(f"--processes must be at least 1, got {processes}")
    is_worker = "WORLD_SIZE" in os.environ  # of torchrun
    n = 1 if is_worker else processes or default_processes(chosen, config)
    n_images, along = images or (IMAGENET_IMAGES if recipe == "imagenet" else DRY_RUN_IMAGES), False
    if listed is not None:
        data_for(listed, chosen)  # raises if the images do not fit the space
        n_images, along = listed.size("train"), is_too_large(listed, chosen)
    if dry_run:
        print_dry_run(chosen, n_images, config, processes=n, along=along)
        return
    assert data is not None
    assert out is not None
    assert listed is not None
    if is_first and not quiet:
        tell_images(listed)
    if resume and minutes is not None:
        config = stored_recipe(out) or config
    times: list[PhaseTime] = []
    if (minutes is not None and not resume) or not (quiet or is_worker):
        times = phase_times(chosen, n_images, config, processes=n, is_teacher_run_along=along)
        if minutes is not None and not resume:
            config, times = within_minutes(config, times, minutes)
        if not (quiet or resume):
            tell(f"{space_in_words(chosen)}; as a file: {out / 'space.toml'}")
            tell(told(times, n))
    work = partial(
        _train_here,
        chosen,
        listed,
        data,
        out,
        config,
        resume=resume or continue_steps is not None,
        teacher=teacher,
        teacher_weights=teacher_weights,
        init=start,
        tensorboard=tensorboard,
        times=times,
        quiet=quiet,
    )
    try:
        if n == 1:
            work()
        else:
            run_together(work, n)
    except KeyboardInterrupt:
        if is_first:
            tell(f"interrupted; {out} keeps what was done: the same command with --resume goes on")
        raise typer.Exit(130) from None
    if is_first:
        from qfa_search.training.run import SUPERNET_FILE

        print_result(out / SUPERNET_FILE, data)


def _train_here(
    space: SearchSpace,
    listed: Listed,
    data: str,
    out: Path,
    config: TrainConfig,
    *,
    resume: bool,
    teacher: Path | None,
    teacher_weights: Path | None,
    init: Path | None,
    tensorboard: bool,
    times: list[PhaseTime],
    quiet: bool,
) -> None:
    """Train in this process; the first of several shows the progress."""
    from qfa_search.training.run import train as run

    if multiprocessing.parent_process() is not None:  # one of several of this machine
        open_streams()
    is_first = os.environ.get("RANK", "0") == "0"
    is_silent = quiet or not is_first
    with notes_on_stderr(is_silent), training_progress(is_silent, times) as show:
        run(
            space,
            data,
            out,
            config,
            listed=listed,
            resume=resume,
            teacher=teacher,
            teacher_weights=teacher_weights,
            init=init,
            tensorboard=tensorboard,
            on_step=show,
        )


def _why_not_fitted(data: str | None, space: str | None) -> str:
    """The one reason why an option of a fitted space does not apply."""
    if space is not None:
        return f"goes without --space: {space} says it"
    if data is None:
        return "fits a space to a folder: give one as --data"
    return f"fits a space to a folder: {data} has a space of its own"


def _space(
    name: str | None,
    data: str | None,
    listed: Listed | None,
    resolution: int | None,
    wanted: Wanted,
    resumed: Path | None,
) -> SearchSpace:
    """The space that was asked for, that of the run to go on with, or one fitted to a folder."""
    import search_spaces
    from qfa_search.images.folder_space import largest_side, space_for_folder
    from qfa_search.images.published_set import PublishedSet
    from qfa_search.training.run import SPACE_FILE

    if name is not None:
        return search_spaces.load(name)
    if resumed is not None and (resumed / SPACE_FILE).is_file():
        return search_spaces.load(resumed / SPACE_FILE)
    if listed is None or isinstance(listed, PublishedSet):
        return search_spaces.load(data or "fashion-mnist")
    return space_for_folder(
        listed, resolution=resolution, largest_side=largest_side(), wanted=wanted
    )


def _wanted(bits: str | None, ram_kb: float | None, flash_kb: float | None) -> Wanted:
    """What the fitted space has to be good for."""
    from qfa_search.images.folder_space import Wanted

    if bits is None:
        return Wanted(ram_kb=ram_kb, flash_kb=flash_kb)
    try:
        widths = tuple(sorted({int(width) for width in bits.split(",")}))
    except ValueError:
        raise typer.BadParameter(f"--bits must be widths like 2,4,8, got {bits!r}") from None
    return Wanted(bit_choices=widths, ram_kb=ram_kb, flash_kb=flash_kb)


def _to_train_on(
    files: SupernetFiles, n_images: int, n_steps: int, teacher: Path | None
) -> tuple[SearchSpace, TrainConfig, Path]:
    """Space, recipe and teacher of a finished training that goes on."""
    from qfa_search.errors import QFAError
    from qfa_search.training.lengths import trained_on
    from qfa_search.training.recipe import TEACHER_FILE
    from qfa_search.training.run import recipe_of

    own_teacher = files.weights.with_name(TEACHER_FILE)
    if teacher is None and not own_teacher.is_file():
        raise QFAError(
            f"{files.name} has no {TEACHER_FILE} beside it to go on with: name one with --teacher"
        )
    config = trained_on(recipe_of(files.weights), n_steps, n_images)
    return files.space(), config, teacher or own_teacher
