"""A claim's page of the report, and the page with the results of all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.parts.report import write_report
from predictors.files import write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RESULT = "*Result"


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


def write_section(section: Section, results: Path) -> None:
    """Write a claim's page, its numbers and its plot."""
    import pandas as pd

    name = f"claims_{section.name}"
    parts = [f"# {section.title}", *(part for part in section.parts if part)]
    write_report(results, name, "\n\n".join(parts) + "\n", section.figure)
    rows = pd.DataFrame([asdict(row) for row in section.rows])
    csv = rows.to_csv(index=False, float_format="%.6g", lineterminator="\n")
    write_text(results / f"{name}.csv", csv)


def write_index(names: Sequence[str], results: Path) -> str:
    """Write claims.md, the results of all pages that are there; returns the text."""
    pages = {name: results / f"claims_{name}.md" for name in names}
    missing = [name for name, page in pages.items() if not page.is_file()]
    text = [
        "# The paper's claims, tried",
        "Claims of Bai et al., BatchQuant, NeurIPS 2021, tried on small images and two CPU "
        "cores. What holds here need not hold on ImageNet, and the other way round. Results "
        "are made from the numbers when the benchmark runs. The test split is only reported: "
        "nothing is chosen by it.",
    ]
    if missing:
        text.append(f"Not run yet: {', '.join(missing)}.")
    for name, page in pages.items():
        if name in missing:
            continue
        title, *paragraphs = page.read_text(encoding="utf-8").split("\n\n")
        text.append(f"## [{title.removeprefix('# ')}]({page.name})")
        text += [part for part in paragraphs if part.startswith(RESULT)]
    whole = "\n\n".join(text) + "\n"
    write_text(results / "claims.md", whole)
    return whole
