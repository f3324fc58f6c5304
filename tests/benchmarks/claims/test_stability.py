import json
import math

import numpy as np
import pytest

from benchmarks.claims import supernet_trainings
from benchmarks.claims.stability import stability, verdict
from benchmarks.claims.supernet_trainings import (
    VARIANTS,
    StabilityPlan,
    Training,
    float_start,
    read_trace,
    train_variant,
)


def training(variant, losses, top1, seed=0, n_steps=4):
    values = np.array(losses, dtype=float)
    scores = {"largest 4/4": top1} if top1 is not None else {}
    return Training(variant, "adamw", seed, values, values, n_steps, scores, math.log(10))


@pytest.mark.parametrize(
    ("losses", "top1", "said"),
    [
        ([2, 1], None, "**holds** at this scale: 2 of 2 trainings diverge against 0"),
        ([2, 2, 2, 2.4], 10, "**holds** at this scale: 2 of 2 trainings diverge against 0"),
        ([2, 1, 1, 1], 70, "**holds** at this scale: 0 trainings"),
        ([2, 1, 1, 1], 80.2, "**does not hold** at this scale: 0 trainings"),
        ([2, 1, 1, 1], 85, "5.00 points below"),
    ],
)
def test_the_verdict_on_stability_follows_the_numbers(losses, top1, said):
    found = [training("batchquant", [2, 1, 1, 1], 80 + d, d) for d in (-0.5, 0.5)]
    for variant in ("lsq", "lsq-released"):
        for d in (-0.5, 0.5):
            found.append(training(variant, losses, None if top1 is None else top1 + d))
    assert verdict(found, "adamw").count(said) == 2


def test_a_training_that_batchquant_alone_fails_speaks_against_it():
    found = [training("batchquant", [2], None), training("lsq", [2, 1, 1, 1], 50)]
    found.append(training("lsq-released", [2], None))
    text = verdict(found, "adamw")
    assert text.count("does not hold") == 2
    assert "all trainings of both diverge" in text


def test_a_trace_keeps_the_last_of_repeated_steps_and_skips_cut_lines(tmp_path):
    path = tmp_path / "trace.jsonl"
    path.write_text("\n[1, 2.0, 0.5]\n[2, 1.5, 0.4]\n[3, 1.\n[2, 1.6, 0.4]\n[3, 1.2, 0.3]\n")
    assert read_trace(path) == ([2.0, 1.6, 1.2], [0.5, 0.4, 0.3])


def test_a_training_that_diverges_is_a_result(bench, monkeypatch):
    plan = StabilityPlan(steps=3, float_steps=2, batch_size=22, seeds=1, optimizers=("sgd",))
    monkeypatch.setattr(supernet_trainings, "SGD_RATE", 1e30)
    monkeypatch.setattr(supernet_trainings, "SGD_CLIP", 1e38)
    section = stability(bench, plan, "")
    assert any("non-finite loss | 1 of 1" in part for part in section.parts)
    parts = [part for part in section.parts if part]
    assert "**does not hold**" in parts[-1]
    assert "all trainings of both diverge" in parts[-1]


def test_an_interrupted_training_goes_on_and_ends_alike(bench, monkeypatch, tmp_path):
    plan = StabilityPlan(steps=5, float_steps=2, batch_size=22, seeds=1)
    start = float_start(bench, plan, 0)
    arguments = (
        bench,
        VARIANTS["lsq"],
        plan.config(bench.recipe, "adamw", 0),
        plan.steps,
        start,
    )
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    whole.mkdir()
    cut.mkdir()
    expected = train_variant(*arguments, whole)

    batches = type(bench.source(plan.config(bench.recipe, "adamw", 0)))
    draw = batches.batch

    def interrupted(self, step, part, resolutions):
        if step == 3:
            raise KeyboardInterrupt
        return draw(self, step, part, resolutions)

    monkeypatch.setattr(batches, "batch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train_variant(*arguments, cut)
    monkeypatch.setattr(batches, "batch", draw)
    assert json.dumps(train_variant(*arguments, cut)) == json.dumps(expected)
