"""A search that is killed and goes on ends as one that was not."""

from __future__ import annotations

import signal
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

import qfa_search
from predictors.files import save_tensors
from qfa_search.cli import app
from qfa_search.errors import CheckpointMismatchError, QFAError
from qfa_search.evolution import state_file, target

SEARCH = {"max_mflops": 0.1, "population": 24, "generations": 12, "seed": 3}


class KilledError(Exception):
    pass


def kill_at(generation):
    def callback(progress):
        if progress.generation == generation:
            raise KilledError

    return callback


@pytest.fixture
def often(monkeypatch):
    """States are stored after every generation."""
    monkeypatch.setattr(state_file, "SAVE_SECONDS", 0.0)


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize("generation", [0, 1, 7, 12])
def test_a_resumed_search_ends_like_an_unbroken_one(predictor, tmp_path, generation):
    unbroken = qfa_search.search(predictor=predictor, **SEARCH)
    options = {**SEARCH, "predictor": predictor, "state_file": tmp_path / "state.safetensors"}
    with pytest.raises(KilledError):
        qfa_search.search(**options, callback=kill_at(generation))
    seen = []
    resumed = qfa_search.search(**options, resume=True, callback=seen.append)
    assert seen[0].generation == generation
    unbroken.save(tmp_path / "a.json")
    resumed.save(tmp_path / "b.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


@pytest.mark.usefixtures("often")
def test_a_search_can_be_killed_more_than_once(predictor, tmp_path):
    options = {**SEARCH, "predictor": predictor, "state_file": tmp_path / "state.safetensors"}
    for generation in (2, 5, 9):
        with pytest.raises(KilledError):
            qfa_search.search(**options, resume=True, callback=kill_at(generation))
    resumed = qfa_search.search(**options, resume=True)
    unbroken = qfa_search.search(predictor=predictor, **SEARCH)
    assert np.array_equal(resumed.X, unbroken.X)


def test_without_a_state_yet_resume_starts_from_the_beginning(predictor, tmp_path):
    state = tmp_path / "state.safetensors"
    front = qfa_search.search(predictor=predictor, state_file=state, resume=True, **SEARCH)
    assert np.array_equal(front.X, qfa_search.search(predictor=predictor, **SEARCH).X)


def test_a_state_that_takes_long_to_write_is_written_less_often(predictor, tmp_path, monkeypatch):
    class Clock:
        now, saves = 0.0, 0

        def monotonic(self):
            return self.now

        def save(self, path, *_):
            self.saves += 1
            self.now += 1.0  # as long as a fifth of the time between two states
            path.touch()

    clock = Clock()
    monkeypatch.setattr(state_file, "time", clock)
    monkeypatch.setattr(state_file, "save_tensors", clock.save)

    def pass_two_seconds(_):
        clock.now += 2.0

    options = {**SEARCH, "population": 4, "generations": 100, "predictor": predictor}
    qfa_search.search(**options, state_file=tmp_path / "state", callback=pass_two_seconds)
    assert 8 <= clock.saves <= 13  # each 20 seconds; each 5 would be more than 30


def test_a_state_is_not_written_over_unless_asked_to_resume(predictor, tmp_path):
    state = tmp_path / "state.safetensors"
    qfa_search.search(predictor=predictor, state_file=state, **SEARCH)
    before = state.read_bytes()
    with pytest.raises(QFAError, match="--resume"):
        qfa_search.search(predictor=predictor, state_file=state, **SEARCH)
    assert state.read_bytes() == before
    with pytest.raises(ValueError, match="state_file"):
        qfa_search.search(predictor=predictor, resume=True, **SEARCH)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"seed": 4}, r"seed 3 \(now 4\)"),
        ({"population": 25}, r"population 24 \(now 25\)"),
        ({"generations": 13}, r"generations 12 \(now 13\)"),
        ({"max_mflops": 0.11}, r"max_mflops.*0\.1.*0\.11"),
        ({"max_size_kb": 3}, "max_size_kb"),
        ({"objectives": ("top1", "size_kb")}, "objectives"),
        ({"mutation_prob": 0.5}, "mutation_prob"),
    ],
)
def test_other_settings_are_refused_by_name(predictor, tmp_path, change, told):
    state = tmp_path / "state.safetensors"
    qfa_search.search(predictor=predictor, state_file=state, **SEARCH)
    with pytest.raises(CheckpointMismatchError, match=told) as error:
        qfa_search.search(predictor=predictor, state_file=state, resume=True, **(SEARCH | change))
    assert "other settings" in str(error.value)


def test_another_predictor_or_start_is_refused(predictor, spread_predictor, tmp_path):
    state = tmp_path / "state.safetensors"
    options = {**SEARCH, "state_file": state}
    qfa_search.search(predictor=predictor, **options)
    spread_predictor.gain = spread_predictor.gain + 1
    with pytest.raises(CheckpointMismatchError, match="predictor"):
        qfa_search.search(predictor=spread_predictor, resume=True, **options)
    initial = predictor.space.layout.lowest()[None]
    with pytest.raises(CheckpointMismatchError, match="initial"):
        qfa_search.search(predictor=predictor, initial=initial, resume=True, **options)


def test_a_broken_state_is_told(predictor, tmp_path):
    state = tmp_path / "state.safetensors"
    options = {**SEARCH, "predictor": predictor, "state_file": state, "resume": True}
    state.write_bytes(b"broken")
    with pytest.raises(ValueError, match="state"):
        qfa_search.search(**options)
    save_tensors(state, "predictor", {"a": np.zeros(2)}, {})
    with pytest.raises(ValueError, match="expected a search state"):
        qfa_search.search(**options)


KILLED_COMMAND = """
import os, signal, sys
import numpy as np
from qfa_search.evolution import loop, state_file, target
from qfa_search.cli import app
from tests.qfa_search.conftest import SpreadPredictor
from qfa_search.supernet.files import resolve_supernet

arguments = sys.argv[2:]
space = resolve_supernet(arguments[1]).space()
target._load_predictor = lambda path: SpreadPredictor(space)
state_file.SAVE_SECONDS = 0.0
breed = loop.breed
bred = 0

def counted(*given):
    global bred
    bred += 1
    if bred == int(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGKILL)
    return breed(*given)

loop.breed = counted
app(arguments)
"""


def test_a_killed_command_resumes_to_the_same_files(spread_predictor, tmp_path, monkeypatch):
    run = tmp_path / "fm"
    metadata = {"space": spread_predictor.space.to_dict()}
    save_tensors(run / "supernet.safetensors", "supernet", {"w": np.zeros(3)}, metadata)
    (run / "predictor.safetensors").touch()
    options = ["--supernet", str(run), "--population", "20", "--generations", "9", "-q"]

    monkeypatch.setattr(target, "_load_predictor", lambda path: spread_predictor)

    def command(*more):
        return CliRunner().invoke(app, [*options, *more])

    assert command("--out", str(tmp_path / "a")).exit_code == 0
    out = ["--out", str(tmp_path / "b")]
    killed = [sys.executable, "-c", KILLED_COMMAND, "6", *options, *out]
    assert subprocess.run(killed, capture_output=True).returncode == -signal.SIGKILL
    assert [p.name for p in (tmp_path / "b").iterdir()] == ["search-state.safetensors"]
    refused = command(*out)
    assert refused.exit_code == 1
    assert "--resume" in refused.stderr
    differs = command(*out, "--resume", "--seed", "5")
    assert differs.exit_code == 1
    assert "seed 0 (now 5)" in differs.stderr
    assert differs.stderr.count("\n") == 1
    assert command(*out, "--resume").exit_code == 0
    assert sorted(p.name for p in (tmp_path / "b").iterdir()) == [
        "front.csv",
        "front.json",
        "front.png",
        "report.html",
    ]
    for name in ("front.json", "front.csv"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    finished = command(*out, "--resume")
    assert finished.exit_code == 1
    assert "earlier result" in finished.stderr
