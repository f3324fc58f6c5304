"""`qfa-search sample`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from qfa_search.commands.options import AsJson, Backend, Data, Device, Jobs, Scheduler, SupernetName
from qfa_search.commands.progress import measuring_progress


def sample(
    supernet: SupernetName = None,
    data: Data = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="SQLite file, new or to add to; the supernet's by default."
        ),
    ] = None,
    n: Annotated[int, typer.Option("--n", help="Subnets to draw.")] = 1000,
    seed: Annotated[int, typer.Option(help="Of the draw.")] = 0,
    jobs: Jobs = 1,
    device: Device = "auto",
    backend: Backend = "loky",
    scheduler: Scheduler = None,
    as_json: AsJson = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Measure random subnets on the validation split, for the predictor.

    Every result is stored at once. The same command again measures only what is missing.
    """
    from qfa_search.measuring.calls import sample as run

    try:
        with measuring_progress("sampling", quiet) as (on_start, on_sample):
            done = run(
                supernet,
                data=data,
                out=out,
                n=n,
                seed=seed,
                jobs=jobs,
                device=device,
                backend=backend,
                scheduler=scheduler,
                on_start=on_start,
                on_sample=on_sample,
            )
    except KeyboardInterrupt:
        kept = "the file" if out is None else out
        typer.echo(f"interrupted; {kept} keeps every subnet measured so far", err=True)
        raise typer.Exit(130) from None
    if as_json:
        typer.echo(json.dumps(asdict(done) | {"path": str(done.path)}, indent=1))
        return
    typer.echo(f"{done.n_measured} subnets measured, {done.n_known} were there: {done.path}")
