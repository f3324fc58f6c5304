"""How well an accuracy predictor ranks subnets that it never saw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search_spaces.arrays import Floats
from search_spaces.plain_data import shown

COVERED = 0.9
Z_90 = 1.645  # standard deviations around the mean of a normal distribution that hold 90 %


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOutReport:
    """Scores of predictions for subnets that their model was not fitted to.

    Every sample is predicted once, by models fitted to the other folds; equal genomes share a
    fold. The predictor that is saved is fitted to all samples, its scores are at least these in
    expectation.

    Attributes:
        n_folds: Parts that the samples were divided into.
        n_train: Samples that each of the models was fitted to, at least.
        n_test: Samples predicted, all folds together.
        kendall_tau: Rank correlation of predicted and measured top-1, at most 1.
        spearman: The other rank correlation.
        rmse: Root mean square error of top-1 in points.
        coverage: Share of the samples whose measured top-1 is within 1.645 spreads of the predicted
            one, percent; the spread is scaled by the other folds. 90 is what it should be.
        baseline_kendall_tau: Kendall tau of ridge regression on one-hot features, same folds.
        baseline_rmse: Its root mean square error in points.
        cross_entropy_kendall_tau: Rank correlation of predicted top-1 and the measured
            cross-entropy with its sign turned, where it was given.
        cross_entropy_spearman: The other rank correlation.
    """

    n_folds: int
    n_train: int
    n_test: int
    kendall_tau: float
    spearman: float
    rmse: float
    coverage: float
    baseline_kendall_tau: float
    baseline_rmse: float
    cross_entropy_kendall_tau: float | None = None
    cross_entropy_spearman: float | None = None

    def to_dict(self) -> dict[str, int | float | None]:
        """Plain data for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> HeldOutReport:
        """The report that `to_dict` described.

        Raises:
            ValueError: Something else.
        """
        if not isinstance(data, Mapping) or not all(
            value is None or type(value) in (int, float) for value in data.values()
        ):
            raise ValueError(f"a report must be a table of numbers, got {shown(data)}")
        return cls(**data)


def split_folds(X: NDArray[np.int64], n_folds: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Fold of every row, `(n,)`, of nearly equal sizes; equal rows share a fold."""
    from sklearn.model_selection import GroupKFold

    _, group = np.unique(X, axis=0, return_inverse=True)
    folds = np.empty(len(X), dtype=np.int64)
    parts = GroupKFold(n_folds, shuffle=True, random_state=int(rng.integers(2**31)))
    for fold, (_, test) in enumerate(parts.split(X, groups=group.reshape(-1))):
        folds[test] = fold
    return folds


def ridge_predictions(features: Floats, top1: Floats, folds: NDArray[np.int64]) -> Floats:
    """Out-of-fold predictions of ridge regression, its penalty chosen by leave-one-out."""
    from sklearn.linear_model import RidgeCV

    predicted = np.empty(len(top1))
    for fold in np.unique(folds):
        test = folds == fold
        model = RidgeCV(alphas=np.logspace(-2, 3, 11))
        predicted[test] = model.fit(features[~test], top1[~test]).predict(features[test])
    return predicted


def spread_factor(ratios: Floats) -> float:
    """What deviations must be multiplied with so that 90 % of errors are within 1.645 of them.

    The conformal quantile of out-of-fold errors: a new one, if it is as likely as these to be of
    any rank among them, is within with a chance of at least 90 %.

    Args:
        ratios: Absolute out-of-fold errors over their deviations, `(n,)`.

    References:
        Lei et al., Distribution-free predictive inference for regression, JASA 113, 2018,
        section 5.2 (locally weighted).
    """
    rank = min(int(np.ceil(COVERED * (len(ratios) + 1))), len(ratios))
    return float(np.sort(ratios)[rank - 1]) / Z_90 or 1.0


def coverage(ratios: Floats, folds: NDArray[np.int64]) -> float:
    """Percentage of errors within 1.645 deviations that the other folds have scaled."""
    inside = np.empty(len(ratios), dtype=bool)
    for fold in np.unique(folds):
        test = folds == fold
        inside[test] = ratios[test] <= Z_90 * spread_factor(ratios[~test])
    return float(inside.mean() * 100)


def score(
    predicted: Floats,
    ratios: Floats,
    top1: Floats,
    baseline: Floats,
    folds: NDArray[np.int64],
    cross_entropy: Floats | None = None,
) -> HeldOutReport:
    """The report on out-of-fold predictions, all arrays `(n,)`; `ratios` as `spread_factor`'s."""
    from sklearn.metrics import root_mean_squared_error

    tau, spearman = _rank_correlations(predicted, top1)
    sizes = np.bincount(folds)
    by_entropy: dict[str, float] = {}
    if cross_entropy is not None:
        by_entropy = dict(
            zip(
                ("cross_entropy_kendall_tau", "cross_entropy_spearman"),
                _rank_correlations(predicted, -cross_entropy),
                strict=True,
            )
        )
    return HeldOutReport(
        n_folds=len(sizes),
        n_train=int(len(top1) - sizes.max()),
        n_test=len(top1),
        kendall_tau=tau,
        spearman=spearman,
        rmse=float(root_mean_squared_error(top1, predicted)),
        coverage=coverage(ratios, folds),
        baseline_kendall_tau=_rank_correlations(baseline, top1)[0],
        baseline_rmse=float(root_mean_squared_error(top1, baseline)),
        **by_entropy,
    )


def _rank_correlations(a: Floats, b: Floats) -> tuple[float, float]:
    from scipy.stats import kendalltau, spearmanr

    return float(kendalltau(a, b).statistic), float(spearmanr(a, b).statistic)
