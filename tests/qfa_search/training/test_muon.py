import pytest
import torch
from torch import nn

from qfa_search.supernet.mobilenet_v3 import Supernet
from qfa_search.training.config import TrainConfig
from qfa_search.training.muon import MOMENTUM, orthogonalized
from qfa_search.training.optimizer import make_optimizer, set_rate
from qfa_search.training.teacher import dense_teacher

MUON = TrainConfig(optimizer="muon", weight_decay=0.1)


@pytest.mark.parametrize("shape", [(8, 24), (24, 8), (16, 16)])
def test_singular_values_become_about_one_and_vectors_stay(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    values = u.T @ orthogonalized(matrix) @ v.T
    diagonal = values.diagonal()
    assert (diagonal > 0.68).all()
    assert (diagonal < 1.21).all()
    assert torch.allclose(values, torch.diag(diagonal), atol=1e-4)


def test_a_matrix_of_zeros_stays():
    assert not orthogonalized(torch.zeros(4, 6)).any()


def orthogonal_names(network):
    optimizer = make_optimizer(network, MUON)
    (group,) = (g for g in optimizer.param_groups if g.get("is_orthogonal"))
    of_group = {id(p) for p in group["params"]}
    return {name for name, p in network.named_parameters() if id(p) in of_group}


def test_convolutions_that_mix_channels_are_orthogonal_in_a_supernet(toy_space):
    supernet = Supernet(toy_space)
    names = orthogonal_names(supernet)
    kinds = {name.split(".")[1].split("/")[-1] for name in names}
    assert {"expand", "project"} <= kinds
    assert not kinds & {"stem", "depthwise", "classifier"}
    assert all(name.endswith("weight") for name in names)


def test_hidden_convolutions_are_orthogonal_in_a_teacher(toy_space):
    names = orthogonal_names(dense_teacher(toy_space, 8))
    assert names
    assert not any(name.startswith(("stem", "classifier")) for name in names)


def test_a_step_is_muons_for_matrices_and_adamws_for_the_rest():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(6, 12, 1, bias=False), nn.Flatten(), nn.Linear(12, 3))
    optimizer = make_optimizer(network, MUON)
    set_rate(optimizer, 0.01)
    images = torch.randn(5, 6, 1, 1)
    network(images).square().mean().backward()
    weight = network[0].weight
    before, gradient = weight.detach().clone(), weight.grad.clone()
    linear, bias = (p.detach().clone() for p in network[2].parameters())
    signs = [p.grad.sign() for p in network[2].parameters()]
    optimizer.step()

    step = orthogonalized(((1 - MOMENTUM) * (1 + MOMENTUM) * gradient).flatten(1))
    expected = before * (1 - 0.1 * 0.1) - 0.1 * 2**0.5 * step.view_as(before)
    assert torch.allclose(weight, expected, atol=1e-6)
    # AdamW's first step is the rate along each sign.
    assert torch.allclose(network[2].weight, linear * (1 - 0.001) - 0.01 * signs[0], atol=1e-5)
    assert torch.allclose(network[2].bias, bias - 0.01 * signs[1], atol=1e-5)


def test_its_state_is_saved_and_loaded(toy_space):
    torch.manual_seed(0)
    supernet = Supernet(toy_space)
    optimizers = [make_optimizer(supernet, MUON) for _ in range(2)]
    set_rate(optimizers[0], 0.01)
    for parameter in supernet.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimizers[0].step()
    optimizers[1].load_state_dict(optimizers[0].state_dict())
    momenta = [{name for state in o.state.values() for name in state} for o in optimizers]
    assert momenta[0] == momenta[1]
    assert "exp_avg" in momenta[1]
