import csv
import sys
from types import SimpleNamespace

import pytest

from qfa_search.errors import QFAError
from qfa_search.training.metrics import METRICS_FILE, TENSORBOARD_FOLDER, metrics_writer
from qfa_search.training.phase import Progress


def _progress(phase, step, losses=(1.0, 2.0, 3.0, 5.0)):
    return Progress(phase, step, 100, losses, 0.1, 0.5, 10.0, step / 100)


def _rows(out):
    with (out / METRICS_FILE).open(newline="") as file:
        return [(r["phase"], int(r["step"]), r["loss_random"]) for r in csv.DictReader(file)]


def test_every_twentieth_and_the_last_step_is_written(tmp_path):
    with metrics_writer(tmp_path, tensorboard=False) as write:
        for step in range(1, 101):
            write(_progress("float", step, (1.0,)))
        for step in range(1, 50):
            write(_progress("quantized", step))
    expected = [("float", s, "") for s in (20, 40, 60, 80, 100)]
    assert _rows(tmp_path) == [*expected, ("quantized", 20, "4.0"), ("quantized", 40, "4.0")]


def test_steps_that_are_run_again_are_written_once(tmp_path):
    with metrics_writer(tmp_path, tensorboard=False) as write:
        for phase in ("float", "quantized"):
            for step in range(1, 101):
                write(_progress(phase, step))
    with metrics_writer(tmp_path, tensorboard=False) as write:
        for step in range(31, 61):
            write(_progress("quantized", step))
    steps = [(phase, step) for phase, step, _ in _rows(tmp_path)]
    assert steps == [("float", s) for s in range(20, 101, 20)] + [
        ("quantized", s) for s in (20, 40, 60)
    ]


def test_tensorboard_gets_the_same_numbers(tmp_path, monkeypatch):
    writers = []

    class SummaryWriter:
        def __init__(self, log_dir):
            self.log_dir, self.scalars, self.is_closed = log_dir, {}, False
            writers.append(self)

        def add_scalar(self, tag, scalar_value, global_step):
            self.scalars.setdefault(tag, []).append((global_step, scalar_value))

        def close(self):
            self.is_closed = True

    module = SimpleNamespace(SummaryWriter=SummaryWriter)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    with metrics_writer(tmp_path, tensorboard=True) as write:
        for step in range(1, 101):
            write(_progress("quantized", step))
    (events,) = writers
    assert events.log_dir == str(tmp_path / TENSORBOARD_FOLDER)
    assert events.scalars["quantized/loss_random"] == [(s, 4.0) for s in range(20, 101, 20)]
    assert events.is_closed


def test_tensorboard_is_asked_for_by_name_when_it_is_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with (
        pytest.raises(QFAError, match=r"qfa-search\[tensorboard\]"),
        metrics_writer(tmp_path, tensorboard=True),
    ):
        pass
