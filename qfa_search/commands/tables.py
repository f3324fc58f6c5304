"""Tables on standard output."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from qfa_search.images.names import printable, printable_lines

if TYPE_CHECKING:
    from qfa_search.front.front import ParetoFront

MAX_ROWS = 20
PIPE_WIDTH = 120
COLUMN_GAP = 3  # of the box that tables are drawn with
HEADINGS = {
    "mflops": "MFLOPs",
    "published_mflops": "published\nMFLOPs",
    "gbitops": "Gbitops",
    "size_kb": "size\nKB",
    "activation_kb": "activations\nKB",
    "flash_kb": "flash\nKB",
    "ram_kb": "RAM\nKB",
    "latency_ms": "latency\nms",
    "minstructions": "instructions\nmillions",
}


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows of text, the first column to the left, the others to the right.

    A terminal that is too narrow gets the columns in several tables, each with the first one: no
    digit is lost. Nothing in a cell is taken for markup.
    """
    cells = [[printable(cell) for cell in row] for row in rows]
    widths = [
        max(cell_len(line) for cell in column for line in cell.splitlines() or [""])
        for column in zip(headings, *cells, strict=True)
    ]
    needed = sum(widths) + COLUMN_GAP * len(widths)
    out = console(needed)
    for columns in _folded(widths, out.width):
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for i in columns:
            table.add_column(
                Text(printable_lines(headings[i])), justify="right" if i else "left", no_wrap=True
            )
        for row in cells:
            table.add_row(*(Text(row[i]) for i in columns))
        out.print(table)


def _folded(widths: Sequence[int], room: int) -> list[list[int]]:
    """Columns by table, so that each table has at most `room` characters, if that is possible."""
    tables: list[list[int]] = [[0]]
    for i, width in enumerate(widths[1:], start=1):
        taken = sum(widths[j] + COLUMN_GAP for j in tables[-1])
        if taken + width + 2 > room and len(tables[-1]) > 1:
            tables.append([0])
        tables[-1].append(i)
    return tables


def console(needed: int = 0) -> Console:
    """Standard output; wide enough for what is `needed` when it is no terminal."""
    return Console(
        file=sys.stdout,
        width=None if sys.stdout.isatty() else max(PIPE_WIDTH, needed),
        markup=False,
        highlight=False,
        emoji=False,
    )


def print_front(front: ParetoFront) -> None:
    """Print up to 20 members evenly spread over the front, the knee among them."""
    knee = front.knee_index()
    shown = front.overview(MAX_ROWS)
    is_measured = np.isfinite(front.top1_measured).any()
    top1 = {
        "top1\nmeasured": front.top1_measured if is_measured else np.full(len(front), np.nan),
        "top1\npredicted": front.top1_predicted,
        "spread": front.top1_spread,
    }
    text = {
        h: ["-" if np.isnan(v) else f"{v:.2f}" for v in column]
        for h, column in top1.items()
        if _is_known(column)
    }
    if front.extrapolates.any():
        text["extra-\npolated"] = ["yes" if far else "" for far in front.extrapolates]
    for name, heading in HEADINGS.items():
        column = front.costs.get(name)
        is_asked = name in front.objectives or name in front.limits.max_costs()
        if column is not None and _is_known(column) and (is_asked or name != "gbitops"):
            text[heading] = [number(value) for value in column]
    rows = [
        [f"{i} knee" if i == knee else str(i), *(column[i] for column in text.values())]
        for i in shown
    ]
    print_table(["index", *text], rows)
    limits = f" within {front.limits}" if front.limits.to_dict() else ""
    console().print(
        f"{len(front)} subnets of {printable(front.space.name)}{limits}; hypervolume "
        f"{front.hypervolume():.6g} up to {_corner(front)}",
        soft_wrap=True,
    )
    console().print(origin_of_top1(front), soft_wrap=True)


def origin_of_top1(front: ParetoFront) -> str:
    """Which numbers are measured, which predicted, and how good the predictor is, as a line."""
    n_measured = int(np.isfinite(front.top1_measured).sum())
    scores = front.predictor_scores
    told = "top1 predicted"
    if n_measured:
        which = "of all" if n_measured == len(front) else f"of {n_measured} of {len(front)}"
        told = f"top1 measured on the validation split {which} subnets, predicted for comparison"
        if n_measured < len(front):
            told = f"top1 measured on the validation split {which} subnets, predicted of the others"
    if "kendall_tau" not in scores:
        return f"{told}; the predictor gives no scores on unseen subnets"
    unseen = f"{scores['n_test']} unseen subnets" if "n_test" in scores else "unseen subnets"
    rmse = f", RMSE {scores['rmse']:.2f} points" if "rmse" in scores else ""
    return f"{told}; predictor on {unseen}: Kendall tau {scores['kendall_tau']:.2f}{rmse}"


def number(value: float) -> str:
    """A cost with about five digits, a count with all of them; a dash for what is not known."""
    if np.isnan(value):
        return "-"
    if isinstance(value, int | np.integer):
        return f"{value:,}"
    digits = 0 if value == 0 else int(np.floor(np.log10(abs(value))))
    return f"{value:,.{min(max(4 - digits, 0), 6)}f}"


def _is_known(column: NDArray[Any]) -> bool:
    return bool(np.isfinite(np.asarray(column, dtype=float)).any())


def _corner(front: ParetoFront) -> str:
    corner = zip(front.objectives, front.default_ref_point(), strict=True)
    return ", ".join(f"{name} {value:.6g}" for name, value in corner)
