import time
from dataclasses import replace

import pytest
import torch

from qfa_search.training import estimate
from qfa_search.training.config import TrainConfig
from qfa_search.training.estimate import (
    PhaseTime,
    default_processes,
    duration,
    phase_times,
    step_memory,
    told,
)

TINY = TrainConfig(float_epochs=2, mixed_epochs=1, epochs=3, batch_size=16, parts=2)


def test_every_phase_is_timed_with_the_steps_that_it_will_have(toy_space):
    config = replace(TINY, teacher_width=8, teacher_epochs=1)
    times = phase_times(toy_space, 320, config, processes=1)
    assert [(t.name, t.n_steps) for t in times] == [
        ("images", 320),
        ("teacher", 10),
        ("soft labels", 640),
        ("float", 20),
        ("quantized", 40),
    ]
    times = times[1:]
    assert all(0 < t.seconds_per_step < 60 for t in times)


def test_phases_with_their_own_schedules_are_timed_apart(toy_space):
    config = replace(TINY, separate_schedules=True)
    times = phase_times(toy_space, 320, config, processes=2, is_teacher_run_along=True)
    assert [(t.name, t.n_steps) for t in times] == [("float", 20), ("mixed", 10), ("quantized", 30)]


def test_a_phase_without_steps_is_left_out(toy_space):
    times = phase_times(toy_space, 320, replace(TINY, float_epochs=0), processes=1)
    assert [t.name for t in times if not t.is_fixed] == ["quantized"]


def test_a_slow_teacher_and_slow_images_are_in_the_estimate(toy_space):
    class Slow(torch.nn.Module):
        def forward(self, x):
            time.sleep(0.02)
            return torch.zeros(len(x), toy_space.n_classes)

    times = phase_times(
        toy_space, 320, replace(TINY, float_epochs=0), processes=1, teacher=Slow(), decoding=0.1
    )
    assert times[0].seconds == pytest.approx(32)
    assert times[1].seconds > 0.02 * 640 / 16


def test_the_number_of_threads_is_left_as_it_was(toy_space):
    before = torch.get_num_threads()
    phase_times(toy_space, 320, TINY, processes=2)
    assert torch.get_num_threads() == before


def test_an_estimate_is_one_line():
    times = [PhaseTime("float", 100, 6.0), PhaseTime("quantized", 1000, 4.2)]
    assert told(times, 2) == "about 1 h 20 min on 2 processes: float 10 min, quantized 1 h 10 min"
    more = [PhaseTime(f"quantized-{i}", 100, 4.2, is_certain=False) for i in (2, 3)]
    assert told([*times, *more], 1) == (
        "about 1 h 20 to 1 h 34 min on one process: float 10 min, quantized 1 h 10 min; "
        "if much is left to gain 2 further rounds of 7 min each"
    )
    assert told([times[0], more[0]], 1).startswith("about 10 to 17 min on one process: float ")
    fixed = [
        PhaseTime("images", 100, 0.1, is_fixed=True),
        PhaseTime("soft labels", 9, 1e2, True, True),
    ]
    assert told([*fixed, times[1]], 1) == (
        "about 1 h 25 min on one process: soft labels 15 min, quantized 1 h 10 min"
    )
    assert [duration(s) for s in (3, 89, 100, 3600, 3e6)] == [
        *("3 s", "89 s", "2 min", "1 h 0 min", "35 days"),
    ]


def test_further_rounds_are_timed_as_what_may_follow(toy_space):
    times = phase_times(toy_space, 320, replace(TINY, rounds=2), processes=1)
    assert [(t.name, t.n_steps, t.is_certain) for t in times[-3:]] == [
        ("quantized", 40, True),
        ("quantized-2", 15, False),
        ("quantized-3", 15, False),
    ]


@pytest.mark.slow
def test_memory_is_measured_and_extended_from_smaller_batches(toy_space, monkeypatch):
    config = replace(TINY, batch_size=2048)
    monkeypatch.setattr(estimate, "PIXELS_ON_CPU", 10**9)
    whole, batches = step_memory(toy_space, config)
    assert batches == (2048,)
    monkeypatch.setattr(estimate, "PIXELS_ON_CPU", 256 * 16**2)
    extended, batches = step_memory(toy_space, config)
    assert batches == (256, 768)
    assert extended == pytest.approx(whole, rel=0.35)


def test_processes_are_as_many_as_cores_unless_fewer_are_as_fast(toy_space, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    found = []
    for cores in (1, 2, 3, 64):
        monkeypatch.setattr("joblib.cpu_count", lambda n=cores: n)
        found.append(default_processes(toy_space, TINY))
    assert found[:3] == [1, 2, 3]
    assert found[3] < 8  # no step is shorter than its largest subnet
