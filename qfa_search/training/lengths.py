"""How long a training lasts: within a given time, trained on, and whether more would help."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from qfa_search.training.config import PhaseName, TrainConfig
from qfa_search.training.estimate import PhaseTime

PHASES: tuple[PhaseName, ...] = ("teacher", "float", "mixed", "quantized")
# A second schedule starts from good weights: half the rate moves them without undoing them.
RATE_OF_TRAINING_ON = 0.5
FAR_BELOW_TEACHER = 2.0  # percentage points


def within_minutes(
    config: TrainConfig, times: Sequence[PhaseTime], minutes: float
) -> tuple[TrainConfig, list[PhaseTime]]:
    """The recipe that lasts `minutes`, and its times: every phase shortened or lengthened alike.

    Args:
        config: Recipe.
        times: What its phases would take.
        minutes: What they shall take.

    Raises:
        ValueError: `minutes` is not positive.
    """
    if not minutes > 0:
        raise ValueError(f"--minutes must be a positive number, got {minutes:g}")
    factor = 60 * minutes / sum(time.seconds for time in times)
    changed = replace(
        config,
        teacher_epochs=factor * config.teacher_epochs,
        teacher_steps=round(factor * config.teacher_steps),
        float_epochs=factor * config.float_epochs,
        float_steps=round(factor * config.float_steps),
        mixed_epochs=factor * config.mixed_epochs,
        mixed_steps=round(factor * config.mixed_steps),
        epochs=factor * config.epochs,
        steps=round(factor * config.steps),
    )
    return changed, [replace(time, n_steps=round(factor * time.n_steps)) for time in times]


def trained_on(config: TrainConfig, n_steps: int, n_images: int) -> TrainConfig:
    """The recipe of `n_steps` more quantized steps on `n_images` images, from a finished supernet.

    Raises:
        ValueError: `n_steps` is below 1.
    """
    if n_steps < 1:
        raise ValueError(f"--continue must be at least 1 step, got {n_steps}")
    return replace(
        config,
        teacher_width=0,
        teacher_epochs=0.0,
        float_epochs=0.0,
        mixed_epochs=0.0,
        epochs=n_steps * config.images_per_step / n_images,
        steps=n_steps,
        learning_rate=RATE_OF_TRAINING_ON * config.learning_rate,
    )


def below_teacher(scores: Mapping[str, float]) -> float:
    """Percentage points that the best largest subnet lacks to its teacher; 0 if it is close.

    Args:
        scores: Those of `corner_scores`.
    """
    largest = [top1 for name, top1 in scores.items() if name.startswith("largest")]
    gap = scores.get("teacher", 0.0) - max(largest, default=100.0)
    return gap if gap > FAR_BELOW_TEACHER else 0.0


def steps_of_phases(config: TrainConfig, n_images: int) -> dict[str, int]:
    """Optimizer steps of every phase on `n_images` images, by its name."""
    return {phase: config.n_steps(phase, n_images) for phase in PHASES}
