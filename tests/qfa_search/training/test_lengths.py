from dataclasses import replace

import pytest

from qfa_search.errors import CheckpointMismatchError
from qfa_search.training.config import TrainConfig
from qfa_search.training.estimate import PhaseTime
from qfa_search.training.lengths import (
    check_same_but_lengths,
    steps_of_phases,
    trained_on,
    within_minutes,
)

CONFIG = TrainConfig(batch_size=8, parts=2, steps=400, float_steps=100, learning_rate=1e-2)


def test_given_minutes_stretch_every_phase_alike():
    times = [PhaseTime("float", 100, 0.6), PhaseTime("quantized", 400, 1.35)]
    config, stretched = within_minutes(CONFIG, times, 20)
    assert (config.steps, config.float_steps, config.epochs) == (800, 200, 2 * CONFIG.epochs)
    assert sum(time.seconds for time in stretched) == pytest.approx(20 * 60)


def test_given_minutes_hold_the_further_rounds_that_there_is_time_for():
    config = replace(CONFIG, rounds=2)
    times = [
        PhaseTime("quantized", 400, 1.5),
        *(PhaseTime(f"quantized-{i}", 200, 1.5, is_certain=False) for i in (2, 3)),
    ]
    for minutes, rounds, steps in ((5, 0, 200), (14, 0, 560), (15, 1, 400), (40, 2, 800)):
        found, fitted = within_minutes(config, times, minutes)
        assert (found.rounds, found.steps) == (rounds, steps)
        assert sum(time.seconds for time in fitted) == pytest.approx(60 * minutes)


def test_given_minutes_hold_what_no_shorter_training_is_spared():
    fixed = PhaseTime("soft labels", 900, 0.5, is_fixed=True)
    config, fitted = within_minutes(CONFIG, [fixed, PhaseTime("quantized", 400, 1.5)], 12.5)
    assert config.steps == 200
    assert sum(time.seconds for time in fitted) == pytest.approx(60 * 12.5)
    with pytest.raises(ValueError, match=r"--minutes 7 is too little: .* takes 8 min"):
        within_minutes(CONFIG, [fixed], 7)


def test_training_on_runs_the_quantized_steps_alone_at_half_the_rate():
    config = trained_on(CONFIG, 300, 1000)
    assert steps_of_phases(config, 1000) == {
        "teacher": 0,
        "float": 0,
        "mixed": 0,
        "quantized": 300,
    }
    assert config.learning_rate == 0.5e-2
    assert config.seed != CONFIG.seed  # else it would see again what it began with
    with pytest.raises(ValueError, match="--continue must be at least 1, got 0"):
        trained_on(CONFIG, 0, 1000)


@pytest.mark.parametrize(("n_steps", "n_images"), [(15, 1856), (297, 2063), (1, 5)])
def test_training_on_runs_no_step_more(n_steps, n_images):
    config = trained_on(replace(CONFIG, batch_size=32), n_steps, n_images)
    assert config.n_steps("quantized", n_images) == n_steps


def test_a_training_that_goes_on_with_a_time_given_has_the_recipe_it_was_begun_with():
    begun = replace(CONFIG, epochs=0.5, steps=3, rounds=0)
    check_same_but_lengths(CONFIG, begun)
    with pytest.raises(CheckpointMismatchError, match="begun with batch_size 8, not 7"):
        check_same_but_lengths(replace(CONFIG, batch_size=7), begun)
