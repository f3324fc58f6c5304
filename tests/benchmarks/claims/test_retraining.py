import math
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.claims import retraining
from benchmarks.claims.retraining import (
    TAKEN,
    Comparison,
    quantized_epochs,
    trained_alone,
    verdicts,
)


@pytest.mark.parametrize(
    ("gap", "said"),
    [(5, "**does not hold**"), (0.1, "**holds** within the noise"), (-5, "**holds**: training")],
)
def test_the_verdict_on_retraining_follows_the_numbers(gap, said):
    top1 = np.array([85.0, 90.0])
    ways = {TAKEN: {"test": top1}, "tuned": {"test": top1 + gap}}
    sentence = verdicts(Comparison(np.array([1.0, 2.0]), ways, {"test": 10_000}))[0]
    assert said in sentence


def test_a_training_alone_is_as_long_as_asked(bench, monkeypatch):
    def told(phase, *arguments, **options):
        raise InterruptedError(phase.n_steps)

    monkeypatch.setattr(retraining, "run_phase", told)
    config = replace(bench.recipe, batch_size=22, parts=1)
    n_steps = math.ceil(0.5 * len(bench.train) / 22)
    with pytest.raises(InterruptedError, match=f"^{n_steps}$"):
        trained_alone(bench, bench.space.layout.lowest(), config, from_supernet=False, epochs=0.5)


def test_a_supernets_epochs_are_the_steps_that_it_had():
    recipe = {"mixed_epochs": 1.0, "mixed_steps": 100, "epochs": 8.0, "steps": 900}
    recipe |= {"batch_size": 32, "parts": 2}
    taken = {"recipe": recipe, "rounds": 1}  # of 450 steps
    assert quantized_epochs(taken, 1450) == (100 + 900 + 450) * 64 / 1450
    assert quantized_epochs({"init": taken, "recipe": recipe}, 640) == 145 + 100
    assert quantized_epochs({}, 640) == 0
