import math

import numpy as np
import pytest
import torch

from benchmarks.claims.activation_steps import (
    LSQ_RULE,
    RELEASED_RULE,
    FixedStep,
    first_step,
    learned_step_supernet,
    quantize_by_step,
    static_network,
)
from qfa_search.supernet.mobilenet_v3 import Supernet
from qfa_search.supernet.recalibrate import recalibrate


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
    by_data = learned_step_supernet(toy_space, LSQ_RULE)
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

    released = learned_step_supernet(toy_space, RELEASED_RULE)
    released(x, subnet)
    for name, value in released.state_dict().items():
        assert not name.endswith("input_step") or (value == 1).all()


def test_a_static_network_computes_what_its_learned_step_supernet_does(toy_space):
    torch.manual_seed(0)
    subnet = toy_space.sample(np.random.default_rng(3))
    x = torch.randn(16, 1, subnet.resolution, subnet.resolution)
    supernet = learned_step_supernet(toy_space, LSQ_RULE)
    expected = supernet(x, subnet)
    network = static_network(supernet, subnet)
    recalibrate(network, [(x, torch.zeros(16))], 1)
    steps = [m for m in network.modules() if isinstance(m, FixedStep)]
    assert len(steps) > 5
    torch.testing.assert_close(network(x), expected, rtol=1e-4, atol=1e-4)


def test_without_learned_steps_static_networks_are_the_usual_ones(toy_space):
    network = static_network(Supernet(toy_space), toy_space.largest())
    assert not any(isinstance(module, FixedStep) for module in network.modules())
