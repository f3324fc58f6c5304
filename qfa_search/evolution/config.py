"""How a search runs, as a checked frozen value."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from qfa_search.front.objectives import Limits, as_number, check_objectives

PUBLISHED_GENERATIONS = 1000
PUBLISHED_CROSSOVER_PROB = 0.007
PUBLISHED_MUTATION_PROB = 0.02
DEFAULT_CROSSOVER_PROB = 0.5
DEFAULT_MUTATION_PROB = 0.006
# Far beyond any search that brings something.
MAX_POPULATION = 100_000
MAX_GENERATIONS = 10_000_000
MAX_SEED = 2**63 - 1  # what a samples file can keep


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
        object.__setattr__(self, "objectives", check_objectives(self.objectives))
        for name, lowest, highest in (
            ("population", 2, MAX_POPULATION),
            ("generations", 0, MAX_GENERATIONS),
            ("seed", 0, MAX_SEED),
        ):
            value = getattr(self, name)
            number = as_number(name, value)
            if not math.isfinite(number) or int(value) != value:
                raise ValueError(f"{name} must be a whole number, got {value}")
            if not lowest <= value <= highest:
                raise ValueError(f"{name} must be from {lowest} to {highest}, got {value!s:.40}")
            object.__setattr__(self, name, int(value))
        for name in ("crossover_prob", "mutation_prob"):
            value = getattr(self, name)
            if not 0 <= as_number(name, value) <= 1:
                raise ValueError(f"{name} must be between 0 and 1, got {value}")

    @classmethod
    def of(cls, settings: Mapping[str, object]) -> SearchConfig:
        """The configuration with `settings`, limits among the others: `{"max_mflops": 20, ...}`.

        Raises:
            TypeError: An unknown setting.
            ValueError: A value is out of range.
        """
        limits = {field.name for field in fields(Limits)}
        own = {field.name for field in fields(cls)} - {"limits"}
        unknown = [name for name in settings if name not in limits | own]
        if unknown:
            raise TypeError(
                f"unknown setting {unknown[0]!r}: choose among "
                f"{', '.join(sorted(limits))}, {', '.join(sorted(own))}"
            )
        given: dict[str, Any] = dict(settings)
        return cls(
            limits=Limits(**{name: value for name, value in given.items() if name in limits}),
            **{name: value for name, value in given.items() if name in own},
        )

    @property
    def cost_objectives(self) -> tuple[str, ...]:
        """The objectives that are costs, in order."""
        return tuple(name for name in self.objectives if name != "top1")

    @property
    def cost_columns(self) -> tuple[str, ...]:
        """Cost columns that objectives or limits need, without repeats."""
        return tuple(dict.fromkeys((*self.cost_objectives, *self.limits.max_costs())))
