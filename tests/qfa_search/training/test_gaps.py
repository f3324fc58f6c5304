import pytest

from qfa_search.training.gaps import Gaps, below_teacher, gaps, noise

SCORES = {
    "teacher": 99.0,
    "largest 4/4": 95.0,
    "largest 2/2": 90.0,
    "smallest 4/4": 91.0,
    "smallest 2/2": 74.0,
}


def test_a_gap_to_the_teacher_counts_from_the_best_largest_subnet():
    assert below_teacher(SCORES) == 4
    assert below_teacher(SCORES | {"largest 3/3": 98.0}) == 0


def test_a_gap_to_the_largest_is_the_mean_over_bit_widths():
    assert gaps(SCORES) == Gaps(teacher=4, largest=10)
    assert gaps({"teacher": 90.0}) == Gaps(teacher=-10, largest=0)


def test_who_is_ahead_is_not_said_to_be_below():
    assert str(Gaps(teacher=-3, largest=4.25)) == (
        "the largest subnet is 0.0 points below its teacher, the smallest 4.2 below the largest"
    )


def test_a_gap_is_wide_beyond_its_limit_and_beyond_noise():
    assert Gaps(teacher=3, largest=0).are_wide(noise=1)
    assert not Gaps(teacher=3, largest=0).are_wide(noise=4)
    assert Gaps(teacher=0, largest=11).are_wide(noise=4)
    assert not Gaps(teacher=2, largest=10).are_wide(noise=0)


def test_noise_is_the_standard_error_and_one_image_at_least():
    assert noise({"largest 4/4": 60.0, "smallest 4/4": 40.0}, 100) == pytest.approx(5)
    assert noise({"largest 4/4": 100.0}, 50) == pytest.approx(2)
    assert noise({"teacher": 50.0}, 100) == pytest.approx(5)  # a space in floating point alone
