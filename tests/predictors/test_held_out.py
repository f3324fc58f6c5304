import numpy as np
import pytest

from predictors import HeldOutReport
from predictors.held_out import (
    Z_90,
    coverage,
    ridge_predictions,
    score,
    split_folds,
    spread_factor,
)


def test_equal_rows_share_a_fold():
    X = np.repeat(np.arange(50)[:, None], 3, axis=0)
    folds = split_folds(X, 5, np.random.default_rng(0)).reshape(50, 3)
    assert (folds == folds[:, :1]).all()


def test_folds_have_nearly_equal_sizes():
    folds = split_folds(np.arange(52)[:, None], 5, np.random.default_rng(0))
    assert sorted(np.bincount(folds).tolist()) == [10, 10, 10, 11, 11]


def test_ridge_predicts_a_linear_function_out_of_fold():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(80, 4))
    top1 = features @ np.array([1.0, 2.0, 3.0, 4.0])
    predicted = ridge_predictions(features, top1, np.arange(80) % 5)
    assert predicted == pytest.approx(top1, abs=0.05)


def test_scores_of_a_known_case_are_those_counted_by_hand():
    top1 = np.array([1.0, 2.0, 3.0, 4.0])
    predicted = np.array([1.0, 2.0, 4.0, 3.0])  # one of six pairs is the wrong way round
    report = score(
        predicted, np.ones(4), top1, top1, np.array([0, 0, 1, 2]), cross_entropy=-predicted
    )
    assert report.kendall_tau == pytest.approx((5 - 1) / 6)
    assert report.spearman == pytest.approx(0.8)
    assert report.rmse == pytest.approx(np.sqrt(0.5))
    assert report.coverage == 100
    assert (report.n_folds, report.n_train, report.n_test) == (3, 2, 4)
    assert report.baseline_kendall_tau == pytest.approx(1)
    assert report.baseline_rmse == 0
    assert report.cross_entropy_kendall_tau == pytest.approx(1)


def test_from_dict_inverts_to_dict():
    top1 = np.arange(6.0)
    report = score(top1, top1, top1, top1, np.arange(6) % 2)
    assert HeldOutReport.from_dict(report.to_dict()) == report


def test_the_factor_brings_nine_of_ten_errors_inside():
    # Of 19 ratios and a new one, 18 are inside.
    assert spread_factor(np.arange(1.0, 20.0)) * Z_90 == pytest.approx(18)
    assert spread_factor(np.array([2.0, 1.0])) * Z_90 == pytest.approx(2)


@pytest.mark.parametrize("factor", [0.1, 1.0, 7.0])
def test_errors_of_any_size_are_covered_once_they_are_scaled(factor):
    ratios = np.abs(np.random.default_rng(0).standard_t(4, 2000)) * factor
    assert coverage(ratios, np.arange(2000) % 5) == pytest.approx(90, abs=2)
