"""Tables on standard output."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from qfa_search.images.names import printable, printable_lines

if TYPE_CHECKING:
    from qfa_search.front.front import ParetoFront

MAX_ROWS = 20
PIPE_WIDTH = 120
HEADINGS = {
    "mflops": "MFLOPs",
    "published_mflops": "published\nMFLOPs",
    "gbitops": "Gbitops",
    "size_kb": "size\nKB",
    "activation_kb": "activations\nKB",
    "latency_ms": "latency\nms",
}


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows of text, the first column to the left, the others to the right."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for i, heading in enumerate(headings):
        justify: Literal["left", "right"] = "left" if i == 0 else "right"
        table.add_column(_as_it_is(heading), justify=justify, no_wrap=True)
    for row in rows:
        table.add_row(*map(_as_it_is, row))
    console().print(table)


def _as_it_is(text: str) -> Text:
    """Names of spaces and classes are no markup."""
    return Text(printable_lines(text))


def console() -> Console:
    """Standard output; wide enough for every column when it is no terminal."""
    return Console(file=sys.stdout, width=None if sys.stdout.isatty() else PIPE_WIDTH)


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
        highlight=False,
        markup=False,
    )
    console().print(origin_of_top1(front), soft_wrap=True, highlight=False, markup=False)


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
    """A cost with about five digits; a limit is never rounded up to another side of it."""
    digits = 0 if value == 0 else int(np.floor(np.log10(abs(value))))
    return f"{value:,.{min(max(4 - digits, 0), 6)}f}"


def _is_known(column: NDArray[Any]) -> bool:
    return bool(np.isfinite(np.asarray(column, dtype=float)).any())


def _corner(front: ParetoFront) -> str:
    corner = zip(front.objectives, front.default_ref_point(), strict=True)
    return ", ".join(f"{name} {value:.6g}" for name, value in corner)
