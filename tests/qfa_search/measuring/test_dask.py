"""A Dask cluster measures what local processes measure, also when it loses a worker."""

import os
import signal
import sqlite3
import time
from contextlib import closing

import pytest

from qfa_search.measuring.calls import sample

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]
N = 8
PATIENCE = 60  # seconds


def _scores(path):
    with closing(sqlite3.connect(path)) as connection:
        columns = "genome, top1, cross_entropy, n_images, confusion"
        return connection.execute(f"SELECT {columns} FROM samples ORDER BY genome").fetchall()


def _processes(cluster):
    return [nanny.pid for nanny in cluster.workers.values()]


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """Two workers on this machine, each with a process of its own that is started again."""
    distributed = pytest.importorskip("distributed", reason="pip install 'qfa-search[dask]'")
    monkeypatch.setenv("DASK_TEMPORARY_DIRECTORY", str(tmp_path / "dask"))
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, local_directory=str(tmp_path)
    ) as cluster:
        yield cluster


def test_a_cluster_that_loses_a_worker_gives_the_same_scores(
    cluster, toy_run, image_folder, tmp_path
):
    given = {"data": image_folder, "n": N}
    sample(toy_run, out=tmp_path / "local.sqlite", **given)
    lost, *_ = _processes(cluster)
    n_done = 0

    def kill_after_two(_):
        nonlocal n_done
        n_done += 1
        if n_done == 2:
            os.kill(lost, signal.SIGKILL)

    found = sample(
        toy_run,
        out=tmp_path / "dask.sqlite",
        backend="dask",
        scheduler=cluster.scheduler_address,
        on_sample=kill_after_two,
        **given,
    )
    assert found.n_measured == n_done == N
    until = time.monotonic() + PATIENCE  # it is started again when its nanny has noticed
    while lost in _processes(cluster) and time.monotonic() < until:
        time.sleep(0.1)
    assert lost not in _processes(cluster)
    scores = _scores(tmp_path / "dask.sqlite")
    assert scores == _scores(tmp_path / "local.sqlite")
    assert len(scores) == N
