"""What a front that was read from a file must hold, so that its numbers can be believed.

Each check raises a ValueError that names the first wrong member.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from predictors import COST_COLUMNS, cost_arrays
from qfa_search.front.objectives import COST_OBJECTIVES, Limits, constraint_values
from search_spaces import SearchSpace
from search_spaces.arrays import Floats
from search_spaces.genome import Genomes

# Costs are sums of a few hundred numbers, and computed alike everywhere to this share of them.
TOLERANCE = 1e-9


def check_members(fields: Mapping[str, Any]) -> None:
    """Nothing, if the members are what the fields of their front say of them."""
    space, X, costs = fields["space"], fields["X"], fields["costs"]
    if not len(X):
        return
    predicted, measured = fields["top1_predicted"], fields["top1_measured"]
    _check_genomes(space, X)
    _check_costs(space, X, costs)
    for name in ("top1_predicted", "top1_measured"):
        _check_percentages(name, fields[name])
    unknown = np.isnan(predicted) & np.isnan(measured)
    if unknown.any() and not unknown.all():  # published architectures come without any accuracy
        raise ValueError(f"member {unknown.argmax()} has neither top1_predicted nor top1_measured")
    spread = fields["top1_spread"]
    _refuse(~(np.isnan(spread) | (spread >= 0)), spread, "top1_spread", "at least 0")
    for column in fields["class_top1"].T:
        _check_percentages("class_top1", column)
    # A prediction held min_top1 during the search, whatever was measured afterwards.
    _check_limits({**costs, "top1": np.fmax(predicted, measured)}, fields["limits"])


def _check_genomes(space: SearchSpace, X: Genomes) -> None:
    """Nothing, if the genomes `(n, n_genes)` are canonical and each is there once."""
    different = (space.layout.canonicalize(X) != X).any(axis=1)
    if different.any():
        raise ValueError(
            f"the genome of member {different.argmax()} has genes of blocks that it does not have"
        )
    _, first = np.unique(X, axis=0, return_index=True)
    if len(first) < len(X):
        twice = np.setdiff1d(np.arange(len(X)), first)[0]
        raise ValueError(f"the genome of member {twice} is there twice")


def _check_costs(space: SearchSpace, X: Genomes, costs: Mapping[str, NDArray[Any]]) -> None:
    """Nothing, if every cost, `(n,)` each, is that of its genome; latencies must be numbers."""
    unknown = sorted(set(costs) - {*COST_COLUMNS, *COST_OBJECTIVES})
    if unknown:
        raise ValueError(f"unknown costs {', '.join(map(str, unknown))}")
    true = cost_arrays(space, X, [name for name in costs if name in COST_COLUMNS])
    for name, column in costs.items():
        found = np.asarray(column, dtype=np.float64)
        if name not in true:  # by a table of whoever searched
            _refuse(~(np.isfinite(found) & (found >= 0)), found, name, "a number of at least 0")
            continue
        want = np.asarray(true[name], dtype=np.float64)
        wrong = ~np.isclose(found, want, rtol=TOLERANCE, atol=0, equal_nan=True)
        if wrong.any():
            i = int(wrong.argmax())
            raise ValueError(
                f"member {i} is said to have {name} {found[i]:.9g}, its genome has {want[i]:.9g}: "
                "the file was changed, or written by a version that counts otherwise; search again"
            )


def _check_percentages(name: str, column: Floats) -> None:
    """Nothing, if each value `(n,)` is from 0 to 100, or NaN for unknown."""
    _refuse(~(np.isnan(column) | ((column >= 0) & (column <= 100))), column, name, "a percentage")


def _check_limits(values: Mapping[str, NDArray[Any]], limits: Limits) -> None:
    """Nothing, if no member exceeds a limit; `values` are all costs and top1, `(n,)` each."""
    missing = [name for name in limits.max_costs() if name not in values]
    if missing:
        raise ValueError(f"there is a limit max_{missing[0]}, but no cost {missing[0]}")
    over = (constraint_values(values, limits) > 0).any(axis=1)
    if over.any():
        raise ValueError(f"member {over.argmax()} exceeds the limits {limits}")


def _refuse(wrong: NDArray[np.bool_], values: NDArray[Any], name: str, wanted: str) -> None:
    if wrong.any():
        i = int(wrong.argmax())
        raise ValueError(f"{name} of member {i} must be {wanted}, got {values[i]}")
