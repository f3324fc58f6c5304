import logging

import pytest

import search_spaces
from qfa_search.measuring import memory
from qfa_search.measuring.memory import free_bytes, process_bytes, within_memory
from qfa_search.measuring.parallel import Workers
from qfa_search.measuring.scoring import RecalibrationSetting

SETTING = RecalibrationSetting(sequential=True)


@pytest.mark.parametrize(("free_gb", "jobs"), [(0.1, 1), (2.0, 2), (100.0, 8)])
def test_there_are_as_many_processes_as_memory_holds(monkeypatch, caplog, free_gb, jobs):
    monkeypatch.setattr(memory, "free_bytes", lambda: int(free_gb * 1e9))
    with caplog.at_level(logging.WARNING):
        found = within_memory(Workers(jobs=8), search_spaces.load("fashion-mnist"), SETTING)
    assert found.jobs == jobs
    assert len(caplog.records) == (jobs < 8)


def test_a_cluster_has_a_number_of_its_own(monkeypatch):
    monkeypatch.setattr(memory, "free_bytes", lambda: 1)
    workers = Workers(jobs=8, backend="dask", scheduler="tcp://x:1")
    assert within_memory(workers, search_spaces.load("fashion-mnist"), SETTING) == workers


def test_larger_images_take_more_memory():
    small, large = (
        process_bytes(search_spaces.load(name), SETTING)
        for name in ("fashion-mnist", "mobilenet-v3-w1.2")
    )
    assert small < 1.0e9 < 2 * small < large


def test_a_limit_of_the_control_group_counts(tmp_path, monkeypatch):
    (tmp_path / "memory.max").write_text("3000000\n")
    (tmp_path / "memory.current").write_text("1000000\n")
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "meminfo")
    (tmp_path / "meminfo").write_text("MemTotal: 10 kB\nMemAvailable: 9000 kB\n")
    assert free_bytes() == 2_000_000
    (tmp_path / "memory.max").write_text("max\n")
    assert free_bytes() == 9000 * 1024
