"""Pictures of a front, drawn without any screen and the same bytes every time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from predictors.files import atomic_path
from qfa_search.front.objectives import Limits

AXIS_LABELS = {
    "mflops": "MFLOPs (8-bit equivalent MACs, millions)",
    "published_mflops": "published MFLOPs (cost table, millions)",
    "gbitops": "bit operations (1e9)",
    "size_kb": "model size (KB)",
    "activation_kb": "peak activation memory (KB)",
    "flash_kb": "flash of the C file (KB)",
    "ram_kb": "RAM of the C file (KB)",
    "latency_ms": "latency (ms)",
    "minstructions": "instructions of the C file (millions)",
    "top1": "top-1 accuracy (%)",
}
UNITS = {
    "mflops": "MFLOPs",
    "published_mflops": "published MFLOPs",
    "gbitops": "Gbitops",
    "size_kb": "KB",
    "activation_kb": "KB activations",
    "flash_kb": "KB flash",
    "ram_kb": "KB RAM",
    "latency_ms": "ms",
    "minstructions": "M instructions",
    "top1": "%",
}
LINE, BAND, ACCENT, INK, GRID = "#1f5fa8", "#b9d3ee", "#d1495b", "#222222", "#e3e6ea"


def front_figure(
    columns: Mapping[str, NDArray[Any]],
    objectives: tuple[str, ...],
    limits: Limits,
    knee: int,
    title: str,
) -> Figure:
    """A front's top1 over its first cost objective.

    Shows the predictor's spread as a band, measured members as dots, the knee, and the limit on
    the drawn cost. Of three objectives, the third is the colour. A front without the objective
    top1 is drawn as one cost over the other.

    Args:
        columns: `top1`, `top1_predicted`, `top1_spread`, `top1_measured` and every cost, `(n,)`
            each, in the order of the members.
        objectives: What was traded off.
        limits: What no member exceeds.
        knee: Index of the knee.
        title: Text above the picture, taken as it is.
    """
    costs = [o for o in objectives if o != "top1"]
    x_name = costs[0]
    y_name = "top1" if "top1" in objectives else costs[1]
    colour = next((o for o in costs[1:] if o != y_name), None)
    x = np.asarray(columns[x_name], dtype=float)
    y = np.asarray(columns["top1_predicted" if y_name == "top1" else y_name], dtype=float)
    spread, measured = columns["top1_spread"], columns["top1_measured"]

    figure = Figure(figsize=(8, 5), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    if y_name == "top1" and colour is None and np.isfinite(spread).all():
        axes.fill_between(
            x,
            y - spread,
            y + spread,
            color=BAND,
            alpha=0.6,
            linewidth=0,
            label="predictor's spread (one standard deviation)",
        )
    label = "predicted" if y_name == "top1" else "front"
    if colour is None:
        axes.plot(x, y, color=LINE, linewidth=1.4, marker="o", markersize=2.6, label=label)
    else:
        shades = np.asarray(columns[colour], dtype=float)
        dots = axes.scatter(x, y, c=shades, s=14, cmap="viridis", label=label)
        figure.colorbar(dots, ax=axes, label=AXIS_LABELS[colour])
    if y_name == "top1" and np.isfinite(measured).any():
        axes.plot(
            x,
            measured,
            linestyle="none",
            marker="D",
            markersize=5,
            color=INK,
            label="measured on the validation split",
        )
    at = x[knee], float(columns[y_name][knee])
    axes.plot(
        *at,
        marker="o",
        markersize=9,
        markerfacecolor="none",
        markeredgecolor=ACCENT,
        markeredgewidth=1.8,
        linestyle="none",
        label=f"knee: {at[1]:.5g} {UNITS[y_name]} at {at[0]:.4g} {UNITS[x_name]}",
        zorder=5,
    )
    limit = limits.max_costs().get(x_name)
    if limit is not None and limit <= 1.25 * x.max():
        axes.axvline(limit, color=INK, linewidth=0.9, linestyle=(0, (4, 3)), label="limit")
    axes.set_xlabel(AXIS_LABELS[x_name])
    axes.set_ylabel(AXIS_LABELS[y_name])
    axes.set_title(title, fontsize=11, loc="left", color=INK, parse_math=False)
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.03, y=0.06)
    axes.legend(frameon=False, fontsize=8.5, loc="lower right" if y_name == "top1" else "best")
    return figure


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write `figure` as PNG, whole or not at all, without date or version in it."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})
