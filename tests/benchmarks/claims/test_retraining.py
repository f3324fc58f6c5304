import math
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.claims import retraining
from benchmarks.claims.retraining import TAKEN, Comparison, trained_alone, verdicts


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
