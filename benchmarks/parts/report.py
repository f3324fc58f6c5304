"""How benchmarks show their results: tables, the machine they ran on, files beside each other."""

from __future__ import annotations

import os
import platform
import shlex
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from predictors.files import atomic_path, write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PACKAGES = ("numpy", "scipy", "scikit-learn", "torch", "pymoo", "moocore")
COLOURS = ("#1f5fa8", "#d1495b", "#e0a030", "#5b8c5a", "#7a5195", "#8a8f98")
INK, GRID = "#222222", "#e3e6ea"


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table; numbers stand as they were formatted."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def command(module: str, arguments: Sequence[str]) -> str:
    """The command line that starts `module` again."""
    return f"python -m benchmarks.{module} {shlex.join(arguments)}".strip()


def machine() -> str:
    """Processor, cores, threads, load and versions, in one paragraph."""
    cores = os.cpu_count() or 1
    load = os.getloadavg()[0]
    busy = ", **shared with other work: times are too long**" if load > 1.25 * cores else ""
    threads = os.environ.get("OMP_NUM_THREADS", "not set")
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return (
        f"{_processor()}, {cores} cores, OMP_NUM_THREADS {threads}, load average {load:.1f} at the "
        f"end{busy}; {platform.system()}, Python {platform.python_version()}, {versions}."
    )


def write_report(out: Path, name: str, text: str, figure: Figure) -> None:
    """Print `text` and write it as NAME.md, with the plot as NAME.png beside it."""
    print(text)
    write_text(out / f"{name}.md", text.rstrip() + f"\n\n![{name}]({name}.png)\n")
    save_figure(out, name, figure)


def save_figure(out: Path, name: str, figure: Figure) -> None:
    """Write a plot as NAME.png, equal bytes for equal plots."""
    with atomic_path(out / f"{name}.png") as path:
        figure.savefig(path, dpi=130, format="png", metadata={"Software": None})


def new_figure(width: float, height: float) -> Figure:
    """An empty figure that needs no screen."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def tidy(figure: Figure) -> None:
    """Light grid, no box, titles on the left."""
    for axes in figure.axes:
        axes.grid(color=GRID, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_title(axes.get_title(), loc="left", fontsize=10.5, color=INK)
        axes.set_title("")
        axes.tick_params(colors=INK, labelsize=8.5)


def _processor() -> str:
    """The processor's model as the system names it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
