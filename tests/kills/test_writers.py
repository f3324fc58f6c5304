"""Twelve writers of one store at once, while it is read."""

from __future__ import annotations

import multiprocessing

import numpy as np
import pytest

from qfa_search.measuring.samples import Sample, Setting, read_samples
from qfa_search.measuring.store import SampleStore

pytestmark = pytest.mark.slow
N_WRITERS, N_EACH, N_SHARED = 12, 30, 10
SETTING = Setting(supernet="abc", split="val", recalibration="16x64")


def _top1(genome):
    """Anything that follows from the genome."""
    return float(genome.sum() % 101)


def _write(path, space, X, start):
    start.wait()
    for genome in X:
        SampleStore(path, space).add(SETTING, [Sample(genome=genome, top1=_top1(genome))])


def test_twelve_writers_lose_nothing_and_readers_see_whole_rows(
    tmp_path, toy_space, record_property
):
    n = N_WRITERS * N_EACH + N_SHARED
    drawn = toy_space.layout.sample(np.random.default_rng(0), 2 * n)
    X = np.unique(toy_space.layout.canonicalize(drawn), axis=0)[:n]
    assert len(X) == n
    shared, own = X[:N_SHARED], X[N_SHARED:]
    path = tmp_path / "samples.sqlite"
    context = multiprocessing.get_context("forkserver")
    start = context.Event()
    parts = [np.concatenate([own[i::N_WRITERS], shared]) for i in range(N_WRITERS)]
    writers = [context.Process(target=_write, args=(path, toy_space, x, start)) for x in parts]
    SampleStore(path, toy_space).add(SETTING, [Sample(genome=X[0], top1=_top1(X[0]))])
    for writer in writers:
        writer.start()
    start.set()
    n_reads, n_rows = 0, 0
    while any(writer.is_alive() for writer in writers):
        found = read_samples(path)
        assert found.frame["top1"].tolist() == [_top1(genome) for genome in found.X]
        assert len(found.X) >= n_rows
        n_reads, n_rows = n_reads + 1, len(found.X)
    assert [writer.exitcode for writer in writers] == [0] * N_WRITERS
    np.testing.assert_array_equal(read_samples(path).X, np.unique(X, axis=0))
    record_property("writers", f"{N_WRITERS} wrote {n} rows, {n_reads} reads meanwhile")
