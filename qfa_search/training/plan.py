"""What a training will do, everything checked that can be before it starts."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from predictors.files import read_metadata
from qfa_search.errors import QFAError
from qfa_search.images.folder_space import Wanted, check_resolution, largest_side, space_for_folder
from qfa_search.images.published_set import Listed, PublishedSet
from qfa_search.images.sources import data_for, is_too_large
from qfa_search.images.splits import FolderSplit
from qfa_search.supernet.files import SupernetFiles, resolve_supernet
from qfa_search.training.arguments import (
    NO_START,
    PUBLISHED_SETS,
    Setting,
    check_use,
    preset_of,
    recipe_for,
)
from qfa_search.training.config import TrainConfig
from search_spaces import SearchSpace, load

if TYPE_CHECKING:
    from qfa_search.training.estimate import PhaseTime
    from qfa_search.training.phase import Progress

DRY_RUN_IMAGES, IMAGENET_IMAGES = 55_000, 1_271_167
# The bundled supernet that trainings on folders of colour photos start from: much better subnets
# after few steps, as good ones after many.
PHOTO_START = "cifar10"


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A training that may start.

    Attributes:
        space: What is trained.
        preset: What the recipe is called.
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
    preset: str
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

    @property
    def begun_with(self) -> TrainConfig | None:
        """The recipe of the training in `out` that goes on; None if none was begun there."""
        from qfa_search.training.run import stored_recipe

        if not self.resume or self.out is None or not any(self.out.glob("*.ckpt")):
            return None
        return stored_recipe(self.out)

    def within(self, minutes: float) -> tuple[Planned, list[PhaseTime]]:
        """The training of at most `minutes`, and its times; one that goes on is as it was begun."""
        from qfa_search.training.lengths import within_minutes

        if (stored := self.begun_with) is not None:
            begun = replace(self, config=stored)
            return begun, begun.times()
        config, changed = within_minutes(self.config, self.times(), minutes)
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


def plan(
    data: str | None,
    out: Path | None,
    *,
    space: SearchSpace | str | Path | None,
    resolution: int | None,
    bits: Sequence[int] | None,
    w_bits: Sequence[int] | None,
    a_bits: Sequence[int] | None,
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
        w_bits: As `train`.
        a_bits: As `train`.
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
    from qfa_search.training.pretrained import known_weights
    from qfa_search.training.run import check_out, list_to_train

    check_use(
        data,
        space=space,
        resolution=resolution,
        bits=bits,
        w_bits=w_bits,
        a_bits=a_bits,
        fit_ram_kb=fit_ram_kb,
        fit_flash_kb=fit_flash_kb,
        init=init,
        with_minutes=with_minutes,
        continue_steps=continue_steps,
        teacher=teacher,
        teacher_weights=teacher_weights,
        preset=preset,
        recipe=recipe,
        processes=processes,
    )
    is_worker = "WORLD_SIZE" in os.environ  # of torchrun
    if with_minutes and is_worker:
        raise ValueError(
            "--minutes goes without torchrun, whose processes would each measure another time: "
            "give --epochs, or --set steps=N"
        )
    wanted = Wanted(ram_kb=fit_ram_kb, flash_kb=fit_flash_kb)
    if (widths := w_bits or bits) is not None:
        wanted = replace(wanted, w_bit_choices=tuple(sorted(set(widths))))
    if (widths := a_bits or bits) is not None:
        wanted = replace(wanted, a_bit_choices=tuple(sorted(set(widths))))
    preset = preset or preset_of(data, space)
    config = recipe_for(preset, recipe, has_teacher=teacher is not None)
    if teacher_weights is not None and not config.teacher_width:
        raise ValueError(
            f"--teacher-weights FILE is tuned as the teacher, and the recipe {preset} trains none: "
            "add --set teacher_width=16 --teacher-epochs 8"
        )
    check_resolution(resolution)
    if out is not None and not is_dry_run:
        check_out(out, resume=resume)
    start = None if init in (None, NO_START) else resolve_supernet(init)
    if teacher_weights is not None:
        known_weights(teacher_weights)  # raises if nobody knows their network
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
        preset = f"that of {start.name}"
    else:
        asked = (resolution, bits, w_bits, a_bits, fit_ram_kb, fit_flash_kb)
        goes_on = resume and all(value is None for value in asked)
        chosen = _space(space, data, listed, resolution, wanted, out if goes_on else None)
    if init is None and isinstance(listed, FolderSplit):
        start = _photo_start(chosen, listed.classes)
    n_taken, along = (
        n_images or (IMAGENET_IMAGES if preset == "imagenet" else DRY_RUN_IMAGES),
        False,
    )
    if listed is not None:
        data_for(listed, chosen)  # raises if the images do not fit the space
        n_taken, along = listed.size("train"), is_too_large(listed, chosen)
    return Planned(
        space=chosen,
        preset=preset,
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


def _photo_start(space: SearchSpace, classes: Sequence[str]) -> SupernetFiles | None:
    """The supernet that photos start from, if `space` has its stages.

    Images of its very classes may be those that it was trained on: nobody knows which of them may
    be held out then, and they start from none.
    """
    files = resolve_supernet(PHOTO_START)
    if not files.weights.is_file():
        return None
    ours, theirs = (
        (s.input_channels, [stage.width for stage in s.stages]) for s in (space, files.space())
    )
    known = read_metadata(files.weights, "supernet").get("classes")
    return files if ours == theirs and known != list(classes) else None


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
