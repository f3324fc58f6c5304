"""Training as a call with the arguments of the command, and what comes before it starts."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from qfa_search.errors import QFAError
from qfa_search.images.folder_space import Wanted, check_resolution, largest_side, space_for_folder
from qfa_search.images.published_set import Listed, PublishedSet
from qfa_search.images.sources import data_for, is_too_large
from qfa_search.supernet.files import SupernetFiles, resolve_supernet
from qfa_search.training.config import TrainConfig
from qfa_search.training.config import preset as load_preset
from search_spaces import SearchSpace, load

if TYPE_CHECKING:
    from qfa_search.training.estimate import PhaseTime
    from qfa_search.training.phase import Progress

PUBLISHED_SETS = ("fashion-mnist", "cifar10")
FEWEST_SHOWINGS = 16  # of an image, from which on varying it pays
DRY_RUN_IMAGES, IMAGENET_IMAGES = 55_000, 1_271_167
Setting = float | bool | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A training that may start.

    Attributes:
        space: What is trained.
        config: Recipe.
        processes: That train together.
        n_images: Of the training split.
        is_teacher_run_along: Whether memory cannot hold the images and so their soft labels.
        listed: The images; None in a dry run without any.
        data: Name or folder of the images.
        out: Folder for the result.
        resume: Whether to go on from checkpoints.
        teacher: File to learn from.
        teacher_weights: Weights that are tuned as the teacher.
        init: File to start from.
    """

    space: SearchSpace
    config: TrainConfig
    processes: int
    n_images: int
    is_teacher_run_along: bool
    listed: Listed | None
    data: str | None
    out: Path | None
    resume: bool
    teacher: Path | None
    teacher_weights: Path | None
    init: Path | None

    def times(self) -> list[PhaseTime]:
        """What each phase will take, from some steps on random pixels."""
        from qfa_search.training.estimate import phase_times

        return phase_times(
            self.space,
            self.n_images,
            self.config,
            processes=self.processes,
            is_teacher_run_along=self.is_teacher_run_along,
        )

    def within(self, minutes: float, times: Sequence[PhaseTime]) -> tuple[Planned, list[PhaseTime]]:
        """The training that lasts `minutes`, and its times; a run that goes on stays as it is."""
        from qfa_search.training.lengths import within_minutes
        from qfa_search.training.run import stored_recipe

        if self.resume and self.out is not None:
            return replace(self, config=stored_recipe(self.out) or self.config), list(times)
        config, changed = within_minutes(self.config, times, minutes)
        return replace(self, config=config), changed

    def run(self, on_step: Callable[[Progress], None], *, tensorboard: bool = False) -> Path:
        """Train in this process; returns the supernet's file."""
        from qfa_search.training.run import train as run

        assert self.data is not None
        assert self.out is not None
        return run(
            self.space,
            self.data,
            self.out,
            self.config,
            listed=self.listed,
            resume=self.resume,
            teacher=self.teacher,
            teacher_weights=self.teacher_weights,
            init=self.init,
            tensorboard=tensorboard,
            on_step=on_step,
        )


def _ignore(progress: Progress) -> None:
    """Show nothing."""


def train(
    data: str | Path,
    out: str | Path,
    *,
    space: SearchSpace | str | Path | None = None,
    resolution: int | None = None,
    bits: Sequence[int] | None = None,
    fit_ram_kb: float | None = None,
    fit_flash_kb: float | None = None,
    preset: str | None = None,
    teacher: str | Path | None = None,
    teacher_weights: str | Path | None = None,
    init: str | Path | None = None,
    minutes: float | None = None,
    continue_steps: int | None = None,
    processes: int = 1,
    resume: bool = False,
    tensorboard: bool = False,
    on_step: Callable[[Progress], None] = _ignore,
    **recipe: Setting,
) -> Path:
    """Train a supernet on images; returns its file.

    Args:
        data: "fashion-mnist", "cifar10" or a folder.
        out: Folder for the result, new or with a training to go on with.
        space: What to train; fitted to a folder by default.
        resolution: Largest image side of a fitted space.
        bits: Bit widths of a fitted space.
        fit_ram_kb: Memory for activations that a fitted space is for.
        fit_flash_kb: Memory for weights that a fitted space is for.
        preset: Recipe of the package, or a .toml file; by default that of the images.
        teacher: Teacher or supernet to learn from; none is trained then.
        teacher_weights: Weights of a torchvision classifier, tuned as the teacher.
        init: Supernet to start from, as far as shapes agree.
        minutes: About how long to train.
        continue_steps: Train the finished supernet of `init` for so many more steps.
        processes: That train together, to the same result. More than one start this program anew:
            call this under `if __name__ == "__main__"`, with an `on_step` that can be pickled.
        resume: Go on from the checkpoints in `out`.
        tensorboard: Write TensorBoard's event files too.
        on_step: Called after every step, in the first process.
        recipe: Fields of `TrainConfig` to change, by name: `epochs=3, flip=False`.

    Raises:
        ValueError: An argument is out of range, or two do not go together.
        QFAError: `out` holds a result or an unfinished training, or another command works there.
        DataError: The images do not fit the space or cannot be read.
        CheckpointMismatchError: The checkpoints are damaged or of another training.
        TrainingError: The loss is not a number any more, or a process was killed.
        KeyboardInterrupt: Ctrl-C or SIGTERM, after the step was done and saved.
    """
    from qfa_search.training.launch import run_together
    from qfa_search.training.run import SUPERNET_FILE

    planned = plan(
        str(data),
        Path(out),
        space=space,
        resolution=resolution,
        bits=bits,
        fit_ram_kb=fit_ram_kb,
        fit_flash_kb=fit_flash_kb,
        preset=preset,
        recipe=recipe,
        teacher=None if teacher is None else Path(teacher),
        teacher_weights=None if teacher_weights is None else Path(teacher_weights),
        init=None if init is None else str(init),
        with_minutes=minutes is not None,
        continue_steps=continue_steps,
        processes=processes,
        resume=resume,
    )
    if minutes is not None:
        planned, _ = planned.within(minutes, [] if resume else planned.times())
    if planned.processes == 1:
        return planned.run(on_step, tensorboard=tensorboard)
    run_together(partial(planned.run, on_step, tensorboard=tensorboard), planned.processes)
    return Path(out) / SUPERNET_FILE


def check_use(
    data: str | None,
    *,
    space: SearchSpace | str | Path | None,
    resolution: int | None,
    bits: Sequence[int] | None,
    fit_ram_kb: float | None,
    fit_flash_kb: float | None,
    init: str | None,
    with_minutes: bool,
    continue_steps: int | None,
    teacher: Path | None,
    teacher_weights: Path | None,
    teacher_epochs: Setting | None,
    processes: int | None,
) -> None:
    """Nothing, if the arguments of a training go together.

    Raises:
        ValueError: Two do not; the message names them.
    """
    fits = {
        "resolution": resolution,
        "bits": bits,
        "fit-ram-kb": fit_ram_kb,
        "fit-flash-kb": fit_flash_kb,
    }
    for option, value in fits.items():
        if value is not None and space is not None:
            raise ValueError(f"--{option} goes without --space: that says it")
        if value is not None and (data is None or data in PUBLISHED_SETS):
            raise ValueError(f"--{option} fits a space to a folder: give one as --data")
    if teacher_weights is not None and teacher is not None:
        raise ValueError("--teacher-weights FILE is tuned as the teacher: give no --teacher")
    if teacher_weights is not None and teacher_epochs == 0:
        raise ValueError("--teacher-weights FILE is tuned: give it more than 0 --teacher-epochs")
    if continue_steps is not None and init is None:
        raise ValueError("--continue needs --init DIR: the training that goes on")
    if continue_steps is not None and space is not None:
        raise ValueError("--continue goes without --space: that of --init stays")
    if continue_steps is not None and with_minutes:
        raise ValueError("--continue goes without --minutes: it says how many steps")
    if processes is not None and processes < 1:
        raise ValueError(f"--processes must be at least 1, got {processes}")


def plan(
    data: str | None,
    out: Path | None,
    *,
    space: SearchSpace | str | Path | None,
    resolution: int | None,
    bits: Sequence[int] | None,
    fit_ram_kb: float | None,
    fit_flash_kb: float | None,
    preset: str | None,
    recipe: Mapping[str, Setting],
    teacher: Path | None,
    teacher_weights: Path | None,
    init: str | None,
    with_minutes: bool,
    continue_steps: int | None,
    processes: int | None,
    resume: bool,
    is_dry_run: bool = False,
    n_images: int | None = None,
) -> Planned:
    """What a training will do, everything checked that can be before it starts.

    Args:
        data: Images; none are needed in a dry run.
        out: Folder for the result.
        space: As `train`.
        resolution: As `train`.
        bits: As `train`.
        fit_ram_kb: As `train`.
        fit_flash_kb: As `train`.
        preset: As `train`.
        recipe: Changed fields.
        teacher: As `train`.
        teacher_weights: As `train`.
        init: As `train`.
        with_minutes: Whether the time is given.
        continue_steps: As `train`.
        processes: As `train`; None for one each core or GPU.
        resume: As `train`.
        is_dry_run: Whether nothing will be trained.
        n_images: How many a dry run without `data` counts with.

    Raises:
        ValueError: As `check_use`, or a value is out of range.
        QFAError: As `train`.
    """
    from qfa_search.training.estimate import default_processes
    from qfa_search.training.run import check_out, list_to_train

    check_use(
        data,
        space=space,
        resolution=resolution,
        bits=bits,
        fit_ram_kb=fit_ram_kb,
        fit_flash_kb=fit_flash_kb,
        init=init,
        with_minutes=with_minutes,
        continue_steps=continue_steps,
        teacher=teacher,
        teacher_weights=teacher_weights,
        teacher_epochs=recipe.get("teacher_epochs"),
        processes=processes,
    )
    wanted = Wanted(ram_kb=fit_ram_kb, flash_kb=fit_flash_kb)
    if bits is not None:
        wanted = replace(wanted, bit_choices=tuple(sorted(set(bits))))
    name = preset or _preset_of(data)
    config = load_preset(name, **_changes(recipe, has_teacher=teacher is not None))
    check_resolution(resolution)
    if out is not None and not is_dry_run:
        check_out(out, resume=resume)
    start = None if init is None else resolve_supernet(init)
    listed = None
    if data is not None:
        starts = [path for path in (start and start.weights, teacher) if isinstance(path, Path)]
        listed = list_to_train(
            data, out or Path(), resume=resume, starts=starts, by_content=not is_dry_run
        )
    if continue_steps is not None:
        assert start is not None
        assert listed is not None
        chosen, config, teacher = _to_train_on(start, listed.size("train"), continue_steps, teacher)
    else:
        chosen = _space(space, data, listed, resolution, wanted, out if resume else None)
    is_worker = "WORLD_SIZE" in os.environ  # of torchrun
    n_taken, along = n_images or (IMAGENET_IMAGES if name == "imagenet" else DRY_RUN_IMAGES), False
    if listed is not None:
        data_for(listed, chosen)  # raises if the images do not fit the space
        n_taken, along = listed.size("train"), is_too_large(listed, chosen)
    return Planned(
        space=chosen,
        config=config,
        processes=1 if is_worker else processes or default_processes(chosen, config),
        n_images=n_taken,
        is_teacher_run_along=along,
        listed=listed,
        data=data,
        out=out,
        resume=resume or continue_steps is not None,
        teacher=teacher,
        teacher_weights=teacher_weights,
        init=None if start is None else start.weights,
    )


def _preset_of(data: str | None) -> str:
    """The recipe of a published set, or that of folders."""
    if data is None or data in PUBLISHED_SETS:
        return data or PUBLISHED_SETS[0]
    return "own-images"


def _changes(recipe: Mapping[str, Setting], *, has_teacher: bool) -> dict[str, Setting]:
    """The fields to change, and those that follow from them."""
    # Who counts in epochs wants no least number of steps.
    steps = {name.replace("epochs", "steps"): 0 for name in recipe if name.endswith("epochs")}
    changes = {**steps, **_plain_images(recipe), **recipe}
    if has_teacher or recipe.get("teacher_epochs") == 0:
        changes |= {"teacher_width": 0, "teacher_epochs": 0.0}
    return changes


def _plain_images(recipe: Mapping[str, Setting]) -> dict[str, Setting]:
    """No crops and colours for few epochs: they keep images from being learned by heart."""
    epochs = recipe.get("epochs")
    is_short = isinstance(epochs, int | float) and epochs < FEWEST_SHOWINGS
    return {"crop_share": 1.0, "colour": 0.0} if is_short else {}


def _space(
    given: SearchSpace | str | Path | None,
    data: str | None,
    listed: Listed | None,
    resolution: int | None,
    wanted: Wanted,
    resumed: Path | None,
) -> SearchSpace:
    """The space that was asked for, that of the run to go on with, or one fitted to a folder."""
    from qfa_search.training.run import SPACE_FILE

    if isinstance(given, SearchSpace):
        return given
    if given is not None:
        return load(given)
    if resumed is not None and (resumed / SPACE_FILE).is_file():
        return load(resumed / SPACE_FILE)
    if listed is None or isinstance(listed, PublishedSet):
        return load(data or PUBLISHED_SETS[0])
    return space_for_folder(
        listed, resolution=resolution, largest_side=largest_side(), wanted=wanted
    )


def _to_train_on(
    files: SupernetFiles, n_images: int, n_steps: int, teacher: Path | None
) -> tuple[SearchSpace, TrainConfig, Path]:
    """Space, recipe and teacher of a finished training that goes on."""
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
