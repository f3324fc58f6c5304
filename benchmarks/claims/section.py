"""A claim's part of the report: kept when it is done, put together with the others."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.report import save_figure
from predictors.files import write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FOLDER = "sections"
COLUMNS = ("claim", "case", "at", "repeat", "metric", "value")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One number of the report's CSV.

    Attributes:
        case: What was tried, such as "lsq, adamw".
        at: Step, cost, number of images or of samples; the claim's text says which.
        repeat: Seed, draw or split.
        metric: What the value is.
        value: The number.
    """

    case: str
    at: float
    repeat: int
    metric: str
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """What was found about one claim.

    Attributes:
        name: Short name: of the option, the plot and the rows.
        title: Heading.
        parts: Paragraphs and tables in Markdown: question, set-up, table, result.
        rows: Every number.
        figure: The plot.
    """

    name: str
    title: str
    parts: Sequence[str]
    rows: Sequence[Row]
    figure: Figure


def keep_section(section: Section, out: Path, results: Path) -> None:
    """Write the plot to `results` and everything else to `out`, for `write_claims`."""
    save_figure(results, f"claims_{section.name}", section.figure)
    content = {
        "title": section.title,
        "parts": [part for part in section.parts if part],
        "rows": [asdict(row) for row in section.rows],
    }
    write_text(out / FOLDER / f"{section.name}.json", json.dumps(content, indent=1) + "\n")


def write_claims(names: Sequence[str], out: Path, results: Path) -> str:
    """Write claims.md and claims.csv from the sections in `out`; returns the text."""
    import pandas as pd

    found: dict[str, Any] = {}
    for name in names:
        path = out / FOLDER / f"{name}.json"
        if path.is_file():
            found[name] = json.loads(path.read_text(encoding="utf-8"))
    missing = [name for name in names if name not in found]
    text = [
        "# The paper's claims, tried",
        "Claims of Bai et al., BatchQuant, NeurIPS 2021, tried on small images and two CPU "
        "cores. What holds here need not hold on ImageNet, and the other way round. Sentences "
        "after *Result* are made from the numbers when the benchmark runs. The test split is "
        "only reported: nothing is chosen by it.",
    ]
    if missing:
        text.append(f"Not run yet: {', '.join(missing)}.")
    frames = []
    for name, content in found.items():
        text += [f"## {content['title']}", *content["parts"]]
        text.append(f"![{content['title']}](claims_{name}.png)")
        frames.append(pd.DataFrame(content["rows"]).assign(claim=name)[list(COLUMNS)])
    whole = "\n\n".join(text) + "\n"
    write_text(results / "claims.md", whole)
    if frames:
        csv = pd.concat(frames).to_csv(index=False, float_format="%.6g", lineterminator="\n")
        write_text(results / "claims.csv", csv)
    return whole
