"""`qfa-search fit`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def fit(
    samples: Annotated[Path, typer.Option(metavar="FILE", help="What sample wrote.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Predictor to write.")],
    seed: Annotated[int, typer.Option(help="Of weights and held-out parts.")] = 0,
) -> None:
    """Fit the accuracy predictor on measured subnets, and say how well it does on unseen ones."""
    from predictors import AccuracyPredictor
    from qfa_search.errors import QFAError
    from qfa_search.samples import read_samples

    if out.exists():
        raise QFAError(f"{out} exists already: choose another --out, or remove it")
    found = read_samples(samples)
    predictor = AccuracyPredictor.fit(
        found.space,
        found.X,
        found.frame["top1"].to_numpy(),
        cross_entropy=found.cross_entropy(),
        seed=seed,
    )
    predictor.save(out)
    typer.echo(f"{predictor.report}\nwritten: {out}")
