"""How the choices of a front change from its cheapest member to its dearest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qfa_search.report.architecture import BLOCK_LAYERS
from search_spaces.arrays import Floats

if TYPE_CHECKING:
    from qfa_search.front.front import ParetoFront
    from search_spaces.genome import GenomeLayout

MAX_PARTS = 24


def along(front: ParetoFront, n_parts: int = MAX_PARTS) -> dict[str, Any]:
    """Means of bits, kernel sizes, expand ratios and depths over parts of the front.

    The members, cheapest first, are divided into parts of nearly equal numbers.

    Args:
        front: At least one member.
        n_parts: At most so many parts.

    Returns:
        `cost`, the name of the objective they are ordered by; `starts` and `ends`, the cheapest
        and the dearest of each part; and `measures`, each with a title, the least and the
        greatest value found, and rows of a name and a mean per part, None where no member
        of the part has the block.
    """
    cost = next(name for name in front.objectives if name != "top1")
    column = np.asarray(front.costs[cost], dtype=np.float64)
    parts = np.array_split(np.arange(len(front)), min(n_parts, len(front)))
    return {
        "cost": cost,
        "starts": [float(column[part[0]]) for part in parts],
        "ends": [float(column[part[-1]]) for part in parts],
        "measures": [
            _measure(title, names, columns, parts)
            for title, names, columns in _columns(front.space.layout, front.X)
        ],
    }


def _columns(layout: GenomeLayout, X: NDArray[np.int64]) -> list[tuple[str, list[str], Floats]]:
    """Titles, row names and values `(n, n_rows)`, NaN where a gene has no effect."""
    values = np.where(layout.silent(X), np.nan, layout.values(X).astype(np.float64))
    blocks = [
        f"block {s + 1}.{j + 1}"
        for s, j in zip(layout.block_stage, layout.block_position, strict=True)
    ]
    found = []
    if "block_bits" in layout.groups:
        layers = [f"first block {name}" for name in BLOCK_LAYERS]
        layers += [f"{block} {name}" for block in blocks for name in BLOCK_LAYERS]
        layers += ["final expand", "feature mix"]
        bits = values[:, layout.groups["first_block_bits"].start :]
        for title, columns in (("weight bits", bits[:, ::2]), ("activation bits", bits[:, 1::2])):
            found.append((title, layers[1:], columns[:, 1:]))  # the first block expands nothing
    found.append(("kernel size", blocks, values[:, layout.groups["kernel_size"]]))
    found.append(("expand ratio", blocks, values[:, layout.groups["expand_ratio"]]))
    stages = [f"stage {s + 1}" for s in range(int(layout.block_stage.max()) + 1)]
    found.append(("depth", stages, values[:, layout.groups["depth"]]))
    found.append(("resolution", ["input"], values[:, layout.groups["resolution"]]))
    return found


def _measure(
    title: str, names: list[str], columns: Floats, parts: list[NDArray[np.int64]]
) -> dict[str, Any]:
    known = np.isfinite(columns)
    total = np.where(known, columns, 0.0)
    sums = np.array([total[part].sum(axis=0) for part in parts])
    counts = np.array([known[part].sum(axis=0) for part in parts])
    means = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan).T
    return {
        "title": title,
        "least": float(columns[known].min()) if known.any() else 0.0,
        "greatest": float(columns[known].max()) if known.any() else 0.0,
        "rows": [
            {"name": name, "means": [None if np.isnan(v) else round(float(v), 3) for v in row]}
            for name, row in zip(names, means, strict=True)
        ],
    }
