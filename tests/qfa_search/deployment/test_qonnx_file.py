from dataclasses import replace

import numpy as np
import pytest
import torch

import predictors
import search_spaces
from qfa_search.deployment.engines import qonnx_engine
from qfa_search.deployment.plan import network_plan
from qfa_search.deployment.qonnx_file import qonnx_model
from qfa_search.deployment.replay import replay
from tests.qfa_search.deployment.networks import random_images, random_network

pytest.importorskip("onnx")
pytest.importorskip("qonnx")


def _inference_cost(network):
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.util.inference_cost import inference_cost

    model = ModelWrapper(qonnx_model(network_plan(network)))
    return inference_cost(model, discount_sparsity=False)["total_cost"]


def _with_bits_apart(space):
    return replace(space, w_bit_choices=(1, 5), a_bit_choices=(1, 6, 8))


@pytest.mark.parametrize("seed", range(4))
def test_random_subnets_run_equally_in_the_executor(toy_space, tmp_path, seed):
    space = _with_bits_apart(toy_space) if seed == 3 else toy_space
    network = random_network(space, space.sample(np.random.default_rng(seed)), seed)
    if seed == 3:
        with torch.no_grad():
            network.layers["first_block/depthwise"].norm.weight[:3] = 0
    plan = network_plan(network)
    path = tmp_path / "q.onnx"
    path.write_bytes(qonnx_model(plan).SerializeToString())
    images = random_images(space, 20, plan.resolution, seed=9)
    (found,) = replay(network, plan, {"qonnx": qonnx_engine(path, plan)}, [(images, None)])
    assert found.failure is None


@pytest.mark.parametrize("member", ["smallest", pytest.param("largest", marks=pytest.mark.slow)])
def test_inference_cost_is_the_cost_model(member):
    space = search_spaces.load("fashion-mnist")
    subnet = getattr(space, member)()
    cost = _inference_cost(random_network(space, subnet))
    assert cost["total_bops"] == predictors.bitops(space, subnet)
    assert cost["total_macs"] == predictors.macs(space, subnet)


@pytest.mark.parametrize("is_apart", [False, True])
def test_inference_cost_counts_weights_at_their_bits(toy_space, is_apart):
    stages = tuple(replace(stage, has_se=False) for stage in toy_space.stages)
    space = replace(toy_space, stages=stages)
    if is_apart:  # not 1-bit weights, which it counts as floating point
        space = replace(space, w_bit_choices=(5, 7), a_bit_choices=(1, 6, 8))
    subnet = space.sample(np.random.default_rng(5))
    specs = search_spaces.layer_specs(space, subnet)
    cost = _inference_cost(random_network(space, subnet))
    assert cost["total_bops"] == predictors.bitops(space, subnet)
    assert cost["total_mem_w_bits"] == sum(s.n_weights * s.bits.w_bits for s in specs)
