from dataclasses import replace

import numpy as np
import pytest

from qfa_search.report.agreement import agreement


def test_only_measured_members_are_compared(front, samples):
    found = agreement(front, samples)
    error = (front.top1_predicted - front.top1_measured)[::2]
    assert found["n"] == 6
    assert found["tau"] == pytest.approx(1.0)
    assert found["bias"] == pytest.approx(error.mean())
    assert found["rmse"] == pytest.approx(np.sqrt((error**2).mean()))
    assert found["n_samples"] == 0


def test_members_that_are_samples_are_counted(front, samples):
    X = np.concatenate([samples.X, front.X[:3]])  # the second of them was not measured
    assert agreement(front, replace(samples, X=X))["n_samples"] == 2


def test_a_rank_correlation_needs_three_members(front):
    assert agreement(front[:3])["tau"] is None
    assert agreement(front[:5])["tau"] is not None


def test_nothing_measured_means_no_agreement(front):
    assert agreement(front.with_measured(np.full(12, np.nan))) is None
