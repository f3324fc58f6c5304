"""Options that several commands have."""

from __future__ import annotations

from typing import Annotated

import typer

SupernetName = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|FILE",
        help="Supernet: cifar10 (the default), fashion-mnist, a file or a folder.",
    ),
]
Data = Annotated[
    str | None,
    typer.Option(metavar="NAME|DIR", help="What it was trained on; known for a named data set."),
]
Jobs = Annotated[
    int, typer.Option(min=1, help="Processes that measure; fewer where memory is short.")
]
Device = Annotated[
    str, typer.Option(help="cpu, cuda, cuda:N, or auto: the GPU where there is one.")
]
Backend = Annotated[str, typer.Option(help="loky (local processes) or dask (a cluster).")]
Scheduler = Annotated[
    str | None, typer.Option(metavar="ADDR", help="Address of the Dask scheduler.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
AsCsv = Annotated[bool, typer.Option("--csv", help="Print CSV.")]
