from dataclasses import replace

import numpy as np
import pytest

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


@pytest.mark.parametrize("seed", range(3))
def test_random_subnets_run_equally_in_the_executor(toy_space, tmp_path, seed):
    network = random_network(toy_space, toy_space.sample(np.random.default_rng(seed)), seed)
    plan = network_plan(network)
    path = tmp_path / "q.onnx"
    path.write_bytes(qonnx_model(plan).SerializeToString())
    images = random_images(toy_space, 20, plan.resolution, seed=9)
    (found,) = replay(network, plan, {"qonnx": qonnx_engine(path, plan)}, [(images, None)])
    assert found.failure is None


@pytest.mark.parametrize("member", ["smallest", pytest.param("largest", marks=pytest.mark.slow)])
def test_inference_cost_is_the_cost_model(member):
    space = search_spaces.load("fashion-mnist")
    subnet = getattr(space, member)()
    cost = _inference_cost(random_network(space, subnet))
    assert cost["total_bops"] == predictors.bitops(space, subnet)
    assert cost["total_macs"] == predictors.macs(space, subnet)


def test_inference_cost_counts_weights_at_their_bits(toy_space):
    stages = tuple(replace(stage, has_se=False) for stage in toy_space.stages)
    space = replace(toy_space, stages=stages)
    subnet = space.sample(np.random.default_rng(5))
    specs = search_spaces.layer_specs(space, subnet)
    cost = _inference_cost(random_network(space, subnet))
    assert cost["total_bops"] == predictors.bitops(space, subnet)
    assert cost["total_mem_w_bits"] == sum(s.n_weights * s.bits.w_bits for s in specs)
