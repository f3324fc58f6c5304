"""`qfa-search import-published`."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer


def import_published(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR",
            help="Clone of apple/ml-batchquant; any of b234_ps.pth, qsamples_8k.json and "
            "pareto_archs.npy.",
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR2", help="Folder for the result.")],
    drop_outliers: Annotated[
        bool,
        typer.Option(
            "--drop-outliers",
            help="Fit the predictor without outliers: four rounds of 5 nearest neighbours in "
            "(cost, top-1).",
        ),
    ] = False,
    seed: Annotated[int, typer.Option(help="Of the predictor.")] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing.")] = False,
) -> None:
    """Read the published checkpoint, samples and architectures; then search with --supernet DIR2.

    No code in any of the files is ever run.
    """
    from qfa_search.published.importing import ImportOptions
    from qfa_search.published.importing import import_published as run

    def say(line: str) -> None:
        if not quiet:
            with suppress(OSError):  # nobody reads it any more: no reason to lose the work
                typer.echo(line)

    run(folder, out, ImportOptions(drop_outliers=drop_outliers, seed=seed), say=say)
    say(f"written: {out}")
