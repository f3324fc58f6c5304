"""`qfa-search fit`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from predictors.held_out import HeldOutReport


def fit(
    samples: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="What sample wrote; the supernet's by default."),
    ] = None,
    supernet: Annotated[
        str | None, typer.Option(metavar="NAME|FILE", help="Supernet that the samples are of.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Predictor to write; the supernet's by default."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of weights and held-out parts.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing.")] = False,
) -> None:
    """Fit the accuracy predictor on measured subnets, and say how well it does on unseen ones."""
    from qfa_search.measuring.calls import fit as run

    predictor = run(samples, supernet=supernet, out=out, seed=seed)
    if as_json:
        typer.echo(json.dumps(predictor.report.to_dict(), indent=1))
    elif not quiet:
        if out is None:
            from qfa_search.supernet.files import resolve_supernet

            out = resolve_supernet(supernet).predictor
        typer.echo(f"{_told(predictor.report)}\nwritten: {out}")


def _told(report: HeldOutReport) -> str:
    """The held-out report in words."""
    lines = [
        f"{report.n_test} subnets, each predicted by a model fitted to {report.n_train} or more "
        f"others ({report.n_folds} folds):",
        f"  measured top-1: Kendall tau {report.kendall_tau:.3f}, Spearman {report.spearman:.3f}, "
        f"RMSE {report.rmse:.2f} points",
        f"  ridge regression on the same folds: Kendall tau {report.baseline_kendall_tau:.3f}, "
        f"RMSE {report.baseline_rmse:.2f} points",
    ]
    if report.cross_entropy_kendall_tau is not None:
        lines.append(
            f"  measured cross-entropy: Kendall tau {report.cross_entropy_kendall_tau:.3f}, "
            f"Spearman {report.cross_entropy_spearman:.3f}"
        )
    lines.append(f"  90 % intervals cover {report.coverage:.0f} % of measured top-1")
    return "\n".join(lines)
