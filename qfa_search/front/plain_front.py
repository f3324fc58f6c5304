"""A front as plain data: what front.json holds, and how strictly it is read back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qfa_search.front.contradictions import check_members
from qfa_search.front.objectives import Limits, check_objectives
from search_spaces import SearchSpace
from search_spaces.arrays import Floats
from search_spaces.genome import Genomes
from search_spaces.plain_data import finite_number, parse_json, read_text, shown, whole_number

FORMAT, SCHEMA_VERSION = "qfa-search front", 1
TOP1_COLUMNS = ("top1_predicted", "top1_spread", "top1_measured")
COLUMNS = (*TOP1_COLUMNS, "extrapolates")


def plain_members(
    X: Genomes,
    columns: Mapping[str, NDArray[Any]],
    costs: Mapping[str, NDArray[Any]],
    class_top1: Floats,
) -> list[dict[str, Any]]:
    """A dictionary for each member; not-a-number becomes None.

    Args:
        X: Genomes, `(n, n_genes)`.
        columns: Those of `COLUMNS`, `(n,)` each.
        costs: Every cost column, `(n,)` each.
        class_top1: Accuracy of each class, `(n, n_classes)`, without columns if none is known.
    """
    rows = [[_or_none(value) for value in row] for row in class_top1] if class_top1.size else []
    return [
        {
            "genome": X[i].tolist(),
            **{name: _or_none(columns[name][i]) for name in COLUMNS},
            **({"class_top1": rows[i]} if rows else {}),
            "costs": {name: _or_none(column[i]) for name, column in costs.items()},
        }
        for i in range(len(X))
    ]


def read_fields(path: str | Path) -> dict[str, Any]:
    """The fields of the front in a front.json.

    Raises:
        ValueError: No such file, or not a front.
    """
    text = read_text(path, "front")
    try:
        return front_fields(parse_json(text))
    except ValueError as error:
        raise ValueError(f"cannot read the front {path}: {error}") from error


def front_fields(data: object) -> dict[str, Any]:
    """The fields of a front from its plain data.

    Raises:
        ValueError: Not a front, one of a newer version, or a broken one.
    """
    if not isinstance(data, Mapping) or data.get("format") != FORMAT:
        raise ValueError("not a front written by qfa-search")
    version = whole_number("schema_version", data.get("schema_version"))
    if version not in range(1, SCHEMA_VERSION + 1):
        raise ValueError(
            f"schema version {version} is unknown, this version of "
            f"qfa-search reads up to {SCHEMA_VERSION}: install a newer one"
        )
    try:
        fields = _fields(data)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"a part is missing or has the wrong form: {error!r}") from error
    check_members(fields)
    return fields


def _fields(data: Mapping[str, Any]) -> dict[str, Any]:
    space, members = SearchSpace.from_dict(data["space"]), data["members"]
    objectives = check_objectives(data["objectives"])
    genes = [[whole_number("a gene", gene) for gene in m["genome"]] for m in members]
    if any(len(genome) != space.layout.n_genes for genome in genes):
        raise ValueError(f"{space.name} has {space.layout.n_genes} genes, a genome has others")
    names = members[0]["costs"] if members else [o for o in objectives if o != "top1"]
    if any(set(m["costs"]) != set(names) for m in members):
        raise ValueError("the members do not have the same costs")
    missing = [name for name in objectives if name not in (*names, "top1")]
    if missing:
        raise ValueError(f"{missing[0]} is an objective, but no cost of the members")
    n_known = sum("class_top1" in m for m in members)
    if n_known not in (0, len(members)):
        raise ValueError(f"class_top1 is there for {n_known} of {len(members)} members")
    names_of_classes = _names(data.get("class_names", []))
    if len(names_of_classes) not in (0, space.n_classes):
        raise ValueError(
            f"there are {len(names_of_classes)} class_names, {space.n_classes} classes"
        )
    far = [m.get("extrapolates", False) for m in members]
    if not all(isinstance(value, bool) for value in far):
        raise ValueError("extrapolates must be true or false")
    seed, digest, supernet = data["seed"], data["supernet_digest"], data["supernet"]
    if type(seed) is not int or seed < 0:
        raise ValueError(f"seed must be a whole number of at least 0, got {shown(seed)}")
    if not all(text is None or isinstance(text, str) for text in (digest, supernet)):
        raise ValueError("supernet and supernet_digest must be text")
    return {
        "space": space,
        "X": space.layout.check(np.array(genes, np.int64).reshape(-1, space.layout.n_genes)),
        "costs": {name: _array(name, [m["costs"][name] for m in members]) for name in names},
        **{name: _array(name, [m[name] for m in members]) for name in TOP1_COLUMNS},
        "extrapolates": np.array(far, dtype=bool),
        "objectives": objectives,
        "limits": Limits.from_dict(data["limits"]),
        "seed": seed,
        "supernet": supernet,
        "supernet_digest": digest,
        "predictor_scores": _scores(data["predictor_scores"]),
        "settings": _table("settings", data.get("settings", {})),
        "hypervolumes": _array("hypervolumes", data.get("hypervolumes", [])).astype(np.float64),
        "class_names": names_of_classes,
        "class_top1": np.array(
            [_of_classes(space, m["class_top1"]) for m in members if "class_top1" in m],
            dtype=np.float64,
        ),
    }


def _or_none(value: Any) -> float | int | None:
    number: float | int = value.item()
    return None if number != number else number


def _array(name: str, values: Sequence[object]) -> NDArray[Any]:
    """Counts stay integers; None becomes NaN."""
    if values and all(type(v) is int and abs(v) < 2**63 for v in values):
        return np.array(values, dtype=np.int64)
    return np.array(
        [np.nan if v is None else finite_number(name, v) for v in values], dtype=np.float64
    )


def _scores(scores: object) -> dict[str, Any]:
    """What a predictor says about itself; what is printed of it must be numbers."""
    found = _table("predictor_scores", scores)
    for name in ("n_test", "kendall_tau", "rmse"):
        if name in found:
            finite_number(name, found[name])
    return found


def _table(name: str, value: object) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} must be a table, got {shown(value)}")
    return dict(value)


def _of_classes(space: SearchSpace, values: Sequence[object]) -> NDArray[Any]:
    if not isinstance(values, list) or len(values) != space.n_classes:
        raise ValueError(f"class_top1 must be {space.n_classes} numbers, got {shown(values)}")
    return _array("class_top1", values)


def _names(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise ValueError(f"class_names must be a list of names, got {shown(value)}")
    return tuple(value)
