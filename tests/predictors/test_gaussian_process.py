import numpy as np
import pytest

from predictors import gaussian_process

GROUPS = [slice(0, 2), slice(2, 5)]


def _data(n, seed=0):
    A = np.random.default_rng(seed).normal(size=(n, 5)).astype(np.float32)
    return A, 3 + A[:, 0] + np.sin(2 * A[:, 1]).astype(float)


def test_a_smooth_function_is_learned_from_few_points():
    process = gaussian_process.fit(*_data(150), GROUPS, rng=np.random.default_rng(0))
    A, y = _data(100, seed=1)
    assert np.sqrt(np.mean((process.predict(A) - y) ** 2)) < 0.1


def test_columns_that_do_not_matter_get_a_long_length():
    process = gaussian_process.fit(*_data(150), GROUPS, rng=np.random.default_rng(0))
    assert process.inverse_lengths[2] < 0.2 * process.inverse_lengths[0]


def test_predictions_equal_the_textbook_formula():
    A, y = _data(30)
    process = gaussian_process.fit(A, y, GROUPS, rng=np.random.default_rng(0))
    x = _data(4, seed=1)[0]
    scaled = x * process.inverse_lengths
    kernel = np.exp(-0.5 * ((scaled[:, None] - process.points) ** 2).sum(axis=2))
    by_hand = kernel @ process.weights + x @ process.linear + process.constant
    assert process.predict(x) == pytest.approx(by_hand, abs=1e-3)


def test_deviations_equal_the_textbook_formula():
    A, y = _data(30)
    process = gaussian_process.fit(A, y, GROUPS, rng=np.random.default_rng(0))
    x = _data(4, seed=1)[0]

    def kernel(a, b):
        scaled = (a * process.inverse_lengths)[:, None] - b * process.inverse_lengths
        rbf = process.amplitude * np.exp(-0.5 * (scaled**2).sum(axis=2))
        return rbf + (a * process.slopes) @ b.T

    known = kernel(A, A) + process.noise * np.eye(len(A))
    across = kernel(x, A)
    posterior = kernel(x, x) - across @ np.linalg.solve(known, across.T)
    by_hand = process.scale * np.sqrt(posterior.diagonal() + process.noise)
    assert process.deviation(x) == pytest.approx(by_hand, rel=1e-2)
    assert process.deviation(x * 100).min() > 10 * process.deviation(A).max()


def test_no_more_points_are_kept_than_allowed(monkeypatch):
    monkeypatch.setattr(gaussian_process, "MAX_POINTS", 40)
    process = gaussian_process.fit(*_data(100), GROUPS, rng=np.random.default_rng(0))
    assert len(process.points) == 40


def test_distances_are_those_to_the_nearest_point():
    process = gaussian_process.fit(*_data(40), GROUPS, rng=np.random.default_rng(0))
    x = _data(6, seed=1)[0]
    scaled = x * process.inverse_lengths
    by_hand = np.sqrt(((scaled[:, None] - process.points) ** 2).sum(axis=2)).min(axis=1)
    assert process.predict_with_distance(x)[1] == pytest.approx(by_hand, abs=1e-3)


def test_one_in_a_hundred_points_is_out_of_reach_of_the_others():
    process = gaussian_process.fit(*_data(400), GROUPS, rng=np.random.default_rng(0))
    apart = np.sqrt(((process.points[:, None] - process.points) ** 2).sum(axis=2))
    np.fill_diagonal(apart, np.inf)
    assert np.mean(apart.min(axis=1) > process.reach) == pytest.approx(0.01, abs=0.003)
