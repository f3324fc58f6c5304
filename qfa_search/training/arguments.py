"""Arguments of a training: whether they go together, and the recipe that they ask for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from qfa_search.training.config import TrainConfig, preset
from search_spaces import SearchSpace

PUBLISHED_SETS = ("fashion-mnist", "cifar10")
NO_START = "none"  # in place of a supernet to start from
FEWEST_SHOWINGS = 16  # of an image, from which on varying it pays
Setting = float | bool | str


def check_use(
    data: str | None,
    *,
    space: SearchSpace | str | Path | None,
    resolution: int | None,
    bits: Sequence[int] | None,
    w_bits: Sequence[int] | None,
    a_bits: Sequence[int] | None,
    fit_ram_kb: float | None,
    fit_flash_kb: float | None,
    init: str | None,
    with_minutes: bool,
    continue_steps: int | None,
    teacher: Path | None,
    teacher_weights: Path | None,
    preset: str | None,
    recipe: Mapping[str, Setting],
    processes: int | None,
) -> None:
    """Nothing, if the arguments of a training go together.

    Raises:
        ValueError: Two do not; the message names them.
    """
    fits = {
        "resolution": resolution,
        "bits": bits,
        "w-bits": w_bits,
        "a-bits": a_bits,
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
    if teacher_weights is not None and recipe.get("teacher_epochs") == 0:
        raise ValueError("--teacher-weights FILE is tuned: give it more than 0 --teacher-epochs")
    if continue_steps is not None and data is None:
        raise ValueError("--continue needs --data: the images of the training that goes on")
    if continue_steps is not None and init in (None, NO_START):
        raise ValueError("--continue needs --init DIR: the training that goes on")
    if continue_steps is not None:
        _check_use_with_continue(
            {"space": space, **fits, "preset": preset, "teacher-weights": teacher_weights},
            recipe,
            with_minutes=with_minutes,
        )
    if processes is not None and processes < 1:
        raise ValueError(f"--processes must be at least 1, got {processes}")


def _check_use_with_continue(
    given: Mapping[str, object], recipe: Mapping[str, Setting], *, with_minutes: bool
) -> None:
    """Nothing, if a training that goes on is asked for nothing that `--init` settles."""
    if with_minutes:
        raise ValueError("--continue goes without --minutes: it says how many steps")
    for option, value in given.items():
        if value is not None:
            raise ValueError(f"--continue goes without --{option}: that of --init stays")
    if recipe:
        names = ", ".join(recipe)
        raise ValueError(f"--continue keeps the recipe of --init: give no other {names}")


def recipe_for(name: str, recipe: Mapping[str, Setting], *, has_teacher: bool) -> TrainConfig:
    """The recipe called `name` with its fields changed to `recipe`, and what follows from that."""
    # Who counts in epochs wants no least number of steps, and who says how many no more rounds.
    counted = ("teacher_", "float_", "mixed_", "")
    steps = {f"{phase}steps": 0 for phase in counted if f"{phase}epochs" in recipe}
    rounds = {"rounds": 0} if {"epochs", "steps"} & recipe.keys() else {}
    changes = {**steps, **rounds, **_plain_images(recipe), **recipe}
    if has_teacher or recipe.get("teacher_epochs") == 0:
        changes |= {"teacher_width": 0, "teacher_epochs": 0.0}
    return preset(name, **changes)


def preset_of(data: str | None, space: SearchSpace | str | Path | None) -> str:
    """The recipe of a published set, or that of folders; without data that of the space."""
    name = data
    if name is None:
        name = space.name if isinstance(space, SearchSpace) else str(space or PUBLISHED_SETS[0])
    return name if name in PUBLISHED_SETS else "own-images"


def _plain_images(recipe: Mapping[str, Setting]) -> dict[str, Setting]:
    """No crops and colours for few epochs: they keep images from being learned by heart."""
    epochs = recipe.get("epochs")
    is_short = isinstance(epochs, int | float) and epochs < FEWEST_SHOWINGS
    return {"crop_share": 1.0, "colour": 0.0, "policy": "none"} if is_short else {}
