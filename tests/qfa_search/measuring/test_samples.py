import os
import sqlite3
import zlib
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest

import search_spaces
from predictors import cost_arrays, costs
from qfa_search.errors import CheckpointMismatchError
from qfa_search.measuring.drawing import draw_stratified
from qfa_search.measuring.samples import (
    LARGEST_SEED,
    Sample,
    Setting,
    check_seed,
    read_samples,
    stored_samples,
)
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


def test_a_setting_in_which_nothing_was_measured_has_no_samples(tmp_path, toy_space):
    store = SampleStore(tmp_path / "s.sqlite", toy_space)
    store.add(SETTING, [_sample(toy_space.layout.lowest())])
    other = replace(SETTING, split="test")
    assert stored_samples(store.path, toy_space, other) == []


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


def test_a_file_whose_maker_was_killed_at_once_says_what_to_do(tmp_path, toy_space):
    path = tmp_path / "s.sqlite"
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="run qfa-search sample"):
        read_samples(path)
    SampleStore(path, toy_space).add(SETTING, [_sample(toy_space.layout.lowest())])
    assert len(read_samples(path).X) == 1


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


@pytest.mark.parametrize("table", ["trials", "samples", "about"])
@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_the_database_of_another_program_is_left_as_it_is(tmp_path, toy_space, table, mode):
    path = tmp_path / "study.db"
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA journal_mode={mode}")
    connection.execute(f"CREATE TABLE {table} (key TEXT, value TEXT)")
    connection.execute(f"INSERT INTO {table} VALUES ('format', 'mine')")
    connection.commit()  # stays open: with a log, there are files beside it
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    with pytest.raises(ValueError, match="another program"):
        SampleStore(path, toy_space)
    with pytest.raises(ValueError, match="another program"):
        read_samples(path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before
    connection.close()


def test_a_file_of_an_earlier_version_is_read_and_added_to(tmp_path, toy_space):
    store = SampleStore(tmp_path / "s.sqlite", toy_space)
    X = _genomes(toy_space, 4)
    store.add(SETTING, [_sample(x) for x in X[:2]])
    with sqlite3.connect(store.path) as connection:
        for name in ("images", "chosen", "confusion"):
            connection.execute(f"ALTER TABLE samples DROP COLUMN {name}")
        connection.execute("PRAGMA application_id = 0")
    connection.close()
    assert len(read_samples(store.path, drawn_only=True).X) == 2
    SampleStore(store.path, toy_space).add(SETTING, [_sample(x) for x in X[2:]])
    np.testing.assert_array_equal(read_samples(store.path).X, X)


def test_reading_while_others_write_sees_whole_samples(tmp_path, toy_space):
    X = _genomes(toy_space, 40)
    path = tmp_path / "s.sqlite"
    SampleStore(path, toy_space).add(SETTING, [_sample(X[0])])
    with ProcessPoolExecutor(1) as pool:
        writing = pool.submit(_write, (path, toy_space, X))
        seen = [1]
        while not writing.done():
            seen.append(len(read_samples(path).X))
        writing.result()
    assert seen == sorted(seen)
    assert len(read_samples(path).X) == len(X)


def test_chosen_subnets_are_told_from_drawn_ones(tmp_path, toy_space):
    store = SampleStore(tmp_path / "s.sqlite", toy_space)
    X = _genomes(toy_space, 3)
    store.add(SETTING, [replace(_sample(x), chosen=True, seed=None) for x in X])
    store.add(SETTING, [_sample(X[0])])  # drawn as well, later
    assert len(read_samples(store.path).X) == 3
    np.testing.assert_array_equal(read_samples(store.path, drawn_only=True).X, X[:1])


def test_copied_samples_are_still_chosen_or_drawn(tmp_path, toy_space):
    drawn, chosen = toy_space.layout.lowest(), toy_space.layout.highest()
    store, copy = (SampleStore(tmp_path / name, toy_space) for name in ("a.sqlite", "b.sqlite"))
    store.add(SETTING, [_sample(drawn), replace(_sample(chosen), chosen=True, seed=None)])
    copy.add(SETTING, stored_samples(store.path, toy_space, SETTING))
    assert read_samples(copy.path, drawn_only=True).X.tolist() == [drawn.tolist()]
    again = {s.genome.tobytes(): (s.seed, s.chosen) for s in copy.found(SETTING, [drawn, chosen])}
    assert again == {drawn.tobytes(): (3, False), chosen.tobytes(): (None, True)}


def test_chosen_subnets_of_another_setting_are_no_second_setting(tmp_path, toy_space):
    store = SampleStore(tmp_path / "s.sqlite", toy_space)
    X = _genomes(toy_space, 3)
    store.add(SETTING, [_sample(x) for x in X[:2]])
    other = replace(SETTING, recalibration="30x64")
    store.add(other, [replace(_sample(X[2]), chosen=True)])
    assert read_samples(store.path).setting == SETTING
    assert len(read_samples(store.path).X) == 2


def test_scores_on_other_images_are_refused(tmp_path, toy_space):
    store = SampleStore(tmp_path / "s.sqlite", toy_space)
    X = _genomes(toy_space, 3)
    store.add(replace(SETTING, images="abc"), [_sample(x) for x in X])
    assert len(store.missing(replace(SETTING, images="abc"), X)) == 0
    with pytest.raises(CheckpointMismatchError, match="abc"):
        store.missing(replace(SETTING, images="xyz"), X)


def test_the_confusion_is_stored(tmp_path, toy_space):
    store = SampleStore(tmp_path / "s.sqlite", toy_space)
    genome, confusion = toy_space.layout.lowest(), np.arange(16).reshape(4, 4)
    store.add(SETTING, [_sample(genome)])
    assert len(store.missing(SETTING, genome[None], by_class=True)) == 1
    store.add(SETTING, [replace(_sample(genome, 60), confusion=confusion)])
    (found,) = store.found(SETTING, genome[None])
    np.testing.assert_array_equal(found.evaluation.confusion, confusion)
    assert found.top1 == 50


@pytest.mark.parametrize("seed", [-1, 2**63, 10**30])
def test_a_seed_that_no_store_keeps_is_refused(seed):
    with pytest.raises(ValueError, match="seed must be"):
        check_seed(seed)


def test_a_large_draw_begins_with_the_small_one():
    space = search_spaces.load("fashion-mnist")
    small, large = (draw_stratified(space, n, np.random.default_rng(0)) for n in (2500, 9000))
    np.testing.assert_array_equal(large[:2500], small)
    assert len(np.unique(large, axis=0)) == 9000
    with pytest.raises(ValueError, match="at most 250,000"):
        draw_stratified(space, 10**9, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("top1", "high"),
        ("top1", 101.0),
        ("top1", float("inf")),
        ("cross_entropy", "low"),
        ("n_images", "x"),
        ("n_images", -4),
        ("seconds", b"1"),
        ("confusion", "text"),
        ("confusion", 5),
        ("confusion", b"no zlib"),
        ("confusion", zlib.compress(bytes(4 * 7))),
        ("confusion", zlib.compress(bytes(10**7))),
        ("confusion", zlib.compress(np.full(16, -3, "<i4").tobytes())),
        ("genome", b"\xff"),
        ("genome", "text"),
    ],
)
def test_a_score_that_nobody_wrote_is_told(tmp_path, toy_space, column, value):
    path = tmp_path / "s.sqlite"
    store = SampleStore(path, toy_space)
    store.add(SETTING, [_sample(toy_space.layout.lowest()), _sample(toy_space.layout.highest())])
    with closing(sqlite3.connect(path)) as connection, connection:
        where = "genome = (SELECT max(genome) FROM samples)"
        connection.execute(f"UPDATE samples SET {column} = ? WHERE {where}", (value,))
    with pytest.raises(ValueError, match=r"s\.sqlite is damaged: "):
        stored_samples(path, toy_space, SETTING)
    if column in ("top1", "genome"):
        with pytest.raises(ValueError, match=r"s\.sqlite is (damaged|not a readable)"):
            read_samples(path)


@pytest.mark.parametrize(
    ("key", "value"), [("format_version", "x"), ("space", "{}"), ("space", "[")]
)
def test_a_store_that_says_nonsense_of_itself_is_named(tmp_path, toy_space, key, value):
    path = tmp_path / "s.sqlite"
    SampleStore(path, toy_space).add(SETTING, [_sample(toy_space.layout.lowest())])
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE about SET value = ? WHERE key = ?", (value, key))
    with pytest.raises(ValueError, match=r"s\.sqlite is not a readable samples file: "):
        read_samples(path)


def test_a_pipe_is_no_store_and_nobody_waits_for_it(tmp_path, toy_space):
    os.mkfifo(tmp_path / "s.sqlite")
    with pytest.raises(ValueError, match="is a pipe or device"):
        SampleStore(tmp_path / "s.sqlite", toy_space)


def test_a_store_of_chosen_subnets_alone_has_no_drawn_ones(tmp_path, toy_space):
    store = SampleStore(tmp_path / "s.sqlite", toy_space)
    store.add(
        SETTING, [replace(_sample(x), chosen=True, seed=None) for x in _genomes(toy_space, 2)]
    )
    assert len(read_samples(store.path, drawn_only=True).X) == 0


def test_every_seed_that_may_be_drawn_with_is_read_back(tmp_path, toy_space):
    store = SampleStore(tmp_path / "s.sqlite", toy_space)
    (genome,) = _genomes(toy_space, 1)
    store.add(SETTING, [replace(_sample(genome), seed=LARGEST_SEED)])
    assert [s.seed for s in store.found(SETTING, [genome])] == [LARGEST_SEED]
