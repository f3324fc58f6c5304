"""What a search is asked for: limits, objectives and settings, as checked frozen values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields

PUBLISHED_GENERATIONS = 1000
PUBLISHED_CROSSOVER_PROB = 0.007
PUBLISHED_MUTATION_PROB = 0.02

DEFAULT_CROSSOVER_PROB = 0.5
DEFAULT_MUTATION_PROB = 0.006

COST_OBJECTIVES = (
    "mflops",
    "published_mflops",
    "gbitops",
    "size_kb",
    "activation_kb",
    "latency_ms",
)
OBJECTIVES = ("top1", *COST_OBJECTIVES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Hard limits of a search; None leaves a quantity free.

    Attributes:
        max_mflops: 8-bit-equivalent MACs of the real network, millions.
        max_published_mflops: The same by the published cost table, millions.
        max_gbitops: Bit operations, 1e9.
        max_size_kb: Packed weights with scales, norms and biases, kilobytes.
        max_activation_kb: Peak of live activations, kilobytes.
        max_latency_ms: Time by a latency table, milliseconds.
        min_top1: Predicted accuracy, percent.
    """

    max_mflops: float | None = None
    max_published_mflops: float | None = None
    max_gbitops: float | None = None
    max_size_kb: float | None = None
    max_activation_kb: float | None = None
    max_latency_ms: float | None = None
    min_top1: float | None = None

    def __post_init__(self) -> None:
        """Check the values; a ValueError names the first wrong one."""
        for name, value in asdict(self).items():
            if value is None:
                continue
            number = _number(name, value)
            if not math.isfinite(number) or number <= 0:
                raise ValueError(f"{name} must be a finite number above 0, got {value}")
            if name == "min_top1" and number > 100:
                raise ValueError(f"min_top1 is in percent and at most 100, got {value}")
            object.__setattr__(self, name, number)

    def max_costs(self) -> dict[str, float]:
        """Upper limit of each limited cost column."""
        values = {f.name.removeprefix("max_"): getattr(self, f.name) for f in fields(self)}
        return {c: values[c] for c in COST_OBJECTIVES if values[c] is not None}

    def to_dict(self) -> dict[str, float]:
        """The limits that are set, by name."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_dict(cls, data: Mapping[str, float]) -> Limits:
        """The limits that `to_dict` described.

        Raises:
            ValueError: An unknown name or a value out of range.
        """
        unknown = sorted(set(data) - {f.name for f in fields(cls)})
        if unknown:
            raise ValueError(f"unknown limits {unknown}")
        return cls(**data)

    def __str__(self) -> str:
        """The limits that are set, as "max_mflops=20, min_top1=85"."""
        return ", ".join(f"{name}={value:.10g}" for name, value in self.to_dict().items())


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchConfig:
    """Everything that decides the course of a search, next to space and predictor.

    Attributes:
        limits: Hard limits.
        objectives: Two or three of `OBJECTIVES`; top1 is maximized, costs are minimized.
        population: Subnets per generation.
        generations: Generations after the initial population; 0 evaluates only that one.
        seed: Of every random choice; equal seeds give equal fronts.
        crossover_prob: Chance of each differing gene to be exchanged between two parents. The
            published setting is `PUBLISHED_CROSSOVER_PROB`, for parents from anywhere on the
            front; parents here are neighbours on it, of which an even mixture is better from
            the first generation on.
        mutation_prob: Chance of each gene to get another choice. The published setting is
            `PUBLISHED_MUTATION_PROB`, for `PUBLISHED_GENERATIONS`; about one changed gene per
            offspring, the default, gets further in 60 and in 200 generations.
    """

    limits: Limits = field(default_factory=Limits)
    objectives: tuple[str, ...] = ("top1", "mflops")
    population: int = 500
    generations: int = 200
    seed: int = 0
    crossover_prob: float = DEFAULT_CROSSOVER_PROB
    mutation_prob: float = DEFAULT_MUTATION_PROB

    def __post_init__(self) -> None:
        """Check the values; a ValueError names the first wrong one."""
        object.__setattr__(self, "objectives", tuple(self.objectives))
        if not 2 <= len(self.objectives) <= 3 or len(set(self.objectives)) < len(self.objectives):
            raise ValueError(
                f"objectives must be two or three different ones of {', '.join(OBJECTIVES)}, "
                f"got {','.join(map(str, self.objectives))!r}"
            )
        unknown = [name for name in self.objectives if name not in OBJECTIVES]
        if unknown:
            raise ValueError(
                f"unknown objective {unknown[0]!r}: choose among {', '.join(OBJECTIVES)}"
            )
        for name, lowest in (("population", 2), ("generations", 0), ("seed", 0)):
            value = getattr(self, name)
            if _number(name, value) != value or int(value) != value or value < lowest:
                raise ValueError(f"{name} must be a whole number of at least {lowest}, got {value}")
            object.__setattr__(self, name, int(value))
        for name in ("crossover_prob", "mutation_prob"):
            value = getattr(self, name)
            if not 0 <= _number(name, value) <= 1:
                raise ValueError(f"{name} must be between 0 and 1, got {value}")

    @property
    def cost_objectives(self) -> tuple[str, ...]:
        """The objectives that are costs, in order."""
        return tuple(name for name in self.objectives if name != "top1")

    @property
    def cost_columns(self) -> tuple[str, ...]:
        """Cost columns that objectives or limits need, without repeats."""
        return tuple(dict.fromkeys((*self.cost_objectives, *self.limits.max_costs())))


def _number(name: str, value: object) -> float:
    if isinstance(value, bool):
        raise ValueError(f"{name} must be a number, got {value}")
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be a number, got {value!r}") from None
