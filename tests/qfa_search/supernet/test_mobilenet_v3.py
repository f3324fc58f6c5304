from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import search_spaces
from predictors import macs
from qfa_search.quantizers.batchquant import BatchQuant
from qfa_search.quantizers.functional import batch_range
from qfa_search.supernet.extract import extract
from qfa_search.supernet.mobilenet_v3 import Supernet
from qfa_search.supernet.recalibrate import recalibrate
from qfa_search.supernet.storage import read_supernet, save_supernet
from search_spaces import layer_specs


@pytest.fixture(scope="module")
def toy_supernet(toy_space):
    """A supernet with no parameter left at its neutral value."""
    torch.manual_seed(0)
    supernet = Supernet(toy_space)
    with torch.no_grad():
        for name, parameter in supernet.named_parameters():
            if not name.endswith((".weight", ".weight_scale")):
                parameter.add_(0.1 * torch.randn_like(parameter))
    return supernet


def _subnets(space, n=5):
    rng = np.random.default_rng(0)
    return [space.smallest(), space.largest(), *(space.sample(rng) for _ in range(n))]


def _images(space, subnet, n=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shape = n, space.input_channels, subnet.resolution, subnet.resolution
    return torch.randn(shape, generator=generator)


def test_supernet_and_extracted_network_agree_in_training_mode(toy_space, toy_supernet):
    for subnet in _subnets(toy_space):
        x = _images(toy_space, subnet)
        network = extract(toy_supernet, subnet).train()
        torch.testing.assert_close(network(x), toy_supernet(x, subnet), rtol=0, atol=1e-5)


def test_supernet_and_extracted_network_agree_for_the_bundled_space():
    space = search_spaces.load("fashion-mnist")
    supernet = Supernet(space)
    for subnet in _subnets(space, n=2):
        x = _images(space, subnet)
        network = extract(supernet, subnet).train()
        torch.testing.assert_close(network(x), supernet(x, subnet), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("w_bit_choices", "a_bit_choices"), [((2, 4, 8), (8,)), ((1, 5), (1, 3, 6)), ((32,), (4,))]
)
def test_supernet_and_extracted_network_agree_with_bits_apart(
    toy_space, w_bit_choices, a_bit_choices
):
    space = replace(toy_space, w_bit_choices=w_bit_choices, a_bit_choices=a_bit_choices)
    torch.manual_seed(0)
    supernet = Supernet(space)
    for subnet in _subnets(space):
        x = _images(space, subnet)
        y = supernet(x, subnet)
        assert y.isfinite().all()
        torch.testing.assert_close(extract(supernet, subnet).train()(x), y, rtol=0, atol=1e-5)


def test_gradients_of_unused_slices_are_exactly_zero(toy_space, toy_supernet):
    subnet = toy_space.smallest()
    toy_supernet.zero_grad()
    toy_supernet(_images(toy_space, subnet), subnet).square().sum().backward()
    used = {spec.name.replace(".", "/"): spec for spec in layer_specs(toy_space, subnet)}
    for name, layer in toy_supernet.layers.items():
        if name not in used:
            assert all(p.grad is None or not p.grad.any() for p in layer.parameters())
            continue
        spec = used[name]
        assert layer.weight.grad.any()
        assert not layer.weight.grad[spec.out_channels :].any()
        if spec.groups == 1:
            assert not layer.weight.grad[:, spec.in_channels :].any()
        if spec.bits.a_bits <= 8:
            for table, at in (
                (layer.input_alpha, layer.a_index(spec)),
                (layer.weight_scale, layer.w_index(spec)),
            ):
                others = torch.ones_like(table, dtype=torch.bool)
                others[at] = False
                assert not table.grad[others].any()


@pytest.mark.parametrize("name", ["fashion-mnist", "mobilenet-v3-w1.0"])
def test_macs_equal_what_torch_counts_in_a_forward_pass(name):
    space = search_spaces.load(name)
    supernet = Supernet(space)
    for subnet in [space.smallest(), space.sample(np.random.default_rng(1))]:
        network = extract(supernet, subnet)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network(_images(space, subnet, n=1))
        assert counter.get_total_flops() == 2 * macs(space, subnet)


def test_float_bits_leave_a_layer_unquantized(toy_space):
    float_space = toy_space.in_floating_point()
    supernet = Supernet(float_space)
    network = extract(supernet, float_space.largest())
    assert not any(isinstance(module, BatchQuant) for module in network.modules())


def test_extraction_refuses_a_subnet_of_another_space(toy_supernet):
    foreign = search_spaces.load("fashion-mnist").smallest()
    with pytest.raises(ValueError, match="stages"):
        extract(toy_supernet, foreign)


def test_changing_an_extracted_network_leaves_the_supernet_alone(toy_space, toy_supernet):
    before = {k: v.clone() for k, v in toy_supernet.state_dict().items()}
    network = extract(toy_supernet, toy_space.largest())
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    assert all(torch.equal(v, before[k]) for k, v in toy_supernet.state_dict().items())


def test_recalibration_on_one_batch_repeats_that_batch_in_evaluation_mode(toy_space, toy_supernet):
    subnet = toy_space.largest()
    network = extract(toy_supernet, subnet).double()
    x = _images(toy_space, subnet, n=16).double()
    with torch.no_grad():
        expected = network.train()(x)
    recalibrate(network, [(x, torch.zeros(16))])
    assert not network.training
    with torch.no_grad():
        torch.testing.assert_close(network(x), expected)


def test_recalibration_weights_batches_by_their_images(toy_space, toy_supernet):
    subnet = toy_space.smallest()
    batches = [(_images(toy_space, subnet, n, seed=n), None) for n in (6, 2)]
    singles = []
    for batch in batches:
        network = extract(toy_supernet, subnet)
        recalibrate(network, [batch])
        singles.append(network.layers["stem"].norm.running_mean.clone())
    network = extract(toy_supernet, subnet)
    recalibrate(network, batches)
    expected = (6 * singles[0] + 2 * singles[1]) / 8
    torch.testing.assert_close(network.layers["stem"].norm.running_mean, expected)


@pytest.mark.parametrize("sequential", [False, True])
def test_recalibration_needs_images(toy_space, toy_supernet, sequential):
    with pytest.raises(ValueError, match="at least one batch"):
        recalibrate(extract(toy_supernet, toy_space.smallest()), [], sequential=sequential)


def test_sequential_recalibration_sets_what_the_evaluated_network_sees(toy_space, toy_supernet):
    subnet = toy_space.smallest()
    network = extract(toy_supernet, subnet).double()
    batches = [(_images(toy_space, subnet, n, seed=n).double(), None) for n in (6, 2)]
    recalibrate(network, batches, sequential=True)
    assert not network.training
    seen = {}
    for name, layer in network.layers.items():
        for part in (layer.input_quantizer, layer.norm):
            part.register_forward_pre_hook(lambda m, x, key=(name, part): seen.update({key: x[0]}))
    with torch.no_grad():
        network(torch.cat([images for images, _ in batches]))
    for (_, part), x in seen.items():
        if isinstance(part, BatchQuant):
            ends = zip(batch_range(x[:6]), batch_range(x[6:]), strict=True)
            expected = [(6 * first + 2 * second) / 8 for first, second in ends]
            found = [part.running_min, part.running_max]
        elif isinstance(part, torch.nn.BatchNorm2d):
            expected = [x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)]
            found = [part.running_mean, part.running_var]
        else:
            continue
        torch.testing.assert_close(found, expected)


def test_sequential_recalibration_of_one_batch_equals_the_published_one(toy_space, toy_supernet):
    subnet = toy_space.largest()
    batch = [(_images(toy_space, subnet, n=16).double(), None)]
    states = []
    for sequential in (False, True):
        network = extract(toy_supernet, subnet).double()
        recalibrate(network, batch, sequential=sequential)
        state = network.state_dict()
        states.append({k: v for k, v in state.items() if not k.endswith("num_batches_tracked")})
    torch.testing.assert_close(states[0], states[1])


def test_a_saved_supernet_reads_back_equal(tmp_path, toy_space, toy_supernet):
    save_supernet(tmp_path / "s.safetensors", toy_supernet, {"split": {"seed": 0}})
    found, metadata = read_supernet(tmp_path / "s.safetensors")
    assert found.space == toy_space
    assert metadata["split"] == {"seed": 0}
    for name, value in toy_supernet.state_dict().items():
        assert torch.equal(found.state_dict()[name], value)


@pytest.mark.parametrize("damage", ["missing", "truncated", "foreign"])
def test_an_unreadable_supernet_is_refused_by_name(tmp_path, toy_supernet, damage):
    path = tmp_path / "s.safetensors"
    save_supernet(path, toy_supernet, {})
    if damage == "missing":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:-100])
    else:
        path.write_bytes(b"not a supernet at all")
    with pytest.raises(ValueError, match=r"s\.safetensors"):
        read_supernet(path)


def test_maps_in_parts_give_the_statistics_of_one_pass_over_all_images(toy_supernet, toy_space):
    batches = [(torch.rand(16, 1, 16, 16), torch.zeros(16)) for _ in range(3)]
    for subnet in (toy_space.largest(), toy_space.smallest()):
        subnet = replace(subnet, resolution=16)
        in_parts = extract(toy_supernet, subnet)
        recalibrate(in_parts, batches, sequential=True)
        in_one = extract(toy_supernet, subnet)
        recalibrate(nn.Sequential(in_one), batches, sequential=True)
        for name, value in in_one.state_dict().items():
            assert torch.equal(in_parts.state_dict()[name], value), name
