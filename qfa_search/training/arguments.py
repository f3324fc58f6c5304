"""Arguments of a training: whether they go together, and the recipe that they ask for."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from qfa_search.training.config import PRESETS, TrainConfig, preset
from search_spaces import SearchSpace

PUBLISHED_SETS = ("fashion-mnist", "cifar10")
OWN_IMAGES = "own-images"  # the recipe of folders
NO_START = "none"  # in place of a supernet to start from
FEWEST_SHOWINGS = 16  # of an image, from which on varying it pays
Setting = float | bool | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a training is asked to do: the arguments of `train`, which go together.

    Attributes:
        data: Images; a dry run needs none.
        out: Folder for the result.
        space: As `train`; so for those below that are not told.
        resolution: Largest image side of a fitted space.
        bits: Bit widths of a fitted space.
        w_bits: Those for weights.
        a_bits: Those for activations.
        fit_ram_kb: Memory for activations that a fitted space is for.
        fit_flash_kb: Memory for weights that a fitted space is for.
        preset: Name or file of a recipe.
        recipe: Its changed fields.
        teacher: File to learn from.
        teacher_weights: Weights that are tuned as the teacher.
        init: What to start from.
        minutes: How long to train at most.
        continue_steps: Steps of a finished training that goes on.
        processes: That train together; None for one each core or GPU.
        resume: Whether to go on from checkpoints.
        is_dry_run: Whether nothing will be trained.
        n_images: How many a dry run without `data` counts with.

    Raises:
        ValueError: Two do not go together; the message names them.
    """

    data: str | None = None
    out: Path | None = None
    space: SearchSpace | str | Path | None = None
    resolution: int | None = None
    bits: Sequence[int] | None = None
    w_bits: Sequence[int] | None = None
    a_bits: Sequence[int] | None = None
    fit_ram_kb: float | None = None
    fit_flash_kb: float | None = None
    preset: str | None = None
    recipe: Mapping[str, Setting] = field(default_factory=dict)
    teacher: Path | None = None
    teacher_weights: Path | None = None
    init: str | None = None
    minutes: float | None = None
    continue_steps: int | None = None
    processes: int | None = None
    resume: bool = False
    is_dry_run: bool = False
    n_images: int | None = None

    @property
    def of_fitted_space(self) -> dict[str, object]:
        """What is said of a space that is fitted to a folder, by the names of options."""
        return {
            "resolution": self.resolution,
            "bits": self.bits,
            "w-bits": self.w_bits,
            "a-bits": self.a_bits,
            "fit-ram-kb": self.fit_ram_kb,
            "fit-flash-kb": self.fit_flash_kb,
        }

    def __post_init__(self) -> None:
        """Check that the arguments go together."""
        for option, value in self.of_fitted_space.items():
            if value is not None and self.space is not None:
                raise ValueError(f"--{option} goes without --space: that says it")
            if value is not None and (self.data is None or self.data in PUBLISHED_SETS):
                raise ValueError(f"--{option} fits a space to a folder: give one as --data")
        if self.teacher_weights is not None and self.teacher is not None:
            raise ValueError("--teacher-weights FILE is tuned as the teacher: give no --teacher")
        if self.teacher_weights is not None and self.recipe.get("teacher_epochs") == 0:
            raise ValueError(
                "--teacher-weights FILE is tuned: give it more than 0 --teacher-epochs"
            )
        names = ("teacher_epochs", "teacher_steps", "teacher_width")
        of_teacher = [name for name in names if self.recipe.get(name)]
        if self.teacher is not None and of_teacher:
            raise ValueError(f"--teacher FILE is learned from as it is: give no {of_teacher[0]}")
        if self.recipe.get("teacher_epochs") == 0 and of_teacher:
            raise ValueError(f"teacher_epochs=0 trains no teacher: give no {of_teacher[0]}")
        if self.continue_steps is not None:
            self._check_use_with_continue()
        if self.minutes is not None and "WORLD_SIZE" in os.environ:
            raise ValueError(
                "--minutes goes without torchrun, whose processes would each measure another time: "
                "give --epochs"
            )
        if self.minutes is not None and not (math.isfinite(self.minutes) and self.minutes > 0):
            raise ValueError(f"--minutes must be a positive number, got {self.minutes:g}")
        if (self.processes or 1) > 1 and "WORLD_SIZE" in os.environ:
            raise ValueError("--processes goes without torchrun, which says how many there are")
        if self.processes is not None and self.processes < 1:
            raise ValueError(f"--processes must be at least 1, got {self.processes}")

    def _check_use_with_continue(self) -> None:
        """Nothing, if a training that goes on is asked for nothing that `init` settles."""
        if self.data is None:
            raise ValueError("--continue needs --data: the images of the training that goes on")
        if self.init in (None, NO_START):
            raise ValueError("--continue needs --init DIR: the training that goes on")
        if self.minutes is not None:
            raise ValueError("--continue goes without --minutes: it says how many steps")
        settled = {"preset": self.preset, "teacher-weights": self.teacher_weights}
        for option, value in {"space": self.space, **self.of_fitted_space, **settled}.items():
            if value is not None:
                raise ValueError(f"--continue goes without --{option}: that of --init stays")
        if self.recipe:
            names = ", ".join(self.recipe)
            raise ValueError(f"--continue keeps the recipe of --init: give no other {names}")


def recipe_for(name: str, recipe: Mapping[str, Setting], *, has_teacher: bool) -> TrainConfig:
    """The recipe called `name` with its fields changed to `recipe`.

    In those of the package other fields follow from these; a file of the user's means what it says.
    """
    changes = dict(recipe)
    if name in PRESETS:
        # Who counts in epochs wants no least number of steps, and who says how many no more rounds.
        counted = ("teacher_", "float_", "mixed_", "")
        steps = {f"{phase}steps": 0 for phase in counted if f"{phase}epochs" in recipe}
        rounds = {"rounds": 0} if {"epochs", "steps"} & recipe.keys() else {}
        plain = _plain_images(recipe) if name == OWN_IMAGES else {}
        changes = {**steps, **rounds, **plain, **recipe}
    if has_teacher or recipe.get("teacher_epochs") == 0:
        changes |= {"teacher_width": 0, "teacher_epochs": 0.0}
    return preset(name, **changes)


def preset_of(data: str | None, space: SearchSpace | str | Path | None) -> str:
    """The recipe of a published set, or that of folders; without data that of the space."""
    name = data
    if name is None:
        name = space.name if isinstance(space, SearchSpace) else str(space or PUBLISHED_SETS[0])
    return name if name in PUBLISHED_SETS else OWN_IMAGES


def _plain_images(recipe: Mapping[str, Setting]) -> dict[str, Setting]:
    """No crops and colours for few epochs: they keep images from being learned by heart."""
    epochs = recipe.get("epochs")
    is_short = isinstance(epochs, int | float) and epochs < FEWEST_SHOWINGS
    return {"crop_share": 1.0, "colour": 0.0, "policy": "none"} if is_short else {}
