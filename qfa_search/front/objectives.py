"""What is traded off and what is limited: objectives and constraints as arrays."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from search_spaces.arrays import Floats

COST_OBJECTIVES = (
    "mflops",
    "published_mflops",
    "gbitops",
    "size_kb",
    "activation_kb",
    "flash_kb",
    "ram_kb",
    "latency_ms",
    "minstructions",
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
        max_flash_kb: Flash of the C file, kilobytes.
        max_ram_kb: RAM of the C file, kilobytes.
        max_latency_ms: Time by a latency table, milliseconds.
        max_minstructions: Instructions by such a table, millions.
        min_top1: Predicted accuracy, percent.
    """

    max_mflops: float | None = None
    max_published_mflops: float | None = None
    max_gbitops: float | None = None
    max_size_kb: float | None = None
    max_activation_kb: float | None = None
    max_flash_kb: float | None = None
    max_ram_kb: float | None = None
    max_latency_ms: float | None = None
    max_minstructions: float | None = None
    min_top1: float | None = None

    def __post_init__(self) -> None:
        """Check the values; a ValueError names the first wrong one."""
        for name, value in asdict(self).items():
            if value is None:
                continue
            number = as_number(name, value)
            if not math.isfinite(number) or number <= 0:
                raise ValueError(f"{name} must be a finite number above 0, got {value}")
            if name == "min_top1" and number > 100:
                raise ValueError(f"min_top1 is in percent and at most 100, got {value}")
            object.__setattr__(self, name, number)

    def max_costs(self) -> dict[str, float]:
        """Upper limit of each limited cost column."""
        values = {f.name.removeprefix("max_"): getattr(self, f.name) for f in fields(self)}
        return {c: values[c] for c in COST_OBJECTIVES if values[c] is not None}

    def tightened(self, other: Limits) -> Limits:
        """The tighter of both limits on everything."""
        mine, others = asdict(self), asdict(other)
        tighter: dict[str, float | None] = {}
        for name, value in mine.items():
            known = [v for v in (value, others[name]) if v is not None]
            tight = max if name == "min_top1" else min
            tighter[name] = tight(known) if known else None
        return Limits(**tighter)

    def to_dict(self) -> dict[str, float]:
        """The limits that are set, by name."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_dict(cls, data: Mapping[str, float]) -> Limits:
        """The limits that `to_dict` described.

        Raises:
            ValueError: An unknown name or a value out of range.
        """
        if not isinstance(data, Mapping):
            raise ValueError(f"limits must be a table, got {data!r:.60}")
        unknown = sorted(str(name) for name in set(data) - {f.name for f in fields(cls)})
        if unknown:
            raise ValueError(f"unknown limits {unknown!r:.60}")
        for name, value in data.items():
            if value is not None and not isinstance(value, int | float):
                raise ValueError(f"{name} must be a number, got {value!r:.60}")
        return cls(**data)

    def __str__(self) -> str:
        """The limits that are set, as "max_mflops=20, min_top1=85"."""
        return ", ".join(f"{name}={value:.10g}" for name, value in self.to_dict().items())


def check_objectives(objectives: Sequence[str]) -> tuple[str, ...]:
    """`objectives` as a tuple.

    Raises:
        ValueError: Not two or three different ones of `OBJECTIVES`.
    """
    found = tuple(objectives)
    if not 2 <= len(found) <= 3 or len({*map(str, found)}) < len(found):
        raise ValueError(
            f"objectives must be two or three different ones of {', '.join(OBJECTIVES)}, "
            f"got {','.join(map(str, found))!r:.60}"
        )
    unknown = [name for name in found if name not in OBJECTIVES]
    if unknown:
        raise ValueError(
            f"unknown objective {unknown[0]!r:.60}: choose among {', '.join(OBJECTIVES)}"
        )
    return found


def as_number(name: str, value: object) -> float:
    """`value` as a float; a ValueError names it if it is none."""
    if isinstance(value, bool):
        raise ValueError(f"{name} must be a number, got {value}")
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{name} must be a number, got {value!r:.60}") from None


def objective_values(values: Mapping[str, Floats], objectives: tuple[str, ...]) -> Floats:
    """`F (n, n_obj)`, all minimized: costs as they are, top1 with its sign changed."""
    import numpy as np

    columns = [-values[o] if o == "top1" else values[o] for o in objectives]
    return np.column_stack(columns).astype(np.float64)


def constraint_values(values: Mapping[str, Floats], limits: Limits) -> Floats:
    """`G (n, n_limits)`, met when <= 0, relative to each limit."""
    import numpy as np

    columns = [(values[c] - limit) / limit for c, limit in limits.max_costs().items()]
    if limits.min_top1 is not None:
        columns.append((limits.min_top1 - values["top1"]) / limits.min_top1)
    n = len(next(iter(values.values())))
    return np.column_stack(columns) if columns else np.zeros((n, 0))


def worst_corner(
    objectives: Sequence[str],
    limits: Limits,
    largest_costs: Callable[[tuple[str, ...]], Mapping[str, NDArray[Any]]],
) -> Floats:
    """The worst value of each objective, `(n_obj,)`: 0 % top1, and the highest allowed costs.

    Args:
        objectives: What is traded off.
        limits: The highest cost, where there is one.
        largest_costs: Costs by name, `(1,)` each, of the subnet that costs most, for the others.
    """
    import numpy as np

    worst = {"top1": 0.0, **limits.max_costs()}
    others = tuple(name for name in objectives if name not in worst)
    if others:
        worst |= {name: float(column[0]) for name, column in largest_costs(others).items()}
    return np.array([worst[name] for name in objectives])
