"""Pictures of a front, drawn without any screen and the same bytes every time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from predictors.files import atomic_path

if TYPE_CHECKING:
    from qfa_search.front.front import ParetoFront

AXIS_LABELS = {
    "mflops": "MFLOPs (8-bit equivalent MACs, millions)",
    "published_mflops": "published MFLOPs (cost table, millions)",
    "gbitops": "bit operations (1e9)",
    "size_kb": "model size (KB)",
    "activation_kb": "peak activation memory (KB)",
    "latency_ms": "latency (ms)",
    "top1": "top-1 accuracy (%)",
}
UNITS = {
    "mflops": "MFLOPs",
    "published_mflops": "published MFLOPs",
    "gbitops": "Gbitops",
    "size_kb": "KB",
    "activation_kb": "KB activations",
    "latency_ms": "ms",
    "top1": "%",
}
LINE, BAND, ACCENT, INK, GRID = "#1f5fa8", "#b9d3ee", "#d1495b", "#222222", "#e3e6ea"


def front_figure(front: ParetoFront) -> Figure:
    """The front's top1 over its first cost objective.

    Shows the predictor's spread as a band, measured members as dots, the knee, and the limit on
    the drawn cost. Of three objectives, the third is the colour. A front without the objective
    top1 is drawn as one cost over the other.
    """
    costs = [o for o in front.objectives if o != "top1"]
    x_name = costs[0]
    y_name = "top1" if "top1" in front.objectives else costs[1]
    colour = next((o for o in costs[1:] if o != y_name), None)
    x = np.asarray(front.costs[x_name], dtype=float)
    y = front.top1_predicted if y_name == "top1" else np.asarray(front.costs[y_name], dtype=float)

    figure = Figure(figsize=(8, 5), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    if y_name == "top1" and colour is None and np.isfinite(front.top1_spread).all():
        axes.fill_between(
            x,
            y - front.top1_spread,
            y + front.top1_spread,
            color=BAND,
            alpha=0.6,
            linewidth=0,
            label="predictor's spread (one standard deviation)",
        )
    label = "predicted" if y_name == "top1" else "front"
    if colour is None:
        axes.plot(x, y, color=LINE, linewidth=1.4, marker="o", markersize=2.6, label=label)
    else:
        shades = np.asarray(front.costs[colour], dtype=float)
        dots = axes.scatter(x, y, c=shades, s=14, cmap="viridis", label=label)
        figure.colorbar(dots, ax=axes, label=AXIS_LABELS[colour])
    if y_name == "top1" and np.isfinite(front.top1_measured).any():
        axes.plot(
            x,
            front.top1_measured,
            linestyle="none",
            marker="D",
            markersize=5,
            color=INK,
            label="measured on the validation split",
        )
    _mark_knee(front, axes, x, front.top1 if y_name == "top1" else y, x_name, y_name)
    limit = front.limits.max_costs().get(x_name)
    if limit is not None and limit <= 1.25 * x.max():
        axes.axvline(limit, color=INK, linewidth=0.9, linestyle=(0, (4, 3)), label="limit")
    axes.set_xlabel(AXIS_LABELS[x_name])
    axes.set_ylabel(AXIS_LABELS[y_name])
    within = f", {front.limits}" if front.limits.to_dict() else ", no limits"
    axes.set_title(f"{front.space.name}{within}", fontsize=11, loc="left", color=INK)
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.03, y=0.06)
    axes.legend(frameon=False, fontsize=8.5, loc="lower right" if y_name == "top1" else "best")
    return figure


def save_front_figure(front: ParetoFront, path: str | Path) -> None:
    """Write `front_figure` as PNG, whole or not at all, without date or version in it."""
    with atomic_path(path) as temporary:
        front_figure(front).savefig(temporary, format="png", metadata={"Software": None})


def _mark_knee(front, axes, x, y, x_name: str, y_name: str) -> None:  # type: ignore[no-untyped-def]
    knee = front.knee_index()
    axes.plot(
        x[knee],
        y[knee],
        marker="o",
        markersize=9,
        markerfacecolor="none",
        markeredgecolor=ACCENT,
        markeredgewidth=1.8,
        linestyle="none",
        label=f"knee: {y[knee]:.5g} {UNITS[y_name]} at {x[knee]:.4g} {UNITS[x_name]}",
        zorder=5,
    )
