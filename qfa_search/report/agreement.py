"""How well the predictor foretold what was measured on a front."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from qfa_search.front.front import ParetoFront
    from qfa_search.measuring.samples import Samples

LEAST = 3  # measured members that a rank correlation needs to mean anything


def agreement(front: ParetoFront, samples: Samples | None = None) -> dict[str, Any] | None:
    """Predicted against measured top-1 of the measured members.

    Args:
        front: The front.
        samples: What a predictor may have been fitted to.

    Returns:
        `n` members with both, `n_samples` of them among the samples (their prediction is no
        test of the predictor), Kendall's `tau` (None for fewer than three), the `bias` (predicted
        less measured, on average) and the `rmse`, in points. None if nothing was measured.
    """
    both = np.isfinite(front.top1_measured) & np.isfinite(front.top1_predicted)
    if not both.any():
        return None
    predicted, measured = front.top1_predicted[both], front.top1_measured[both]
    tau = None
    if len(measured) >= LEAST:
        from scipy.stats import kendalltau

        tau = float(kendalltau(predicted, measured).statistic)
    known = set() if samples is None else {row.tobytes() for row in samples.X}
    error = predicted - measured
    return {
        "n": len(measured),
        "n_samples": sum(row.tobytes() in known for row in front.X[both]),
        "tau": None if tau is None or np.isnan(tau) else tau,
        "bias": float(error.mean()),
        "rmse": float(np.sqrt(np.mean(error**2))),
    }
