"""Training as a call with the arguments of the command."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from qfa_search.training.arguments import Asked, Setting
from qfa_search.training.plan import plan
from search_spaces import SearchSpace

if TYPE_CHECKING:
    from qfa_search.training.phase import Progress

logger = logging.getLogger(__name__)


def _ignore(progress: Progress) -> None:
    """Show nothing."""


def train(
    data: str | Path,
    out: str | Path,
    *,
    space: SearchSpace | str | Path | None = None,
    resolution: int | None = None,
    bits: Sequence[int] | None = None,
    w_bits: Sequence[int] | None = None,
    a_bits: Sequence[int] | None = None,
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
        w_bits: Those for weights, where they differ.
        a_bits: Those for activations, where they differ.
        fit_ram_kb: Memory for activations that a fitted space is for.
        fit_flash_kb: Memory for weights that a fitted space is for.
        preset: Recipe of the package, or a .toml file; by default that of the images.
        teacher: Teacher or supernet to learn from; none is trained then.
        teacher_weights: Weights of a classifier of torchvision or timm, tuned as the teacher.
        init: Supernet to start from, as far as shapes agree, or "none".
        minutes: How long to train at most, about.
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

    asked = Asked(
        data=str(data),
        out=Path(out),
        space=space,
        resolution=resolution,
        bits=bits,
        w_bits=w_bits,
        a_bits=a_bits,
        fit_ram_kb=fit_ram_kb,
        fit_flash_kb=fit_flash_kb,
        preset=preset,
        recipe=recipe,
        teacher=None if teacher is None else Path(teacher),
        teacher_weights=None if teacher_weights is None else Path(teacher_weights),
        init=None if init is None else str(init),
        minutes=minutes,
        continue_steps=continue_steps,
        processes=processes,
        resume=resume,
    )
    planned = plan(asked)
    if planned.listed is not None and planned.listed.left_out:
        logger.warning("left out of %s: %s", data, planned.listed.left_out)
    if minutes is not None:
        planned, _ = planned.within(minutes)
    if planned.processes == 1:
        return planned.run(on_step, tensorboard=tensorboard)
    run_together(partial(planned.run, on_step, tensorboard=tensorboard), planned.processes)
    return Path(out) / SUPERNET_FILE
