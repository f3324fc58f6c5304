import sqlite3
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest

import search_spaces
from predictors import cost_arrays, costs
from qfa_search.errors import CheckpointMismatchError
from qfa_search.measuring.drawing import draw_stratified
from qfa_search.measuring.samples import Sample, Setting, read_samples
from qfa_search.measuring.store import SampleStore
from qfa_search.supernet.files import resolve_supernet

SETTING = Setting(supernet="abc", split="val", recalibration="16x64")


def _sample(genome, top1=50.0):
    return Sample(genome=genome, top1=top1, cross_entropy=1.5, n_images=10, seconds=0.1, seed=3)


def _genomes(space, n, seed=0):
    return np.unique(space.layout.sample(np.random.default_rng(seed), n), axis=0)


def test_samples_read_back_with_their_costs(tmp_path, toy_space):
    X = _genomes(toy_space, 8)
    SampleStore(tmp_path / "s.sqlite", toy_space).add(
        SETTING, [_sample(x, top1=i) for i, x in enumerate(X)]
    )
    found = read_samples(tmp_path / "s.sqlite")
    assert (found.space, found.setting) == (toy_space, SETTING)
    np.testing.assert_array_equal(found.X, X)
    np.testing.assert_array_equal(found.frame["top1"], np.arange(len(X)))
    np.testing.assert_allclose(found.frame["mflops"], costs(toy_space, X)["mflops"])


def test_adding_a_genome_again_keeps_the_first_measurement(tmp_path, toy_space):
    store = SampleStore(tmp_path / "s.sqlite", toy_space)
    genome = toy_space.layout.lowest()
    store.add(SETTING, [_sample(genome, 50)])
    store.add(SETTING, [_sample(genome, 60)])
    assert read_samples(store.path).frame["top1"].tolist() == [50]


def test_genomes_of_equal_networks_are_one_sample(tmp_path, toy_space):
    store = SampleStore(tmp_path / "s.sqlite", toy_space)
    genome = toy_space.layout.lowest()
    silent = np.flatnonzero(toy_space.layout.silent(genome[None])[0])
    twin = genome.copy()
    twin[silent[0]] = 1
    store.add(SETTING, [_sample(genome), _sample(twin)])
    assert len(read_samples(store.path).X) == 1


def test_missing_leaves_out_what_is_there_and_repeats(tmp_path, toy_space):
    store = SampleStore(tmp_path / "s.sqlite", toy_space)
    X = _genomes(toy_space, 6)
    store.add(SETTING, [_sample(x) for x in X[:2]])
    found = store.missing(SETTING, np.concatenate([X, X]))
    np.testing.assert_array_equal(found, X[2:])
    other = Setting(supernet="xyz", split="val", recalibration="16x64")
    assert len(store.missing(other, X)) == len(X)


def _write(task):
    path, space, X = task
    store = SampleStore(path, space)
    for x in X:
        store.add(SETTING, [_sample(x)])


def test_many_writers_lose_and_double_nothing(tmp_path, toy_space):
    X = _genomes(toy_space, 60)
    parts = [X[i::3] for i in range(3)] + [X[:20]]
    with ProcessPoolExecutor(4) as pool:
        list(pool.map(_write, [(tmp_path / "s.sqlite", toy_space, part) for part in parts]))
    np.testing.assert_array_equal(read_samples(tmp_path / "s.sqlite").X, X)


def test_samples_of_another_space_are_refused(tmp_path, toy_space):
    SampleStore(tmp_path / "s.sqlite", toy_space)
    with pytest.raises(CheckpointMismatchError, match=r"toy.*fashion-mnist"):
        SampleStore(tmp_path / "s.sqlite", search_spaces.load("fashion-mnist"))


@pytest.mark.parametrize("damage", ["missing", "foreign", "truncated", "other database"])
def test_an_unreadable_samples_file_is_refused_by_name(tmp_path, toy_space, damage):
    path = tmp_path / "s.sqlite"
    SampleStore(path, toy_space).add(SETTING, [_sample(x) for x in _genomes(toy_space, 50)])
    if damage == "missing":
        path.unlink()
    elif damage == "foreign":
        path.write_text("not a database, but long enough to be looked at" * 10)
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:5000])
    else:
        path.unlink()
        sqlite3.connect(path).execute("CREATE TABLE x (y)")
    with pytest.raises(ValueError, match=r"s\.sqlite"):
        read_samples(path)


def test_an_empty_samples_file_says_what_to_do(tmp_path, toy_space):
    SampleStore(tmp_path / "s.sqlite", toy_space)
    with pytest.raises(ValueError, match="run qfa-search sample"):
        read_samples(tmp_path / "s.sqlite")


def test_drawn_subnets_cover_the_whole_range_of_cost(toy_space):
    space = search_spaces.load("fashion-mnist")
    X = draw_stratified(space, 200, np.random.default_rng(0))
    assert len(np.unique(X, axis=0)) == 200
    cost = np.log(costs(space, X)["mflops"].to_numpy())
    extremes = np.stack([space.layout.lowest(), space.layout.highest()])
    low, high = np.log(costs(space, extremes)["mflops"])
    counts, _ = np.histogram(cost, np.linspace(low, high, 6))
    assert counts.min() >= 20
    assert (cost.min(), cost.max()) == (low, high)


def test_the_same_seed_draws_the_same_subnets(toy_space):
    first, second = (draw_stratified(toy_space, 30, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_more_subnets_than_the_space_has_are_refused(toy_space):
    with pytest.raises(ValueError, match="at least 2"):
        draw_stratified(toy_space, 1, np.random.default_rng(0))


def test_a_file_from_before_a_cost_was_known_is_read_with_it():
    bundled = resolve_supernet("fashion-mnist")
    samples = read_samples(bundled.samples, supernet=bundled.digest())
    expected = cost_arrays(samples.space, samples.X[:5])
    assert set(expected) <= set(samples.frame)
    for name, column in expected.items():
        assert np.array_equal(samples.frame[name][:5], column, equal_nan=True), name
