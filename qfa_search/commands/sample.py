"""`qfa-search sample`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from qfa_search.measuring.samples import Sample


def sample(
    data: Annotated[str, typer.Option(metavar="NAME|DIR", help="What it was trained on.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="SQLite file, new or to add to.")],
    supernet: Annotated[
        str | None, typer.Option(metavar="NAME|FILE", help="Supernet; the bundled one by default.")
    ] = None,
    n: Annotated[int, typer.Option("--n", help="Subnets to draw.")] = 1000,
    seed: Annotated[int, typer.Option(help="Of the draw.")] = 0,
    jobs: Annotated[int, typer.Option(help="Processes.")] = 1,
    backend: Annotated[str, typer.Option(help="loky (local processes), dask or ray.")] = "loky",
    scheduler: Annotated[
        str | None, typer.Option(metavar="ADDR", help="Address of the Dask scheduler.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Measure random subnets on the validation split, for the predictor.

    Every result is stored at once. The same command again measures only what is missing.
    """
    import numpy as np
    from rich.console import Console
    from rich.progress import Progress

    from qfa_search.measuring.drawing import draw_stratified
    from qfa_search.measuring.parallel import parallel_backend
    from qfa_search.measuring.samples import SampleStore
    from qfa_search.measuring.sampling import sample as run
    from qfa_search.measuring.subnets import measure_config
    from qfa_search.supernet.files import resolve_supernet

    files = resolve_supernet(supernet)
    space = files.space()
    X = draw_stratified(space, n, np.random.default_rng(seed))
    store = SampleStore(out, space)
    progress = Progress(console=Console(stderr=True), disable=quiet)
    try:
        with progress, parallel_backend(backend, scheduler):
            task = progress.add_task("sampling", total=None)

            def show(found: Sample) -> None:
                progress.update(task, advance=1)

            measured = run(
                measure_config(files.weights, data),
                store,
                X,
                supernet_digest=files.digest(),
                seed=seed,
                jobs=jobs,
                on_start=lambda missing: progress.update(task, total=missing),
                on_sample=show,
            )
    except KeyboardInterrupt:
        typer.echo(f"interrupted; {out} keeps every subnet measured so far", err=True)
        raise typer.Exit(130) from None
    typer.echo(f"{measured} subnets measured, {len(X) - measured} were there: {out}")
