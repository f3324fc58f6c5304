"""The part of `qfa-search` that runs with `--refine`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from qfa_search.commands.progress import search_progress

if TYPE_CHECKING:
    from qfa_search.evolution.config import SearchConfig
    from qfa_search.evolution.refining import RefinedRound
    from qfa_search.front.front import ParetoFront


def run_refinement(
    config: SearchConfig,
    *,
    data: str | None,
    rounds: int,
    folder: Path,
    supernet: str | None,
    predictor: Path | None,
    space: str | None,
    latency_table: Path | None,
    batch: int | None,
    jobs: int,
    device: str,
    backend: str,
    scheduler: str | None,
    resume: bool,
    quiet: bool,
) -> ParetoFront:
    """`refining.refine` with a line per round on standard error."""
    from qfa_search.evolution.refining import DEFAULT_BATCH, refine
    from qfa_search.evolution.target import resolve_target

    resolve_target(supernet=supernet, space=space, predictor=predictor)  # raises if they differ

    def told(done: RefinedRound) -> None:
        if quiet:
            return
        error = f", predicted with an error (RMSE) of {done.rmse:.2f} points"
        typer.echo(
            f"round {done.number} of {done.rounds}: {done.n_measured} subnets measured"
            f"{error if done.n_measured else ''}; measured hypervolume {done.hypervolume:.6g}",
            err=True,
        )

    with search_progress(quiet) as callback:
        return refine(
            config,
            data=data,
            rounds=rounds,
            folder=folder,
            supernet=supernet,
            predictor=predictor,
            latency_table=latency_table,
            batch=DEFAULT_BATCH if batch is None else batch,
            jobs=jobs,
            device=device,
            backend=backend,
            scheduler=scheduler,
            resume=resume,
            on_generation=callback,
            on_round=told,
        )
