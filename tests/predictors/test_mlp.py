import numpy as np
import pytest

from predictors import mlp


@pytest.fixture(scope="module")
def data():
    A = np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32)
    return A, 50 + 5 * A[:, 0] + 2 * np.abs(A[:, 1]).astype(float)


@pytest.fixture(scope="module")
def ensemble(data):
    keeps = np.arange(200) % 2 == np.arange(4)[:, None] % 2
    return mlp.fit(*data, keeps, seed=0)


def test_every_member_learns_from_the_samples_it_keeps(ensemble, data):
    A, y = data
    for member, predicted in enumerate(ensemble.predict(A)):
        kept = np.arange(200) % 2 == member % 2
        assert np.sqrt(np.mean((predicted - y)[kept] ** 2)) < 0.2 * y.std()


def test_prediction_equals_the_network_written_out(ensemble, data):
    A = data[0][:5]
    for member, predicted in enumerate(ensemble.predict(A)):
        hidden = A.astype(float)
        for layer, (w, b) in enumerate(zip(ensemble.weights, ensemble.biases, strict=True)):
            hidden = hidden @ w[member] + b[member]
            if layer < 2:
                hidden = hidden / (1 + np.exp(-hidden))
        by_hand = hidden[:, 0] * ensemble.scale + ensemble.constant
        assert predicted == pytest.approx(by_hand, abs=1e-3)


def test_fitting_repeats_with_the_seed_and_differs_without(monkeypatch, data):
    monkeypatch.setattr(mlp, "N_STEPS", 20)
    keeps = np.ones((2, 200), dtype=bool)
    one, same, other = (mlp.fit(*data, keeps, seed=seed).predict(data[0]) for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    assert not np.array_equal(one[0], one[1])


def test_many_samples_are_taken_in_batches(monkeypatch, data):
    monkeypatch.setattr(mlp, "BATCH", 64)
    A, y = data
    predicted = mlp.fit(A, y, np.ones((1, 200), dtype=bool), seed=0).predict(A)[0]
    assert np.sqrt(np.mean((predicted - y) ** 2)) < 0.2 * y.std()
