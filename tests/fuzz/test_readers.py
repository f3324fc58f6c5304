"""Whatever is in a file, reading it gives a value or one clean error."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing, suppress

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

import search_spaces
from predictors import AccuracyPredictor, LatencyTable
from predictors.files import HEADER, load_tensors, read_metadata, save_tensors
from predictors.latency import needed_signatures
from qfa_search.evolution.config import SearchConfig
from qfa_search.evolution.search import search
from qfa_search.evolution.state_file import KIND as STATE
from qfa_search.front.front import ParetoFront
from qfa_search.front.subnet_files import read_subnets
from qfa_search.images.sources import class_names
from qfa_search.measuring.samples import Sample, Setting, read_samples
from qfa_search.measuring.store import SampleStore
from qfa_search.measuring.subnets import measure_config
from qfa_search.supernet.files import resolve_supernet
from search_spaces import to_toml
from tests.fuzz.reading import N, byte_changes, json_changes
from tests.qfa_search.conftest import FormulaPredictor


@pytest.fixture
def front(toy_space) -> ParetoFront:
    predictor = FormulaPredictor(toy_space)
    return search(predictor=predictor, population=12, generations=2, max_mflops=1)


def _changes(path, seed):
    return byte_changes(path.read_bytes(), seed)


def _json_changes(path, seed):
    return json_changes(path.read_text(), seed)


@pytest.mark.parametrize("changes", [_changes, _json_changes])
def test_fronts(front, tmp_path, changes, tried):
    path = tmp_path / "front.json"
    front.save(path)

    def read(path):
        found = ParetoFront.load(path)
        if len(found):
            found.knee(), found.best(), found.to_frame()
        found.hypervolume(), repr(found), read_subnets(path)

    assert tried(read, path, changes(path, 0))["refused"] > N / 3


@pytest.mark.parametrize("changes", [_changes, _json_changes])
def test_subnets(toy_space, tmp_path, changes, tried):
    path = tmp_path / "subnet.json"
    path.write_text(json.dumps(toy_space.largest().to_dict()))
    counts = tried(lambda path: read_subnets(path, toy_space), path, changes(path, 1))
    assert counts["refused"] > N / 3


def test_architectures_of_once_for_all(tmp_path, tried):
    space = search_spaces.load("ofa-mobilenet-v3-w1.0")
    genes = space.layout.to_published(space.layout.highest()[None])[0].tolist()
    path = tmp_path / "arch.json"
    data = {"ks": genes[:20], "e": genes[20:40], "d": genes[40:45], "r": genes[45:46]}
    path.write_text(json.dumps(data))
    tried(lambda path: read_subnets(path, space), path, _json_changes(path, 2))


def test_spaces(toy_space, tmp_path, tried):
    path = tmp_path / "space.toml"
    path.write_text(to_toml(toy_space))

    def read(path):
        space = search_spaces.load(path)
        space.layout.decode(space.layout.lowest()), space.log10_size()

    assert tried(read, path, _changes(path, 3))["refused"] > N / 3


def test_spaces_as_plain_data(toy_space, tmp_path, tried):
    def read(path):
        space = search_spaces.SearchSpace.from_dict(json.loads(path.read_text()))
        space.layout.highest()

    tried(read, tmp_path / "space.json", json_changes(json.dumps(toy_space.to_dict()), 4))


def test_latency_tables(toy_space, tmp_path, tried):
    path = tmp_path / "table.csv"
    LatencyTable(dict.fromkeys(needed_signatures(toy_space)[:40], 0.125)).save(path)
    tried(LatencyTable.load, path, _changes(path, 5))


def test_arrays_of_genes(toy_space, tmp_path, tried):
    path = tmp_path / "genes.npy"
    np.save(path, toy_space.layout.sample(np.random.default_rng(0), 3))
    data = path.read_bytes()
    # Most of the file is genes; its header is where the traps are.
    headers = (start + data[128:] for start in byte_changes(data[:128], 6))
    for contents in (byte_changes(data, 7), headers):
        tried(lambda path: read_subnets(path, toy_space), path, contents)


def _supernet(toy_space, path):
    rng = np.random.default_rng(0)
    tensors = {"a": rng.normal(size=(8, 9)).astype(np.float32), "b": np.arange(5)}
    metadata = {"space": toy_space.to_dict(), "data": "fashion-mnist", "classes": ["ant", "bee"]}
    save_tensors(path, "supernet", tensors, metadata)


def _predictor(toy_space, path):
    X = toy_space.layout.sample(np.random.default_rng(0), 30)
    fitted = AccuracyPredictor.fit(toy_space, X, FormulaPredictor(toy_space).predict(X))
    fitted.save(path)


def _state(toy_space, path):
    search(
        predictor=FormulaPredictor(toy_space), population=8, generations=1, state_file=path, seed=3
    )


def _read_supernet(path):
    files = resolve_supernet(path)
    files.space(), files.digest(), load_tensors(path, "supernet")
    measure_config(path, "images"), class_names(read_metadata(path, "supernet"))
    with suppress(OSError):
        files.data()


def _read_predictor(path):
    predictor = AccuracyPredictor.load(path)
    predictor.predict_with_spread(predictor.space.layout.lowest()[None])


def _read_state(path, toy_space):
    config = SearchConfig(population=8, generations=1, seed=3)
    search(config, predictor=FormulaPredictor(toy_space), state_file=path, resume=True)


def _teacher(toy_space, path):
    from qfa_search.training.teacher import dense_teacher, save_teacher

    save_teacher(path, dense_teacher(toy_space, 8), toy_space, 8)


def _read_teacher(path, toy_space):
    from qfa_search.training.teacher import load_teacher

    load_teacher(path, toy_space)


KINDS = {
    "teacher": (_teacher, _read_teacher),
    "supernet": (_supernet, lambda path, space: _read_supernet(path)),
    "predictor": (_predictor, lambda path, space: _read_predictor(path)),
    STATE: (_state, _read_state),
}


@pytest.mark.parametrize("kind", KINDS)
def test_files_of_arrays(toy_space, tmp_path, kind, tried):
    make, read = KINDS[kind]
    path = tmp_path / "file.safetensors"
    make(toy_space, path)
    counts = tried(lambda path: read(path, toy_space), path, _changes(path, 8))
    assert counts["refused"] > 0.9 * N  # a few changes leave the content as it is


@pytest.mark.parametrize("kind", KINDS)
def test_descriptions_of_arrays_without_digests(toy_space, tmp_path, kind, tried):
    make, read = KINDS[kind]
    path = tmp_path / "file.safetensors"
    make(toy_space, path)
    with safe_open(path, "np") as file:
        header = json.loads(file.metadata()[HEADER])
    tensors = load_tensors(path, kind)[0]
    for name in ("digest", "tensors_digest"):
        del header[name]

    def contents():
        for text in json_changes(json.dumps(header), 9):
            save_file(tensors, path, metadata={HEADER: text})
            yield path.read_bytes()

    tried(lambda path: read(path, toy_space), path, contents())


def test_samples(toy_space, tmp_path, tried):
    path = tmp_path / "samples.sqlite"
    X = toy_space.layout.sample(np.random.default_rng(0), 40)
    setting = Setting(supernet="0123456789abcdef", split="val", recalibration="16x64")
    SampleStore(path, toy_space).add(setting, [Sample(genome=x, top1=50.0) for x in X])
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
    tried(read_samples, path, _changes(path, 10))
