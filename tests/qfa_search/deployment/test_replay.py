"""The negative controls: faults that a plain comparison of classes would let pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from qfa_search import ExportError
from qfa_search.deployment.comparison import EngineRun, Replay
from qfa_search.deployment.engines import onnx_engine, planned_engine
from qfa_search.deployment.onnx_file import onnx_model
from qfa_search.deployment.plan import LayerPlan, NetworkPlan, network_plan
from qfa_search.deployment.replay import replay
from search_spaces import SearchSpace
from tests.qfa_search.deployment.networks import random_images, random_network

N_IMAGES = 400


@pytest.fixture(scope="module")
def network(toy_space: SearchSpace):
    return random_network(toy_space, toy_space.largest())


@pytest.fixture(scope="module")
def plan(network) -> NetworkPlan:
    return network_plan(network)


def _replayed(network, plan: NetworkPlan, faulty: NetworkPlan) -> Replay:
    """What replay says of an engine that runs `faulty` in place of `plan`."""
    images = random_images(plan.space, N_IMAGES, plan.resolution, seed=7)
    labels = torch.zeros(N_IMAGES, dtype=torch.long)
    (found,) = replay(network, plan, {"faulty": planned_engine(faulty)}, [(images, labels)])
    return found


def _with(plan: NetworkPlan, name: str, change: Callable[[LayerPlan], LayerPlan]) -> NetworkPlan:
    layers = tuple(change(layer) if layer.name == name else layer for layer in plan.layers)
    assert any(new is not old for new, old in zip(layers, plan.layers, strict=True))
    return replace(plan, layers=layers)


def _one_code_off(layer: LayerPlan) -> LayerPlan:
    codes = layer.codes.copy()
    codes.flat[0] += 1 if codes.flat[0] <= 0 else -1
    return replace(layer, codes=codes)


def _scale_off(by: float) -> Callable[[LayerPlan], LayerPlan]:
    def change(layer: LayerPlan) -> LayerPlan:
        grid = layer.grid
        scale, multiplier = grid.scale * (1 + by), grid.multiplier / (1 + by)
        return replace(layer, grid=replace(grid, scale=scale, multiplier=multiplier))

    return change


def _bias_off(by: float) -> Callable[[LayerPlan], LayerPlan]:
    return lambda layer: replace(layer, bias=layer.bias + by)


def test_the_plan_itself_passes(network, plan):
    found = _replayed(network, plan, plan)
    assert found.failure is None
    assert found.n_wrong == 0
    assert found.n_images == found.n_argmax_equal == N_IMAGES
    assert found.n_codes > 10**6
    assert found.top1 == pytest.approx(found.torch_top1, abs=1)
    assert "400 images" in found.summary()


def test_one_weight_code_off_by_one_is_found_in_the_next_input(network, plan):
    found = _replayed(network, plan, _with(plan, "stages.0.1.expand", _one_code_off))
    assert found.n_wrong > 0
    assert "wrong, first in the input of stages.0.1.depthwise" in found.failure


def test_a_scale_off_by_a_thousandth_is_found_in_its_layer(network, plan):
    found = _replayed(network, plan, _with(plan, "stages.0.1.expand", _scale_off(1e-3)))
    assert "wrong, first in the input of stages.0.1.expand" in found.failure


def test_a_scale_off_by_a_hundred_thousandth_gives_too_many_ties(toy_space):
    # At 8 bits, so that few images show it: codes move by up to 255 x 1e-5.
    space = replace(toy_space, bit_choices=(8,))
    network = random_network(space, space.largest())
    plan = network_plan(network)
    assert _replayed(network, plan, plan).failure is None
    found = _replayed(network, plan, _with(plan, "first_block.depthwise", _scale_off(1e-5)))
    assert found.n_argmax_equal == N_IMAGES
    assert "input of first_block.depthwise" in found.failure


def test_a_bias_off_by_a_ten_thousandth_gives_too_many_ties(network, plan):
    found = _replayed(network, plan, _with(plan, "stem", _bias_off(1e-4)))
    assert found.n_wrong == 0
    assert found.n_argmax_equal == N_IMAGES
    assert "are ties" in found.failure
    assert "most in the input of first_block.depthwise" in found.failure


@pytest.mark.slow
@pytest.mark.parametrize("fault", [_scale_off(1e-5), _bias_off(1e-4)])
def test_small_faults_in_a_trained_network_of_4_bits_are_found(fault):
    from qfa_search import extract, load_supernet, recalibrate

    supernet = load_supernet("fashion-mnist")
    network = extract(supernet, supernet.space.largest())
    images = random_images(supernet.space, 100, 28)
    labels = torch.zeros(50, dtype=torch.long)
    recalibrate(network, [(part, labels) for part in images.split(50)], sequential=True)
    plan = network_plan(network)
    faulty = _with(plan, "stages.1.1.depthwise", fault)
    engines = {"as it is": planned_engine(plan), "faulty": planned_engine(faulty)}
    right, wrong = replay(network, plan, engines, [(images, None)])
    assert right.failure is None
    assert wrong.failure is not None
    assert wrong.n_argmax_equal == len(images)


def test_a_bias_of_the_classifier_is_found_in_the_logits(network, plan):
    found = _replayed(network, plan, _with(plan, "classifier", _bias_off(1e-3)))
    assert "logits differ by 0.001" in found.failure
    assert "classifier" in found.failure


def test_an_offset_folded_into_the_bias_is_wrong_at_the_borders(network, plan, tmp_path: Path):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    model = onnx_model(plan)
    index, layer = next(
        (i, la) for i, la in enumerate(plan.layers) if la.name.endswith("1.depthwise")
    )
    subtraction = next(node for node in model.graph.node if node.output[0] == f"{index}.o")
    convolution = next(node for node in model.graph.node if node.input[:1] == [f"{index}.o"])
    convolution.input[0] = subtraction.input[0]
    model.graph.node.remove(subtraction)
    bias = next(t for t in model.graph.initializer if t.name == f"{index}.b")
    folded = layer.bias_counting_from(layer.grid.zero_code).astype(np.float32)
    bias.CopyFrom(onnx.numpy_helper.from_array(folded, bias.name))
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    images = random_images(plan.space, 20, plan.resolution)
    engine = onnx_engine(tmp_path / "m.onnx", plan, "all")
    (found,) = replay(network, plan, {"folded": engine}, [(images, None)])
    reader = plan.layers[index + 1].name
    assert f"wrong, first in the input of {reader}" in found.failure


def test_logits_that_are_no_numbers_fail(network, plan):
    engine = planned_engine(plan)

    def broken(images):
        run = engine(images)
        return EngineRun(run.codes, run.logits * np.float32("nan"))

    images = random_images(plan.space, 4, plan.resolution)
    (found,) = replay(network, plan, {"broken": broken}, [(images, None)])
    assert found.failure is not None
    assert found.top1 is None


def test_an_engine_without_the_codes_of_a_layer_is_refused(network, plan):
    engine = planned_engine(plan)

    def silent(images):
        run = engine(images)
        return EngineRun({k: v for k, v in run.codes.items() if k != "classifier"}, run.logits)

    images = random_images(plan.space, 4, plan.resolution)
    with pytest.raises(ExportError, match="no input codes of classifier"):
        replay(network, plan, {"silent": silent}, [(images, None)])


def test_replay_leaves_the_network_as_it_was(network, plan):
    images = random_images(plan.space, 4, plan.resolution)
    with torch.inference_mode():
        before = network(images)
        replay(network, plan, {"plan": planned_engine(plan)}, [(images, None)])
        assert torch.equal(network(images), before)


def test_no_images_are_no_verification(network, plan):
    with pytest.raises(ExportError, match="at least one batch"):
        replay(network, plan, {"plan": planned_engine(plan)}, [])
