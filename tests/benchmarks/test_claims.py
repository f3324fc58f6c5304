import json
import math
import shutil

import numpy as np
import pandas as pd
import pytest
import torch

from benchmarks.claims import supernet_trainings
from benchmarks.claims.__main__ import PLANS, chosen, main
from benchmarks.claims.activation_steps import (
    LSQ_RULE,
    RELEASED_RULE,
    FixedStep,
    LearnedStepSupernet,
    first_step,
    quantize_by_step,
    static_network,
)
from benchmarks.claims.bench import Bench, paired_gap
from benchmarks.claims.bit_norms import BitNormSupernet
from benchmarks.claims.cures import grouped
from benchmarks.claims.cures import verdict as cures_verdict
from benchmarks.claims.finished import FinishedRuns
from benchmarks.claims.fronts import in_whole_space, searched_front, uniform_space
from benchmarks.claims.mixed_precision import Member, near, places
from benchmarks.claims.mixed_precision import verdict as mixed_verdict
from benchmarks.claims.recalibration import enough
from benchmarks.claims.retraining import TAKEN, Comparison, verdicts
from benchmarks.claims.stability import stability, verdict
from benchmarks.claims.supernet_trainings import (
    VARIANTS,
    StabilityPlan,
    Training,
    float_start,
    read_trace,
    train_variant,
)
from benchmarks.parts.measured_subnets import supernet_samples
from predictors import cost_arrays
from qfa_search.supernet.files import resolve_supernet
from qfa_search.supernet.mobilenet_v3 import Supernet
from qfa_search.supernet.recalibrate import recalibrate
from search_spaces import LayerBits

TINY_SIZES = ["--batch-size", "22", "--population", "8", "--generations", "1"]


@pytest.fixture(scope="module")
def supernet_folder(tmp_path_factory, toy_run, samples_file):
    """The toy supernet with samples and a predictor beside it."""
    folder = tmp_path_factory.mktemp("supernet")
    for path in toy_run.iterdir():
        if path.is_file():
            shutil.copy(path, folder)
    shutil.copy(samples_file, folder / "samples.sqlite")
    data = supernet_samples(samples_file)
    data.fit(np.arange(20), 0).save(folder / "predictor.safetensors")
    return folder


@pytest.fixture
def bench(tmp_path, supernet_folder, image_folder):
    return Bench(resolve_supernet(supernet_folder), str(image_folder), tmp_path / "runs")


# ---- learned steps


def quantized(x, step, bits, signed, scales_gradient, cotangent):
    x = torch.tensor(x, requires_grad=True)
    step = torch.tensor(step, requires_grad=True)
    y = quantize_by_step(x, step, bits=bits, signed=signed, scales_gradient=scales_gradient)
    y.backward(torch.tensor(cotangent))
    return y.tolist(), x.grad.tolist(), float(step.grad)


@pytest.mark.parametrize(("scales_gradient", "gamma"), [(True, 1 / math.sqrt(4 * 3)), (False, 1)])
def test_unsigned_steps_follow_the_equations(scales_gradient, gamma):
    # u = x / 0.5 = -1, 0.8, 2.2, 4; q = 0, 1, 2, 3: the ends are clipped and pass no gradient.
    y, grad_x, grad_step = quantized(
        [[-0.5, 0.4, 1.1, 2.0]], 0.5, 2, False, scales_gradient, [[1.0, 2.0, 3.0, 4.0]]
    )
    assert y == [[0.0, 0.5, 1.0, 1.5]]
    assert grad_x == [[0.0, 2.0, 3.0, 0.0]]
    expected = gamma * (1 * 0 + 2 * (1 - 0.8) + 3 * (2 - 2.2) + 4 * 3)
    assert grad_step == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("scales_gradient", "gamma"), [(True, 1 / math.sqrt(3 * 1)), (False, 1)])
def test_signed_steps_and_negative_parameters_follow_the_equations(scales_gradient, gamma):
    # a = |-1|; u = -3, 0.3, 1: q = -2, 0, 1, the first clipped, the last on the end (left out).
    y, grad_x, grad_step = quantized(
        [[-3.0, 0.3, 1.0]], -1.0, 2, True, scales_gradient, [[1.0, 1.0, 1.0]]
    )
    assert y == [[-2.0, 0.0, 1.0]]
    assert grad_x == [[0.0, 1.0, 0.0]]
    assert grad_step == pytest.approx(-gamma * (-2 - 0.3 + 1), rel=1e-5)


def test_first_step_is_twice_the_mean_size_over_the_root_of_qmax():
    x = torch.tensor([[1.0, -3.0]])
    assert float(first_step(x, bits=4, signed=False)) == pytest.approx(4 / math.sqrt(15))
    assert float(first_step(x, bits=2, signed=True)) == pytest.approx(4)
    assert float(first_step(0 * x, bits=2, signed=True)) > 0


def test_steps_start_at_their_first_batch_or_at_one(toy_space):
    subnet = toy_space.largest()
    x = torch.randn(8, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    by_data = LearnedStepSupernet(toy_space, LSQ_RULE)
    by_data(x, subnet)
    steps = {k: v.clone() for k, v in by_data.state_dict().items() if k.endswith("input_step")}
    started = {k: v for k, v in by_data.state_dict().items() if k.endswith("has_started")}
    assert all(
        ((steps[k.replace("has_started", "input_step")] != 1) == v).all()
        for k, v in started.items()
    )
    assert sum(int(v.sum()) for v in started.values()) > 5
    by_data(2 * x, subnet)
    assert all(torch.equal(v, steps[k]) for k, v in by_data.state_dict().items() if k in steps)

    released = LearnedStepSupernet(toy_space, RELEASED_RULE)
    released(x, subnet)
    for name, value in released.state_dict().items():
        assert not name.endswith("input_step") or (value == 1).all()


def test_a_static_network_computes_what_its_learned_step_supernet_does(toy_space):
    torch.manual_seed(0)
    subnet = toy_space.sample(np.random.default_rng(3))
    x = torch.randn(16, 1, subnet.resolution, subnet.resolution)
    supernet = LearnedStepSupernet(toy_space, LSQ_RULE)
    expected = supernet(x, subnet)
    network = static_network(supernet, subnet)
    recalibrate(network, [(x, torch.zeros(16))], 1)
    steps = [m for m in network.modules() if isinstance(m, FixedStep)]
    assert len(steps) > 5
    torch.testing.assert_close(network(x), expected, rtol=1e-4, atol=1e-4)


def test_without_learned_steps_static_networks_are_the_usual_ones(toy_space):
    network = static_network(Supernet(toy_space), toy_space.largest())
    assert not any(isinstance(module, FixedStep) for module in network.modules())


# ---- finished runs


def test_a_finished_run_is_read_and_one_with_other_settings_runs(tmp_path):
    runs, calls = FinishedRuns(tmp_path), []

    def run(folder):
        calls.append(folder)
        (folder / "state").write_text("x")
        return {"value": len(calls)}

    assert runs.numbers("a", {"seed": 0}, run) == {"value": 1}
    assert runs.numbers("a", {"seed": 0}, run) == {"value": 1}
    assert runs.numbers("a", {"seed": 1}, run) == {"value": 2}
    assert not any(folder.exists() for folder in calls)


def test_an_interrupted_run_finds_its_folder_again(tmp_path):
    def interrupted(folder):
        (folder / "state").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        FinishedRuns(tmp_path).numbers("a", {}, interrupted)
    found = FinishedRuns(tmp_path).numbers("a", {}, lambda f: {"was": (f / "state").read_text()})
    assert found == {"was": "half"}


def test_a_trace_keeps_the_last_of_repeated_steps_and_skips_cut_lines(tmp_path):
    path = tmp_path / "trace.jsonl"
    path.write_text("\n[1, 2.0, 0.5]\n[2, 1.5, 0.4]\n[3, 1.\n[2, 1.6, 0.4]\n[3, 1.2, 0.3]\n")
    assert read_trace(path) == ([2.0, 1.6, 1.2], [0.5, 0.4, 0.3])


# ---- what the sentences say


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


@pytest.mark.parametrize(
    ("gap", "said"),
    [(5, "**does not hold**"), (0.1, "**holds** within the noise"), (-5, "**holds**: training")],
)
def test_the_verdict_on_retraining_follows_the_numbers(gap, said):
    top1 = np.array([85.0, 90.0])
    ways = {TAKEN: {"test": top1}, "tuned": {"test": top1 + gap}}
    sentence = verdicts(Comparison(np.array([1.0, 2.0]), ways, {"test": 10_000}))[0]
    assert said in sentence


@pytest.mark.parametrize(
    ("gaps", "said"),
    [
        ((3, 3), "claim **holds** at"),
        ((3, -0.1), "**holds in part**"),
        ((-3, 0), "**does not hold**"),
    ],
)
def test_the_verdict_on_mixed_precision_follows_the_numbers(gaps, said):
    members = [_member("mixed", 0, 8900)]
    for name, gap in zip(("2/2", "4/4"), gaps, strict=True):
        members.append(_member(name, 0, 8900 - round(100 * gap)))
    assert said in mixed_verdict(members)


def test_a_cure_is_told_by_its_gaps_within_seeds():
    means = np.array([[70.0, 71.0, 69.9], [72.0, 73.2, 72.2], [65.0, 65.9, 64.8]])
    text = cures_verdict(["the recipe", "a", "b"], {"mean": means})
    assert "a: **helps** (+1.03 ± 0.09 points)" in text
    assert "b: **no difference** (-0.03 ± 0.12 points)" in text
    one_seed = cures_verdict(["the recipe", "a"], {"mean": means[:1, :2]})
    assert "a: **no difference**" in one_seed


def test_scores_are_averaged_over_groups_then_over_all():
    groups = grouped(["2/2", "2/2", "mixed"], np.array([[[1.0, 3.0, 8.0]]]))
    assert {name: values.tolist() for name, values in groups.items()} == {
        "2/2": [[2.0]],
        "mixed": [[8.0]],
        "mean": [[5.0]],
    }


def test_norms_per_bit_width_start_as_one_norm_and_are_extracted(toy_space):
    torch.manual_seed(0)
    supernet = BitNormSupernet(toy_space)
    subnet = toy_space.largest()
    x = torch.randn(4, toy_space.input_channels, subnet.resolution, subnet.resolution)
    one = Supernet(toy_space)
    one.load_state_dict(supernet.state_dict(), strict=False)
    assert torch.equal(supernet(x, subnet), one(x, subnet))
    for name, parameter in supernet.named_parameters():
        if "bit_" in name:
            torch.nn.init.uniform_(parameter, 0.5, 1.5)
    network = static_network(supernet, subnet)
    recalibrate(network, [(x, torch.zeros(4, dtype=torch.long))], 1)
    assert torch.allclose(network(x), supernet(x, subnet), atol=1e-4)
    assert not torch.allclose(supernet(x, subnet), one(x, subnet), atol=1e-2)


def test_a_small_gap_counts_where_both_subnets_are_right_on_the_same_images():
    members = [_member("mixed", 0, 8900), _member("3/3", 0, 8880)]  # 20 images, one way
    assert "ahead at 1, level at 0, behind at 0 of 1 costs, +0.20 points" in mixed_verdict(members)
    members[1] = _member("3/3", 0, 8880, first=600)  # the same gap, of 620 images against 600
    assert "ahead at 0, level at 1" in mixed_verdict(members)


def test_a_paired_error_is_that_of_the_mean_over_images():
    a, b = (
        np.array([[1, 1, 0, 0], [1, 1, 1, 0]], bool),
        np.array([[1, 0, 0, 0], [0, 1, 1, 0]], bool),
    )
    gap, error = paired_gap(a, b)  # of the images 0.5, 0.5, 0, 0
    assert gap == 25
    assert error == pytest.approx(100 * np.std([0.5, 0.5, 0, 0], ddof=1) / 2)


def _member(front: str, place: int, n_right: int, first: int = 0) -> Member:
    """A member that is right on `n_right` of 10,000 images, from image `first` on."""
    hits = np.zeros(10_000, bool)
    hits[first : first + n_right] = True
    return Member(front=front, place=place, mflops=1.0 + place, val=90.0, hits=hits)


def test_a_uniform_front_that_goes_further_is_compared_with_the_end_of_the_mixed_one():
    text = mixed_verdict([_member("mixed", 0, 8900), _member("4/4", 2, 9300)])
    assert "behind at 1 of 1 costs, -4.00 points" in text
    assert "**does not hold**" in text


def test_places_span_the_fronts_and_take_members_close_below():
    costs = np.array([1.0, 1.9, 2.0, 2.1, 4.0])
    limits = places([costs, costs[1:]], 3)
    assert limits[-1] == pytest.approx(4.0)
    assert near(costs, limits[0], 3).tolist() == [0]
    assert near(costs, 2.05, 2).tolist() == [1, 2]
    assert near(costs, 3.0, 2).tolist() == []


def test_enough_images_are_those_after_the_last_bad_number():
    by_n = {0: 10.0, 64: 85.95, 128: 85.0, 256: 85.95, 512: 86.0}
    assert enough({n: np.array([value]) for n, value in by_n.items()}) == 256


# ---- fronts


def test_uniform_genomes_keep_their_costs_in_the_whole_space(toy_space):
    uniform = uniform_space(toy_space, LayerBits(3, 3))
    X = uniform.layout.sample(np.random.default_rng(0), 20)
    whole = in_whole_space(uniform, toy_space, X)
    names = ["mflops", "size_kb"]
    for name, values in cost_arrays(toy_space, whole, names).items():
        np.testing.assert_allclose(values, cost_arrays(uniform, X, names)[name])
    bits = {layer.bits.w_bits for layer in _searched_layers(toy_space, whole[0])}
    assert bits == {3}


def test_a_uniform_front_has_one_bit_width(bench):
    X = searched_front(bench, "2/2", 8, 1)
    assert {s.bits.a_bits for x in X for s in _searched_layers(bench.space, x)} == {2}
    # Read again, not searched again.
    assert np.array_equal(X, searched_front(bench, "2/2", 8, 1))


def _searched_layers(space, genome):
    from search_spaces import layer_specs

    specs = layer_specs(space, space.layout.decode(genome))
    return [s for s in specs if s.bits.w_bits < 8]


# ---- from end to end


def test_every_claim_runs_and_a_second_call_reads_what_is_finished(
    tmp_path, supernet_folder, image_folder, monkeypatch, capsys
):
    arguments = [
        *["--quick", "--supernet", str(supernet_folder), "--data", str(image_folder)],
        *["--out", str(tmp_path / "runs"), "--results", str(tmp_path), *TINY_SIZES],
        *["--steps", "4", "--float-steps", "4", "--seeds", "1", "--optimizers", "adamw", "sgd"],
        *["--epochs", "0.5", "--long-epochs", "1", "--images", "0", "22", "44"],
        *["--sizes", "1000", "--splits", "1"],  # all there are
        *["--teacher", str(supernet_folder / "supernet.safetensors")],
    ]
    main([*arguments, "--only", "a,d"])
    assert (
        "Not run yet: retraining, mixed, predictor, cures." in (tmp_path / "claims.md").read_text()
    )
    main([*arguments, "--only", "b,c,e,f"])
    text = (tmp_path / "claims.md").read_text()
    assert text.strip() in capsys.readouterr().out
    assert "Not run yet" not in text
    assert text.count("*Result") >= 8
    tables = {name: pd.read_csv(tmp_path / f"claims_{name}.csv") for name in PLANS}
    for name, table in tables.items():
        assert f"](claims_{name}.png)" in (tmp_path / f"claims_{name}.md").read_text()
        assert (tmp_path / f"claims_{name}.png").stat().st_size > 10_000
        scores = table[table["metric"].str.startswith("top1")]["value"]
        assert scores.between(0, 100).all()

    files = {path: path.read_bytes() for path in tmp_path.rglob("*.json")}
    monkeypatch.setattr(FinishedRuns, "numbers", _only_reads(FinishedRuns.numbers))
    main(arguments)
    for name, table in tables.items():
        again = pd.read_csv(tmp_path / f"claims_{name}.csv")
        pd.testing.assert_frame_equal(again, table)
    assert files == {path: path.read_bytes() for path in tmp_path.rglob("*.json")}


def _only_reads(numbers):
    def fail(folder):
        raise AssertionError(f"{folder} was run again")

    return lambda self, name, settings, run: numbers(self, name, settings, fail)


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


def test_claims_are_chosen_by_letter_or_name():
    assert chosen("a,predictor") == ["stability", "predictor"]
    with pytest.raises(Exception, match="unknown claim 'g'"):
        chosen("g")
