"""`qfa-search report`: a page to look at."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    fronts: Annotated[
        list[Path],
        typer.Argument(metavar="FRONT.json|FOLDER...", help="Fronts, or folders with one."),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The page; report.html beside the front, or here when there are several.",
        ),
    ] = None,
) -> None:
    """Write one HTML file with fronts, their networks and how they were found.

    It works offline and is everything that needs to be sent. Each search writes the page of its
    own front.
    """
    from qfa_search.front.folder import PAGE_NAME
    from qfa_search.report.page import write_page
    from qfa_search.report.sources import front_path, open_fronts

    if out is None:
        out = front_path(fronts[0]).with_name(PAGE_NAME) if len(fronts) == 1 else Path(PAGE_NAME)
    write_page(open_fronts(fronts, out), out)
    typer.echo(f"written: {out}")
