"""How long a training lasts: within a given time, and trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace

from qfa_search.errors import CheckpointMismatchError
from qfa_search.training.config import LARGEST_SEED, LONGEST, PhaseName, TrainConfig
from qfa_search.training.estimate import PhaseTime, duration
from qfa_search.training.recipe import RATE_OF_TRAINING_ON
from search_spaces.plain_data import whole_number

# What a given time shortens or lengthens.
LENGTHS = frozenset(
    {"rounds", "epochs", "steps"}
    | {f"{phase}_{unit}" for phase in ("teacher", "float", "mixed") for unit in ("epochs", "steps")}
)
PHASES: tuple[PhaseName, ...] = ("teacher", "float", "mixed", "quantized")


def within_minutes(
    config: TrainConfig, times: Sequence[PhaseTime], minutes: float
) -> tuple[TrainConfig, list[PhaseTime]]:
    """The recipe that lasts at most `minutes`, and its times.

    It keeps as many further rounds as there is time for beside the other phases; then all are
    shortened or lengthened alike.

    Args:
        config: Recipe.
        times: What its phases would take.
        minutes: What they shall take.

    Raises:
        ValueError: What lasts as long in any training takes that long.
    """
    fixed = sum(time.seconds for time in times if time.is_fixed)
    seconds = 60 * minutes - fixed
    if seconds <= 0:
        raise ValueError(
            f"--minutes {minutes:g} is too little: to read the images and to have the teacher look "
            f"at them takes {duration(fixed)}"
        )
    planned = [time for time in times if time.is_certain and not time.is_fixed]
    rounds = [time for time in times if not time.is_certain]
    while rounds and sum(time.seconds for time in (*planned, *rounds)) > seconds:
        rounds.pop()
    kept = [*planned, *rounds]
    factor = seconds / sum(time.seconds for time in kept)
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
        rounds=len(rounds),
    )
    return changed, [
        time if time.is_fixed else replace(time, n_steps=round(factor * time.n_steps))
        for time in times
        if time.is_fixed or time in kept
    ]


def check_same_but_lengths(asked: TrainConfig, begun: TrainConfig) -> None:
    """Nothing, if a training that was begun with a time given has the recipe that is asked for.

    Raises:
        CheckpointMismatchError: A field differs that the time does not set.
    """
    for name, value in asdict(begun).items():
        if name not in LENGTHS and (other := getattr(asked, name)) != value:
            raise CheckpointMismatchError(
                f"the training was begun with {name} {value}, not {other}: leave that out to go "
                "on, or choose another --out"
            )


def trained_on(config: TrainConfig, n_steps: int, n_images: int) -> TrainConfig:
    """The recipe of `n_steps` more quantized steps on `n_images` images, from a finished supernet.

    Another seed draws other images and subnets than the finished training began with.

    Raises:
        ValueError: `n_steps` is below 1.
    """
    whole_number("--continue", n_steps, least=1, most=LONGEST)
    return replace(
        config,
        teacher_width=0,
        teacher_epochs=0.0,
        float_epochs=0.0,
        mixed_epochs=0.0,
        # `steps` says how many; as epochs a little fewer, which no rounding makes one more.
        epochs=(n_steps - 0.5) * config.images_per_step / n_images,
        steps=n_steps,
        rounds=0,
        learning_rate=RATE_OF_TRAINING_ON * config.learning_rate,
        seed=(config.seed + 1) % LARGEST_SEED,
    )


def steps_of_phases(config: TrainConfig, n_images: int) -> dict[str, int]:
    """Optimizer steps of every phase on `n_images` images, by its name."""
    return {phase: config.n_steps(phase, n_images) for phase in PHASES}
