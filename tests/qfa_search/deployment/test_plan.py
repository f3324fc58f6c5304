from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from qfa_search import ExportError, extract
from qfa_search.deployment.plan import network_plan
from qfa_search.supernet.elastic import activate
from qfa_search.supernet.mobilenet_v3 import Supernet, key
from search_spaces import SearchSpace
from tests.qfa_search.deployment.networks import random_images, random_network


def _subnets(space: SearchSpace):
    rng = np.random.default_rng(0)
    return [space.smallest(), space.largest(), *(space.sample(rng) for _ in range(4))]


def _own_inputs(network, images):
    """What every layer of the network reads and gives, by name."""
    seen = {}
    hooks = [
        layer.register_forward_hook(
            lambda _, inputs, output, name=name: seen.update({name: (inputs[0], output)})
        )
        for name, layer in network.layers.items()
    ]
    with torch.inference_mode():
        logits = network(images)
    for hook in hooks:
        hook.remove()
    return seen, logits


def _layer_output(layer, x):
    """The planned layer in float64 by the formulas of plan's docstring."""
    spec, x = layer.spec, x.double()
    gain, bias = torch.tensor(layer.gain), torch.tensor(layer.bias)
    weights = torch.tensor(layer.weights if layer.codes is None else layer.codes).double()
    unit = 1.0
    if layer.grid is not None:
        grid = layer.grid
        codes = (x * grid.multiplier + grid.zero).clamp(0, grid.top).round()
        x, unit = codes - grid.zero, grid.scale
    scale = unit * layer.step * gain
    if spec.kind == "linear":
        return F.linear(x, weights) * scale + bias
    x = F.conv2d(x, weights, None, spec.stride, layer.padding, groups=spec.groups)
    x = x * scale.view(-1, 1, 1) + bias.view(-1, 1, 1)
    return activate(x, spec.activation)


@pytest.mark.parametrize("at", range(6))
def test_every_planned_layer_gives_what_the_network_gives(toy_space, at):
    subnet = _subnets(toy_space)[at]
    network = random_network(toy_space, subnet, seed=at)
    seen, _ = _own_inputs(network, random_images(toy_space, 5, subnet.resolution))
    for layer in network_plan(network).layers:
        x, expected = seen[key(layer.spec)]
        error = (_layer_output(layer, x) - expected).abs()
        assert float(error.max()) < 1e-4 * max(1.0, float(expected.abs().max())), layer.name


def test_weight_codes_times_step_are_the_quantized_weights_bit_for_bit(toy_space):
    network = random_network(toy_space, toy_space.sample(np.random.default_rng(1)))
    for layer in network_plan(network).layers:
        module = network.layers[key(layer.spec)]
        expected = module.weight_quantizer(module.weight).detach().numpy()
        if layer.codes is None:
            assert np.array_equal(layer.weights, expected)
            continue
        assert layer.codes.dtype == np.int8
        assert np.array_equal(layer.codes * np.float32(layer.step), expected)
        half = 2 ** (layer.spec.bits.w_bits - 1)
        assert -half <= layer.codes.min()
        assert layer.codes.max() < half


def test_the_data_flow_is_that_of_the_network(toy_space):
    network = random_network(toy_space, toy_space.largest())
    images = random_images(toy_space, 3, 16)
    seen, logits = _own_inputs(network, images)
    values = [images]
    for layer in network_plan(network).layers:
        x = values[-1]
        if layer.pools_input:
            x = x.mean((2, 3), keepdim=True)
        if layer.spec.kind == "linear":
            x = x.flatten(1)
        read, value = seen[key(layer.spec)]
        torch.testing.assert_close(x, read)
        if layer.gates is not None:
            value = values[layer.gates + 1] * value
        if layer.adds is not None:
            value = value + values[layer.adds + 1]
        values.append(value)
    assert torch.equal(values[-1], logits)


@pytest.mark.parametrize("offset", [-2.0, -0.25, 0.0, 0.4, 2.0])
def test_zero_code_and_fraction_add_up_to_the_zero(toy_space, offset):
    plan = network_plan(random_network(toy_space, toy_space.smallest(), offset=offset))
    for layer in plan.layers:
        if layer.grid is None:
            continue
        assert 0 <= layer.grid.zero_code <= layer.grid.top
        assert layer.grid.zero_code + layer.grid.fraction == pytest.approx(layer.grid.zero)
        if offset == 0:
            assert layer.grid.fraction == 0


def test_bias_takes_the_offset_of_a_layer_without_padding(toy_space):
    network = random_network(toy_space, toy_space.smallest())
    layer = next(x for x in network_plan(network).layers if x.name == "final_expand")
    codes = torch.randint(0, layer.grid.top + 1, (2, layer.spec.in_channels, 3, 3)).double()
    weights = torch.tensor(layer.folded_weights())
    real = F.conv2d((codes - layer.grid.zero) * layer.grid.scale, weights, torch.tensor(layer.bias))
    for zero in (0, layer.grid.zero_code):
        bias = torch.tensor(layer.bias_counting_from(zero))
        counted = F.conv2d((codes - zero) * layer.grid.scale, weights, bias)
        torch.testing.assert_close(counted, real)


def test_a_float_network_keeps_its_weights(toy_space):
    space = replace(toy_space.in_floating_point(), name="float")
    plan = network_plan(random_network(space, space.smallest()))
    assert all(layer.grid is None and layer.codes is None for layer in plan.layers)
    assert all(layer.weights.dtype == np.float32 for layer in plan.layers)


def test_a_network_that_was_never_recalibrated_is_refused(toy_space):
    network = extract(Supernet(toy_space), toy_space.smallest())
    with pytest.raises(ExportError, match="never recalibrated"):
        network_plan(network)


def test_a_network_in_training_mode_is_refused(toy_space):
    with pytest.raises(ExportError, match="evaluation mode"):
        network_plan(random_network(toy_space, toy_space.smallest()).train())


def test_a_step_that_no_file_can_carry_is_named(toy_space):
    network = random_network(toy_space, toy_space.smallest())
    with torch.no_grad():
        network.layers["first_block/project"].weight_quantizer.scale.zero_()
    with pytest.raises(ExportError, match=r"first_block\.project is 0"):
        network_plan(network)


def test_class_names_of_the_wrong_number_are_refused(toy_space):
    network = random_network(toy_space, toy_space.smallest())
    with pytest.raises(ValueError, match="expected 4 class names, got 2"):
        network_plan(network, class_names=["a", "b"])
