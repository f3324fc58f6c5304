import numpy as np
import pytest

from benchmarks import scale_arithmetic
from benchmarks.scale_arithmetic import Step
from qfa_search.training.config import preset


def step(parts):
    config = preset("imagenet")
    assert config.parts == 32
    return Step(parts=parts, vector_bytes=100, config=config)


def test_a_step_lasts_as_long_as_the_gpu_with_most_to_do():
    even, uneven = step([[2.0] * 32]), step([[1.0] * 31 + [33.0]])
    assert even.macs() == uneven.macs() == 64 * 64
    assert even.longest_macs(32) == pytest.approx(even.macs() / 32)
    assert uneven.longest_macs(32) == 64 * 33
    assert uneven.longest_macs(8) == 64 * 36
    assert uneven.longest_macs(1) == uneven.macs()


def test_each_gpu_receives_its_slice_of_every_part_and_the_rest_of_the_sum():
    one = step([[1.0] * 32])
    assert one.received_bytes(1) == 0
    assert one.received_bytes(32) == pytest.approx(100 * (1 + 1) * 31 / 32)
    assert one.received_bytes(8) == pytest.approx(100 * (4 + 1) * 7 / 8)


@pytest.mark.slow
def test_the_page_has_hours_for_each_number_of_gpus(monkeypatch):
    monkeypatch.setattr(scale_arithmetic, "N_STEPS", 1)
    monkeypatch.setattr(scale_arithmetic, "N_SAMPLES", 40)
    text = scale_arithmetic.text(1_281_167, [1.0])
    rows = [
        line.split("|") for line in text.splitlines() if line.startswith(("| 1 ", "| 8 ", "| 32 "))
    ]
    assert len(rows) == 6
    hours = [float(row[10].replace(",", "")) for row in rows[:3]]
    assert np.all(np.diff(hours) < 0)
    assert "37,535 steps" in text
    assert "75,069" in text
