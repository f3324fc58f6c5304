import pytest
import torch
from torch import nn
from torch.multiprocessing.spawn import spawn

from qfa_search.errors import TrainingError
from qfa_search.training.distributed import World, all_agree, join_world
from qfa_search.training.launch import _free_port
from qfa_search.training.sharing import GradientVector, Unit, add_in_order, longest, share

COSTS = [[9.0, 1.0, 4.0], [9.0, 1.0, 3.0]]


def test_whole_parts_are_shared_where_they_can_be():
    assert share(COSTS, 2) == [[Unit(0, (0, 1, 2))], [Unit(1, (0, 1, 2))]]
    assert share(COSTS, 1) == [[Unit(0, (0, 1, 2)), Unit(1, (0, 1, 2))]]


def test_subnets_are_shared_by_cost_where_parts_cannot_be():
    shares = share(COSTS, 3)
    assert shares[:2] == [[Unit(0, (0,))], [Unit(1, (0,))]]
    assert shares[2] == [Unit(0, (1,)), Unit(0, (2,)), Unit(1, (1,)), Unit(1, (2,))]
    assert longest(COSTS, 3) == 9


def test_every_subnet_runs_once_with_any_number_of_processes():
    for n in range(1, 9):
        units = [unit for units in share(COSTS, n) for unit in units]
        pairs = [(unit.part, i) for unit in units for i in unit.subnets]
        assert sorted(pairs) == [(part, i) for part in range(2) for i in range(3)]


def _vector(part, place):
    generator = torch.Generator().manual_seed(10 * part + place)
    return torch.randn(1001, generator=generator) * 10.0 ** (place - part)


def _sum(unit):
    """Of a unit, added up as backward does."""
    total = torch.zeros(1001)
    for place in unit.subnets:
        total += _vector(unit.part, place)
    return total


def _add(rank, n, port, folder):
    import os

    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(n)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    with join_world() as world:
        shares = share(COSTS, n)
        total = add_in_order(map(_sum, shares[rank]), 1001, shares, world)
        torch.save(total, f"{folder}/{rank}.pt")


@pytest.mark.parametrize("n", [2, 3])
def test_the_sum_is_the_same_bit_for_bit_with_any_number_of_processes(n, tmp_path):
    alone = add_in_order(map(_sum, share(COSTS, 1)[0]), 1001, share(COSTS, 1), World())
    spawn(_add, (n, _free_port(), str(tmp_path)), nprocs=n)
    for rank in range(n):
        assert torch.equal(torch.load(tmp_path / f"{rank}.pt"), alone)


def _agree(rank, port, folder):
    import os

    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    with join_world() as world:
        found = [all_agree(7, world), all_agree(7 + rank, world)]
        torch.save(found, f"{folder}/{rank}.pt")


def test_processes_that_would_wait_for_dead_ones_are_told(monkeypatch):
    for name, value in (("WORLD_SIZE", "2"), ("TORCHELASTIC_USE_AGENT_STORE", "True")):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with (
        pytest.raises(TrainingError, match="TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1"),
        join_world(),
    ):
        pass


@pytest.mark.slow
def test_processes_know_whether_they_agree(tmp_path):
    assert all_agree(7, World())
    spawn(_agree, (_free_port(), str(tmp_path)), nprocs=2)
    assert [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)] == [[True, False]] * 2


def test_statistics_of_a_step_are_the_mean_over_parts_that_start_from_the_same():
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.Conv2d(2, 1, 1))
    network[2].requires_grad_(False)
    vector = GradientVector(network)
    images = [torch.randn(4, 1, 3, 3) + shift for shift in (0, 5)]
    parts, means = [], []
    for x in images:
        before = network[1].running_mean.clone()
        network[:2](x).sum().backward()
        means.append(network[1].running_mean.clone())
        parts.append(vector.take())
        assert torch.equal(network[1].running_mean, before)
        assert network[0].weight.grad is None
    vector.put(parts[0] + parts[1], 2)
    assert torch.allclose(network[1].running_mean, (means[0] + means[1]) / 2)
    assert network[0].weight.grad.shape == network[0].weight.shape
    assert network[2].weight.grad is None  # unused: the optimizer leaves it alone


def test_numbers_below_the_smallest_normal_one_are_zero_while_a_cpu_trains(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    tiny = torch.full((1,), 1e-40)
    with join_world():
        assert float(tiny * 1) == 0
    assert float(tiny * 1) > 0
