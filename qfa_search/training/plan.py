"""What a training will do, everything checked that can be before it starts."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
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
    Asked,
    preset_of,
    recipe_for,
)
from qfa_search.training.config import TrainConfig
from search_spaces import SearchSpace, load

if TYPE_CHECKING:
    from torch import nn

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
        """What each phase will take, from some steps on random pixels and some images."""
        from qfa_search.training.estimate import phase_times

        return phase_times(
            self.space,
            self.n_images,
            self.config,
            processes=self.processes,
            is_teacher_run_along=self.is_teacher_run_along,
            teacher=self._given_teacher(),
            decoding=self._seconds_to_decode(),
        )

    def _given_teacher(self) -> nn.Module | None:
        """The network of a file that teaches; None for the recipe's own, or a largest subnet."""
        from qfa_search.training.pretrained import pretrained_network
        from qfa_search.training.teacher import is_dense_teacher, load_teacher

        if self.teacher_weights is not None:
            side = max(self.space.resolutions)
            return pretrained_network(self.teacher_weights, self.space.n_classes, side)
        if self.teacher is not None and is_dense_teacher(self.teacher):
            return load_teacher(self.teacher, self.space).network
        return None

    def _seconds_to_decode(self) -> float:
        """What an image of a folder takes while every process decodes all of them on its own."""
        from joblib import cpu_count

        from qfa_search.images.decoding import seconds_to_decode

        if not isinstance(self.listed, FolderSplit):
            return 0.0
        channels, side = self.space.input_channels, max(self.space.resolutions)
        each = seconds_to_decode(self.listed.root, self.listed.names["train"], channels, side)
        return each * self.processes / int(cpu_count())

    @property
    def begun_with(self) -> TrainConfig | None:
        """The recipe of the training in `out` that goes on; None if none was begun there."""
        from qfa_search.training.run import stored_recipe

        if not self.resume or self.out is None or not any(self.out.glob("*.ckpt")):
            return None
        return stored_recipe(self.out)

    def within(self, minutes: float) -> tuple[Planned, list[PhaseTime]]:
        """The training of at most `minutes`, and its times; one that goes on is as it was begun."""
        from qfa_search.training.lengths import check_same_but_lengths, within_minutes

        if (stored := self.begun_with) is not None:
            check_same_but_lengths(self.config, stored)
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


def plan(asked: Asked) -> Planned:
    """What a training will do, everything checked that can be before it starts.

    Raises:
        ValueError: A value is out of range, or two do not go together.
        QFAError: As `train`.
    """
    from qfa_search.training.estimate import default_processes
    from qfa_search.training.pretrained import known_weights
    from qfa_search.training.run import check_out, list_to_train

    data, out, init, teacher = asked.data, asked.out, asked.init, asked.teacher
    preset = asked.preset or preset_of(data, asked.space)
    config = recipe_for(preset, asked.recipe, has_teacher=teacher is not None)
    if asked.teacher_weights is not None and not config.teacher_width:
        raise ValueError(
            f"--teacher-weights FILE is tuned as the teacher, and the recipe {preset} trains none: "
            "add --set teacher_width=16 --teacher-epochs 8"
        )
    if asked.continue_steps is None:
        _check_processes(asked.processes or 1, config)
    check_resolution(asked.resolution)
    if out is not None and not asked.is_dry_run:
        check_out(out, resume=asked.resume)
    start = None if init in (None, NO_START) else resolve_supernet(init)
    if asked.teacher_weights is not None:
        known_weights(asked.teacher_weights)  # raises if nobody knows their network
    listed = None
    if data is not None:
        starts = [path for path in (start and start.weights, teacher) if isinstance(path, Path)]
        listed = list_to_train(
            data, out or Path(), resume=asked.resume, starts=starts, by_content=not asked.is_dry_run
        )
    if asked.continue_steps is not None:
        assert start is not None
        assert listed is not None
        n_steps = asked.continue_steps
        space, config, teacher = _to_train_on(start, listed.size("train"), n_steps, teacher)
        preset = f"that of {start.name}"
        _check_processes(asked.processes or 1, config)
    else:
        space = _space(asked, listed)
    if init is None and isinstance(listed, FolderSplit):
        start = _photo_start(space, listed.classes)
    n_images = IMAGENET_IMAGES if preset == "imagenet" else DRY_RUN_IMAGES
    n_taken, along = asked.n_images or n_images, False
    if listed is not None:
        data_for(listed, space)  # raises if the images do not fit the space
        n_taken, along = listed.size("train"), is_too_large(listed, space)
    is_worker = "WORLD_SIZE" in os.environ  # of torchrun
    return Planned(
        space=space,
        preset=preset,
        config=config,
        processes=1 if is_worker else asked.processes or default_processes(space, config),
        n_images=n_taken,
        is_teacher_run_along=along,
        listed=listed,
        data=data,
        out=out,
        resume=asked.resume or asked.continue_steps is not None,
        teacher=teacher,
        teacher_weights=asked.teacher_weights,
        init=None if start is None else start.weights,
    )


def _check_processes(n: int, config: TrainConfig) -> None:
    """Nothing, if each of `n` processes has a subnet to train, and where there are GPUs its own."""
    import torch

    most = config.parts * (2 + config.n_random)
    if n > most:
        raise ValueError(f"--processes must be at most {most}, the subnets of a step, got {n}")
    n_gpus = torch.cuda.device_count() if torch.cuda.is_available() else n
    if n > n_gpus:
        raise ValueError(f"--processes must be at most {n_gpus}, one for each GPU, got {n}")


def _space(asked: Asked, listed: Listed | None) -> SearchSpace:
    """The space that was asked for, that of the run to go on with, or one fitted to a folder."""
    from qfa_search.training.run import SPACE_FILE

    if isinstance(asked.space, SearchSpace):
        return asked.space
    if asked.space is not None:
        return load(asked.space)
    is_as_begun = asked.resume and all(v is None for v in asked.of_fitted_space.values())
    if is_as_begun and asked.out is not None and (asked.out / SPACE_FILE).is_file():
        return load(asked.out / SPACE_FILE)
    if listed is None or isinstance(listed, PublishedSet):
        return load(asked.data or PUBLISHED_SETS[0])
    wanted = Wanted(ram_kb=asked.fit_ram_kb, flash_kb=asked.fit_flash_kb)
    if (widths := asked.w_bits or asked.bits) is not None:
        wanted = replace(wanted, w_bit_choices=tuple(sorted(set(widths))))
    if (widths := asked.a_bits or asked.bits) is not None:
        wanted = replace(wanted, a_bit_choices=tuple(sorted(set(widths))))
    return space_for_folder(
        listed, resolution=asked.resolution, largest_side=largest_side(), wanted=wanted
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
