import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import kendalltau

import search_spaces
from predictors import AccuracyPredictor, cost_arrays
from predictors.accuracy import _top1
from predictors.files import load_tensors, save_tensors

N = 60


def _samples(space, n=N, seed=0):
    """Genomes, and a top-1 that rises with cost and depends on single genes a little."""
    rng = np.random.default_rng(seed)
    X = space.layout.sample(rng, n)
    cost = np.log(cost_arrays(space, X, ["mflops"])["mflops"])
    gain = np.random.default_rng(1).normal(0, 0.2, space.layout.n_genes)
    return X, 80 + 4 * (cost - cost.mean()) + X @ gain


@pytest.fixture(scope="module")
def samples(toy_space):
    return _samples(toy_space)


@pytest.fixture(scope="module")
def predictor(toy_space, samples):
    return AccuracyPredictor.fit(toy_space, *samples, seed=3)


@pytest.fixture(scope="module")
def by_entropy(toy_space, samples):
    X, top1 = samples
    noise = np.random.default_rng(2).normal(0, 0.5, N)
    return AccuracyPredictor.fit(toy_space, X, top1 + noise, cross_entropy=np.exp(-top1 / 40))


def test_unseen_subnets_are_ranked(predictor, toy_space):
    X, top1 = _samples(toy_space, 200, seed=7)
    assert kendalltau(predictor.predict(X), top1).statistic > 0.8


def test_the_report_does_not_promise_more_than_unseen_subnets_show(predictor, toy_space):
    X, top1 = _samples(toy_space, 200, seed=7)
    report = predictor.report
    tau = kendalltau(predictor.predict(X), top1).statistic
    # Its models saw four fifths of few samples, and are worse than the final ones.
    assert tau - 0.3 < report.kendall_tau < tau + 0.05
    assert (report.n_folds, report.n_test) == (5, N)
    assert report.n_train == pytest.approx(0.8 * N, abs=2)
    assert report.cross_entropy_kendall_tau is None


def test_fitting_repeats_with_the_seed(predictor, toy_space, samples):
    again = AccuracyPredictor.fit(toy_space, *samples, seed=3)
    assert np.array_equal(again.predict(samples[0]), predictor.predict(samples[0]))
    assert again.report == predictor.report


def test_silent_genes_do_not_change_a_prediction(predictor, toy_space):
    layout = toy_space.layout
    X = np.random.default_rng(0).integers(layout.n_choices, size=(50, layout.n_genes))
    assert np.array_equal(predictor.predict(X), predictor.predict(layout.canonicalize(X)))


def test_nine_of_ten_unseen_subnets_are_within_the_interval(predictor, by_entropy, toy_space):
    X, top1 = _samples(toy_space, 300, seed=7)
    predicted, spread = predictor.predict_with_spread(X)
    assert np.array_equal(predicted, predictor.predict(X))
    assert np.mean(np.abs(predicted - top1) <= 1.645 * spread) == pytest.approx(0.9, abs=0.08)
    assert predictor.report.coverage == pytest.approx(90, abs=8)
    noisy = top1 + np.random.default_rng(4).normal(0, 0.5, len(top1))
    predicted, spread = by_entropy.predict_with_spread(X)
    assert np.mean(np.abs(predicted - noisy) <= 1.645 * spread) == pytest.approx(0.9, abs=0.12)


def test_only_what_is_far_from_the_samples_is_called_an_extrapolation(toy_space):
    X, top1 = _samples(toy_space, 300)
    small = (toy_space.layout.values(X)[:, toy_space.layout.groups["depth"]] == 1).all(axis=1)
    predictor = AccuracyPredictor.fit(toy_space, X[small], top1[small])
    assert not predictor.extrapolates(X[small]).any()
    fresh = toy_space.layout.sample(np.random.default_rng(5), 300)
    deep = (toy_space.layout.values(fresh)[:, toy_space.layout.groups["depth"]] == 2).all(axis=1)
    assert predictor.extrapolates(fresh[deep]).mean() > 0.8


def test_a_loaded_predictor_predicts_the_same(predictor, samples, tmp_path):
    path = tmp_path / "predictor.safetensors"
    predictor.save(path)
    loaded = AccuracyPredictor.load(path)
    assert loaded.space == predictor.space
    assert loaded.report == predictor.report
    assert loaded.process.reach == predictor.process.reach
    for a, b in zip(
        loaded.predict_with_spread(samples[0]),
        predictor.predict_with_spread(samples[0]),
        strict=True,
    ):
        assert np.array_equal(a, b)


def test_a_file_has_the_points_as_genomes_and_an_earlier_one_as_they_are(
    predictor, samples, toy_space, tmp_path
):
    new, old = tmp_path / "new.safetensors", tmp_path / "old.safetensors"
    predictor.save(new)
    tensors, metadata = load_tensors(new, "predictor")
    assert tensors["process.genomes"].shape == (len(samples[0]), toy_space.layout.n_genes)
    assert "process.points" not in tensors
    replace(predictor, points=predictor.points[:0]).save(old)
    for path in (old, new):
        loaded = AccuracyPredictor.load(path)
        assert np.array_equal(loaded.process.points, predictor.process.points)
        loaded.save(tmp_path / f"again-{path.name}")
        assert (tmp_path / f"again-{path.name}").read_bytes() == path.read_bytes()
    tensors["process.genomes"][0, 0] = 99
    save_tensors(tmp_path / "bad.safetensors", "predictor", tensors, metadata)
    with pytest.raises(ValueError, match="not a complete predictor file"):
        AccuracyPredictor.load(tmp_path / "bad.safetensors")


def test_held_out_predictions_are_those_that_the_report_scores(predictor, samples, tmp_path):
    predicted, measured = predictor.held_out.T
    assert measured == pytest.approx(samples[1])
    assert np.sqrt(np.mean((predicted - measured) ** 2)) == pytest.approx(predictor.report.rmse)
    assert kendalltau(predicted, measured).statistic == pytest.approx(predictor.report.kendall_tau)
    predictor.save(tmp_path / "p.safetensors")
    loaded = AccuracyPredictor.load(tmp_path / "p.safetensors")
    assert np.array_equal(loaded.held_out, predictor.held_out)


def test_an_earlier_file_has_no_held_out_predictions(predictor, tmp_path):
    replace(predictor, held_out=np.zeros((0, 2))).save(tmp_path / "p.safetensors")
    tensors, metadata = load_tensors(tmp_path / "p.safetensors", "predictor")
    del tensors["held_out"]
    save_tensors(tmp_path / "p.safetensors", "predictor", tensors, metadata)
    assert AccuracyPredictor.load(tmp_path / "p.safetensors").held_out.shape == (0, 2)


def test_loading_and_predicting_needs_numpy_only(predictor, tmp_path):
    path = tmp_path / "predictor.safetensors"
    predictor.save(path)
    code = (
        "import sys, predictors\n"
        f"p = predictors.AccuracyPredictor.load({json.dumps(str(path))})\n"
        "p.predict(p.space.layout.lowest()[None])\n"
        "print([m for m in ('torch', 'sklearn', 'scipy', 'pandas') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "[]", result.stderr


def test_cross_entropy_ranks_better_than_noisy_top1(by_entropy, toy_space):
    X, top1 = _samples(toy_space, 200, seed=7)
    assert kendalltau(by_entropy.predict(X), top1).statistic > 0.8
    report = by_entropy.report
    assert report.cross_entropy_kendall_tau > report.kendall_tau


def test_subnets_without_errors_are_ranked_all_the_same():
    told = _top1(np.linspace(0, 5, 50), (1.0, 98.0))
    assert (np.diff(told) > 0).all()
    assert told.max() <= 100
    assert np.allclose(told[:18], np.linspace(0, 5, 50)[:18] + 98)


def test_predictions_from_cross_entropy_are_percentages(by_entropy, toy_space):
    X, top1 = _samples(toy_space, 200, seed=7)
    predicted = by_entropy.predict(X)
    assert np.abs(predicted - top1).mean() < 1.5


def test_no_genomes_give_no_predictions(predictor, toy_space):
    empty = np.empty((0, toy_space.layout.n_genes), dtype=np.int64)
    assert predictor.predict(empty).shape == (0,)


def test_imagenet_subnets_are_ranked_better_than_by_published_baselines(imagenet_samples):
    space, X, rows = imagenet_samples
    top1 = rows["top1"]
    order = np.random.default_rng(1).permutation(len(top1))
    train, test = order[:100], order[100:]
    found = AccuracyPredictor.fit(space, X[train], top1[train], seed=1)
    assert kendalltau(found.predict(X[test]), top1[test]).statistic > 0.925
    assert found.report.kendall_tau > found.report.baseline_kendall_tau


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X, y: (X[:9], y[:9]), "at least 10 measured subnets, got 9: sample more"),
        (lambda X, y: (X, y[:-1]), r"expected top1 of shape \(60,\), got \(59,\)"),
        (lambda X, y: (X, np.where(np.arange(N) == 4, np.nan, y)), "got nan in row 4: leave out"),
        (lambda X, y: (X, y + 30), "percentages from 0 to 100"),
        (lambda X, y: (X, np.full(N, 70.0)), "all 60 subnets have top1 70.0"),
        (lambda X, y: (np.repeat(X[:5], 12, axis=0), y), "at least 10 different subnets"),
        (lambda X, y: (X[:, :-1], y), "expected genomes of shape"),
    ],
)
def test_bad_samples_are_refused(toy_space, samples, change, message):
    with pytest.raises(ValueError, match=message):
        AccuracyPredictor.fit(toy_space, *change(*samples))


@pytest.mark.parametrize(
    ("entropy", "message"),
    [
        (np.ones(3), "expected cross_entropy of shape"),
        (np.linspace(0, 1, N), "above 0"),
        (np.full(N, 0.5), "not the same for all"),
        (np.full(N, np.inf), "must be finite"),
    ],
)
def test_bad_cross_entropies_are_refused(toy_space, samples, entropy, message):
    with pytest.raises(ValueError, match=message):
        AccuracyPredictor.fit(toy_space, *samples, cross_entropy=entropy)


def test_genomes_of_another_space_are_refused(predictor):
    foreign = search_spaces.load("fashion-mnist").layout.lowest()[None]
    with pytest.raises(ValueError, match="expected genomes of shape"):
        predictor.predict(foreign)


def test_a_file_that_is_no_predictor_is_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    with pytest.raises(ValueError, match="there is no such file"):
        AccuracyPredictor.load(path)
    save_tensors(path, "supernet", {"a": np.zeros(1)}, {})
    with pytest.raises(ValueError, match="holds a supernet, expected a predictor"):
        AccuracyPredictor.load(path)
    save_tensors(path, "predictor", {"a": np.zeros(1)}, {})
    with pytest.raises(ValueError, match="not a complete predictor file"):
        AccuracyPredictor.load(path)
