"""A Pareto front as a value."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qfa_search.errors import QFAError
from qfa_search.front.objectives import Limits
from search_spaces import SearchSpace, Subnet
from search_spaces.genome import Genomes

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure
from qfa_search.front.dominance import hypervolume, non_dominated_mask

SCHEMA_VERSION = 1
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontMember:
    """One subnet of a front.

    Attributes:
        space: Its space.
        genome: Canonical choice indices, `n_genes` of them.
        top1: Accuracy in percent: measured if it was, else predicted.
        top1_predicted: By the predictor, percent.
        top1_spread: Standard deviation of the predictor, percent points; NaN if it has none.
        top1_measured: On the validation split, percent; NaN if not measured.
        extrapolates: Whether it is far from all that the predictor was fitted to.
        costs: Every cost column.
    """

    space: SearchSpace = field(repr=False)
    genome: tuple[int, ...] = field(repr=False)
    top1: float
    top1_predicted: float
    top1_spread: float
    top1_measured: float
    extrapolates: bool
    costs: dict[str, float]

    @property
    def subnet(self) -> Subnet:
        """The architecture and its bit widths."""
        return self.space.layout.decode(np.array(self.genome, dtype=np.int64))


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
        columns = {name: getattr(self, name) for name in _COLUMNS} | dict(self.costs)
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
        columns = [-self.top1 if o == "top1" else self.costs[o] for o in self.objectives]
        return np.column_stack(columns).astype(np.float64)

    def __len__(self) -> int:
        """Number of members."""
        return len(self.X)

    def __getitem__(self, index: Any) -> Any:
        """The member at `index`, or the front of the members of a slice."""
        if isinstance(index, slice):
            return self.subset(np.arange(len(self))[index])
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
                **{name: getattr(self, name) for name in _COLUMNS},
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
        return np.unique(np.linspace(0, len(self) - 1, min(max(n, 1), len(self))).round()).astype(
            np.int64
        )

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
            QFAError: No member was measured, or none holds min_top1.
        """
        known = np.flatnonzero(~np.isnan(self.top1_measured))
        floor = self.limits.min_top1 or 0.0
        kept = known[self.top1_measured[known] >= floor]
        if not len(kept):
            best = f"the best reached {np.nanmax(self.top1_measured):.2f}" if len(known) else "none"
            raise QFAError(
                f"no measured subnet reaches min_top1={floor:g} ({best}): "
                "lower min_top1 or measure more members"
            )
        return self.subset(kept[non_dominated_mask(self.objective_values[kept])])

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

        worst: dict[str, float] = {"top1": 0.0, **self.limits.max_costs()}
        for name in self.objectives:
            if name not in worst and name in COST_COLUMNS:
                largest = self.space.layout.highest()[None]
                worst[name] = float(cost_arrays(self.space, largest, [name])[name][0])
            elif name not in worst:  # measured latencies: nobody knows which is the slowest
                worst[name] = float(np.max(self.costs[name], initial=0.0))
        return tuple(worst[o] for o in self.objectives)

    def knee_index(self) -> int:
        """Index of the knee: where giving up accuracy stops saving much, and the reverse.

        The member farthest from the line (or plane) through the ends of the front, with every
        objective scaled to 0..1 between them.
        """
        F = self.objective_values
        span = np.ptp(F, axis=0)
        scaled = (F - F.min(axis=0)) / np.where(span > 0, span, 1.0)
        return int(scaled.sum(axis=1).argmin())

    def knee(self) -> FrontMember:
        """The member at the knee, see `knee_index`."""
        member: FrontMember = self[self.knee_index()]
        return member

    def plot(self) -> Figure:
        """A picture of the front: accuracy over the first cost objective, knee marked."""
        from qfa_search.front.picture import front_figure

        columns = {"top1": self.top1, **{n: getattr(self, n) for n in _TOP1_COLUMNS}, **self.costs}
        within = str(self.limits) or "no limits"
        title = f"{self.space.name}, {within}"
        return front_figure(columns, self.objectives, self.limits, self.knee_index(), title)

    def report(self, path: str | Path) -> None:
        """Write a page to look at: one HTML file with the front and its networks, offline.

        Raises:
            QFAError: There is a file at `path` that is no page of qfa-search.
        """
        from qfa_search import write_report  # made above this room, under its public name

        write_report(self, path)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; `from_dict` reads it back. Not-a-number becomes None."""
        rows = [[_or_none(value) for value in row] for row in self.class_top1]
        if not self.class_top1.size:
            rows = []
        return {
            "format": "qfa-search front",
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
            "members": [
                {
                    "genome": self.X[i].tolist(),
                    **{name: _or_none(getattr(self, name)[i]) for name in _COLUMNS},
                    **({"class_top1": rows[i]} if rows else {}),
                    "costs": {name: _or_none(column[i]) for name, column in self.costs.items()},
                }
                for i in range(len(self))
            ],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ParetoFront:
        """The front that `to_dict` described.

        Raises:
            ValueError: Not a front, one of a newer version, or a broken one.
        """
        if data.get("format") != "qfa-search front":
            raise ValueError("not a front written by qfa-search")
        if data.get("schema_version") not in range(1, SCHEMA_VERSION + 1):
            raise ValueError(
                f"schema version {data.get('schema_version')} is unknown, this version of "
                f"qfa-search reads up to {SCHEMA_VERSION}: install a newer one"
            )
        try:
            space = SearchSpace.from_dict(data["space"])
            members = data["members"]
            X = np.array([m["genome"] for m in members], dtype=np.int64)
            return cls(
                space=space,
                X=space.layout.check(X.reshape(len(members), -1)),
                costs={
                    name: _array([m["costs"][name] for m in members])
                    for name in (members[0]["costs"] if members else data["objectives"])
                },
                **{name: _array([m[name] for m in members]) for name in _TOP1_COLUMNS},
                extrapolates=np.array([m.get("extrapolates", False) for m in members], dtype=bool),
                objectives=tuple(data["objectives"]),
                limits=Limits.from_dict(data["limits"]),
                seed=data["seed"],
                supernet=data["supernet"],
                supernet_digest=data["supernet_digest"],
                predictor_scores=data["predictor_scores"],
                settings=dict(data.get("settings", {})),
                hypervolumes=_array(data.get("hypervolumes", [])).astype(np.float64),
                class_names=tuple(data.get("class_names", ())),
                class_top1=np.array(
                    [_array(m["class_top1"]) for m in members if "class_top1" in m],
                    dtype=np.float64,
                ),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"a part is missing or has the wrong form: {error!r}") from error

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
        try:
            data = json.loads(Path(path).read_text(encoding="utf-8"))
            if not isinstance(data, dict):
                raise ValueError("not a front written by qfa-search")
            return cls.from_dict(data)
        except OSError as error:
            raise ValueError(f"cannot read the front {path}: {error.strerror}") from error
        except ValueError as error:
            raise ValueError(f"cannot read the front {path}: {error}") from error

    def _pick(self, indices: NDArray[np.int64]) -> None:
        object.__setattr__(self, "X", self.X[indices])
        object.__setattr__(self, "costs", {n: c[indices] for n, c in self.costs.items()})
        for name in (*_COLUMNS, "class_top1"):
            object.__setattr__(self, name, getattr(self, name)[indices])


_TOP1_COLUMNS = ("top1_predicted", "top1_spread", "top1_measured")


_COLUMNS = (*_TOP1_COLUMNS, "extrapolates")


def _or_none(value: Any) -> float | int | None:
    number: float | int = value.item()
    return None if number != number else number


def _array(values: list[Any]) -> NDArray[Any]:
    """Counts stay integers; None becomes NaN."""
    if values and all(isinstance(v, int) for v in values):
        return np.array(values, dtype=np.int64)
    return np.array([np.nan if v is None else v for v in values], dtype=np.float64)
