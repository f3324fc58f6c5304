"""A Pareto front as a value."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qfa_search.front import choosing
from qfa_search.front.dominance import hypervolume
from qfa_search.front.member import FrontMember
from qfa_search.front.objectives import (
    Limits,
    constraint_values,
    objective_values,
    worst_corner,
)
from qfa_search.front.plain_front import (
    COLUMNS,
    FORMAT,
    SCHEMA_VERSION,
    TOP1_COLUMNS,
    front_fields,
    plain_members,
    read_fields,
)
from search_spaces import SearchSpace
from search_spaces.arrays import Floats
from search_spaces.genome import Genomes

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ParetoFront(Sequence[FrontMember]):
    """The subnets that a search found: none dominates another, all are inside the limits.

    Members are sorted by the first cost objective, cheapest first. A front is a value: methods
    that change something return a new one.

    Attributes:
        space: Space of the members.
        X: Canonical genomes, `(n, n_genes)`.
        costs: Every cost column, `(n,)` each.
        top1_predicted: Percent, `(n,)`.
        top1_spread: Percent points, `(n,)`; NaN if the predictor has none.
        top1_measured: Percent on the validation split, `(n,)`; NaN where not measured.
        extrapolates: Which members are far from all that the predictor was fitted to, so that
            neither their prediction nor its spread is to be trusted, `(n,)`; none by default.
        objectives: What was traded off.
        limits: What no member exceeds.
        seed: Of the search.
        supernet: Name or file of the supernet, if one was named.
        supernet_digest: SHA-256 of the supernet file, the first 16 hexadecimal digits.
        predictor_scores: What the predictor reports about itself.
        settings: Of the search, such as population and generations, by name.
        hypervolumes: Share of the box between no accuracy at the highest allowed cost and full
            accuracy for free that the front dominated before the first and after each
            generation, `(generations + 1,)`; empty if it is not known.
        class_names: What the classes are called, if it is known.
        class_top1: Measured accuracy of each class, percent, `(n, n_classes)`; NaN where nothing
            was measured, without columns if no member was.
    """

    space: SearchSpace
    X: Genomes
    costs: Mapping[str, NDArray[Any]]
    top1_predicted: Floats
    top1_spread: Floats
    top1_measured: Floats
    extrapolates: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, dtype=bool))
    objectives: tuple[str, ...] = ("top1", "mflops")
    limits: Limits = field(default_factory=Limits)
    seed: int = 0
    supernet: str | None = None
    supernet_digest: str | None = None
    predictor_scores: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    hypervolumes: Floats = field(default_factory=lambda: np.zeros(0))
    class_names: tuple[str, ...] = ()
    class_top1: Floats = field(default_factory=lambda: np.zeros((0, 0)))

    def __post_init__(self) -> None:
        """Sort the members; a ValueError names a column of the wrong length."""
        n = len(self.X)
        if not self.class_top1.size:
            object.__setattr__(self, "class_top1", np.zeros((n, 0)))
        if len(self.class_top1) != n:
            raise ValueError(f"expected class_top1 of {n} rows, got {self.class_top1.shape}")
        if not len(self.extrapolates):
            object.__setattr__(self, "extrapolates", np.zeros(n, dtype=bool))
        columns = {name: getattr(self, name) for name in COLUMNS} | dict(self.costs)
        for name, column in columns.items():
            if np.shape(column) != (n,):
                raise ValueError(f"expected {name} of shape ({n},), got {np.shape(column)}")
        F = self.objective_values
        first_cost = next(i for i, name in enumerate(self.objectives) if name != "top1")
        others = [F[:, i] for i in range(F.shape[1]) if i != first_cost]
        self._pick(np.lexsort((*self.X.T[::-1], *others[::-1], F[:, first_cost])))

    @property
    def top1(self) -> Floats:
        """Measured accuracy where there is one, else predicted, percent, `(n,)`."""
        return np.where(np.isnan(self.top1_measured), self.top1_predicted, self.top1_measured)

    @property
    def objective_values(self) -> Floats:
        """Objectives, all minimized, `(n, n_obj)`; top1 with its sign changed."""
        return objective_values({**self.costs, "top1": self.top1}, self.objectives)

    def __len__(self) -> int:
        """Number of members."""
        return len(self.X)

    @overload
    def __getitem__(self, index: int | np.integer[Any]) -> FrontMember: ...

    @overload
    def __getitem__(
        self, index: slice | NDArray[np.bool_] | NDArray[np.integer[Any]] | Sequence[int]
    ) -> ParetoFront: ...

    def __getitem__(
        self, index: int | np.integer[Any] | slice | NDArray[Any] | Sequence[int]
    ) -> FrontMember | ParetoFront:
        """The member at an index; for a slice, mask or list of indices the front of those.

        Raises:
            IndexError: No such member, a mask of another length, or no index at all.
        """
        if not isinstance(index, int | np.integer):
            # A front has each member once, cheapest first, however they are asked for.
            return self.subset(choosing.indices_of(len(self), index))
        i = range(len(self))[index]
        return FrontMember(
            space=self.space,
            genome=tuple(self.X[i].tolist()),
            top1=float(self.top1[i]),
            top1_predicted=float(self.top1_predicted[i]),
            top1_spread=float(self.top1_spread[i]),
            top1_measured=float(self.top1_measured[i]),
            extrapolates=bool(self.extrapolates[i]),
            costs={name: column[i].item() for name, column in self.costs.items()},
        )

    def __iter__(self) -> Iterator[FrontMember]:
        """The members, cheapest first."""
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        """Size, space, objectives and limits."""
        limits = f" within {self.limits}" if self.limits.to_dict() else ""
        return (
            f"<ParetoFront of {len(self)} subnets of {self.space.name}: "
            f"{' against '.join(self.objectives)}{limits}>"
        )

    def to_frame(self) -> pd.DataFrame:
        """One row per member: top1, its sources, extrapolates, every cost column, genome."""
        import pandas as pd

        return pd.DataFrame(
            {
                "top1": self.top1,
                **{name: getattr(self, name) for name in COLUMNS},
                **self.costs,
                "genome": [tuple(row) for row in self.X.tolist()],
            }
        )

    def subset(self, indices: ArrayLike) -> ParetoFront:
        """The front of some members."""
        front = replace(self)
        front._pick(np.asarray(indices, dtype=np.int64))
        return front

    def evenly_chosen(self, n: int) -> NDArray[np.int64]:
        """Indices of at most `n` members evenly spread over the front, both ends included."""
        return choosing.evenly_spread(len(self), n)

    def overview(self, n: int = 20) -> list[int]:
        """Indices of at most `n` members that show the front: evenly spread, and the knee."""
        return sorted({*self.evenly_chosen(n - 1).tolist(), self.knee_index()})

    def with_measured(
        self,
        top1: ArrayLike,
        *,
        class_top1: ArrayLike | None = None,
        class_names: Sequence[str] = (),
    ) -> ParetoFront:
        """The same members with measured accuracies.

        Args:
            top1: Percent on the validation split, `(n,)` in the order of the members; NaN
                where nothing was measured.
            class_top1: The same of each class, `(n, n_classes)`, if it is known.
            class_names: What the classes are called.
        """
        return replace(
            self,
            top1_measured=np.asarray(top1, dtype=np.float64),
            class_top1=np.asarray([] if class_top1 is None else class_top1, dtype=np.float64),
            class_names=tuple(class_names),
        )

    def measured(self) -> ParetoFront:
        """The measured members that no other measured member dominates, and that hold min_top1.

        Raises:
            InfeasibleBudgetError: No member was measured, or none holds min_top1.
        """
        floor = self.limits.min_top1 or 0.0
        return self.subset(choosing.best_measured(self.top1_measured, self.objective_values, floor))

    def hypervolume(self, ref_point: Sequence[float] | None = None) -> float:
        """Volume that the front dominates; larger is better.

        Args:
            ref_point: The worst value of each objective, in the order and units of
                `objectives`, top1 in percent: (60, 20) is the corner at 60 % and 20 MFLOPs.
                Without it, 0 % top1 and the limit of each cost, or where there is none, the
                cost of the space's largest subnet.
        """
        if ref_point is None:
            ref_point = self.default_ref_point()
        signs = np.where([name == "top1" for name in self.objectives], -1.0, 1.0)
        return hypervolume(self.objective_values, signs * np.asarray(ref_point, dtype=np.float64))

    def default_ref_point(self) -> tuple[float, ...]:
        """The corner that `hypervolume` takes when none is given."""
        from predictors import COST_COLUMNS, cost_arrays

        def largest(names: tuple[str, ...]) -> Mapping[str, NDArray[Any]]:
            known = [name for name in names if name in COST_COLUMNS]
            # Of measured latencies nobody knows which is the slowest: the slowest member's.
            slowest = {n: np.max(self.costs[n], initial=0.0, keepdims=True) for n in names}
            return slowest | cost_arrays(self.space, self.space.layout.highest()[None], known)

        return tuple(worst_corner(self.objectives, self.limits, largest).tolist())

    def within(self, **limits: float | None) -> ParetoFront:
        """The front of the members inside further limits, which may be none.

        Args:
            **limits: Of `Limits`, such as `max_size_kb=100, min_top1=85`; top1 counts as it was
                measured where it was. The tighter of these and those of the search become the
                front's limits.

        Raises:
            ValueError: An unknown limit, a value out of range, or one on a cost that the front
                does not know.
        """
        wanted = Limits.from_dict(
            {name: value for name, value in limits.items() if value is not None}
        )
        unknown = [name for name in wanted.max_costs() if name not in self.costs]
        if unknown:
            raise ValueError(f"max_{unknown[0]}: the front does not know {unknown[0]}")
        values = {**self.costs, "top1": self.top1}
        inside = np.flatnonzero((constraint_values(values, wanted) <= 0).all(axis=1))
        return replace(self.subset(inside), limits=self.limits.tightened(wanted))

    def best_index(self) -> int:
        """Index of the member with the highest top1; of equal ones the cheapest.

        Raises:
            ValueError: The front is empty.
        """
        self._check_not_empty()
        return int(self.top1.argmax())

    def best(self) -> FrontMember:
        """The member with the highest top1, see `best_index`."""
        return self[self.best_index()]

    def knee_index(self) -> int:
        """Index of the knee: where giving up accuracy stops saving much, and the reverse.

        The member farthest from the line (or plane) through the ends of the front, with every
        objective scaled to 0..1 between them.

        Raises:
            ValueError: The front is empty.
        """
        self._check_not_empty()
        return choosing.knee(self.objective_values)

    def knee(self) -> FrontMember:
        """The member at the knee, see `knee_index`."""
        return self[self.knee_index()]

    def plot(self) -> Figure:
        """A picture of the front: accuracy over the first cost objective, knee marked."""
        from qfa_search.front.picture import front_figure

        columns = {"top1": self.top1, **{n: getattr(self, n) for n in TOP1_COLUMNS}, **self.costs}
        within = str(self.limits) or "no limits"
        title = f"{self.space.name}, {within}"
        return front_figure(columns, self.objectives, self.limits, self.knee_index(), title)

    def _repr_html_(self) -> str:
        """Picture and table for a notebook."""
        from html import escape

        if not len(self):
            return f"<p>{escape(repr(self))}</p>"
        from qfa_search.front.notebook import notebook_html

        rows = self.overview()
        frame = self.to_frame().drop(columns="genome").iloc[rows]
        if not self.extrapolates[rows].any():
            frame = frame.drop(columns="extrapolates")
        return notebook_html(repr(self).strip("<>"), self.plot(), frame)

    def report(self, path: str | Path) -> None:
        """Write a page to look at: one HTML file with the front and its networks, offline.

        Raises:
            QFAError: There is a file at `path` that is no page of qfa-search.
        """
        from qfa_search import write_report  # made above this room, under its public name

        write_report(self, path)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; `from_dict` reads it back. Not-a-number becomes None."""
        columns = {name: getattr(self, name) for name in COLUMNS}
        return {
            "format": FORMAT,
            "schema_version": SCHEMA_VERSION,
            "space": self.space.to_dict(),
            "supernet": self.supernet,
            "supernet_digest": self.supernet_digest,
            "objectives": list(self.objectives),
            "limits": self.limits.to_dict(),
            "seed": self.seed,
            "predictor_scores": dict(self.predictor_scores),
            "settings": dict(self.settings),
            "hypervolumes": self.hypervolumes.tolist(),
            "class_names": list(self.class_names),
            "members": plain_members(self.X, columns, self.costs, self.class_top1),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ParetoFront:
        """The front that `to_dict` described.

        Raises:
            ValueError: Not a front, one of a newer version, or a broken one.
        """
        return cls(**front_fields(data))

    def save(self, path: str | Path) -> None:
        """Write `front.json`, whole or not at all; equal fronts give equal files."""
        from predictors.files import write_text

        write_text(path, json.dumps(self.to_dict(), indent=1, allow_nan=False) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> ParetoFront:
        """The front that `save` wrote.

        Raises:
            ValueError: No such file, or not a front.
        """
        return cls(**read_fields(path))

    def _check_not_empty(self) -> None:
        if not len(self):
            raise ValueError("the front has no members")

    def _pick(self, indices: NDArray[np.int64]) -> None:
        object.__setattr__(self, "X", self.X[indices])
        object.__setattr__(self, "costs", {n: c[indices] for n, c in self.costs.items()})
        for name in (*COLUMNS, "class_top1"):
            object.__setattr__(self, name, getattr(self, name)[indices])
