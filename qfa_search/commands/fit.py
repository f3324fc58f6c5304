"""`qfa-search fit`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from predictors.held_out import HeldOutReport


def fit(
    samples: Annotated[Path, typer.Option(metavar="FILE", help="What sample wrote.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Predictor to write.")],
    seed: Annotated[int, typer.Option(help="Of weights and held-out parts.")] = 0,
) -> None:
    """Fit the accuracy predictor on measured subnets, and say how well it does on unseen ones."""
    from predictors import AccuracyPredictor
    from qfa_search.errors import QFAError
    from qfa_search.measuring.samples import read_samples

    if out.exists():
        raise QFAError(f"{out} exists already: choose another --out, or remove it")
    found = read_samples(samples)
    predictor = AccuracyPredictor.fit(
        found.space,
        found.X,
        found.frame["top1"].to_numpy(),
        cross_entropy=found.cross_entropy(),
        seed=seed,
        supernet=found.setting.supernet,
    )
    predictor.save(out)
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
