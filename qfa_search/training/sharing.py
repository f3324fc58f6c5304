"""Which parts of a step, or which of their subnets, each process runs, and the sum of it all.

Statistics belong to a pair of part and subnet, so any process may run it; and what the pairs of a
step gave is added up in one order, whoever has it. So the number of processes changes the speed
and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from qfa_search.training.distributed import World


@dataclass(frozen=True, slots=True, order=True)
class Unit:
    """What one process runs by itself in a step: a whole part, or one subnet of it.

    Attributes:
        part: Of the step.
        subnets: Places of the part's subnets, all or one.
    """

    part: int
    subnets: tuple[int, ...]


def share(costs: Sequence[Sequence[float]], n_processes: int) -> list[list[Unit]]:
    """The units of each process, in ascending order; a process may be left without any.

    Whole parts, where all processes can have as many: then no batch is made twice. Else the
    costliest subnet goes first, each to the process that has least to do.

    Args:
        costs: Time of each subnet of each part, in any unit.
        n_processes: That share a step.
    """
    if len(costs) % n_processes == 0:
        whole = [Unit(part, tuple(range(len(of_part)))) for part, of_part in enumerate(costs)]
        return [whole[rank::n_processes] for rank in range(n_processes)]
    pairs = [(-cost, part, i) for part, of in enumerate(costs) for i, cost in enumerate(of)]
    shares: list[list[Unit]] = [[] for _ in range(n_processes)]
    loads = [0.0] * n_processes
    for negative_cost, part, i in sorted(pairs):
        least = loads.index(min(loads))
        shares[least].append(Unit(part, (i,)))
        loads[least] -= negative_cost
    return [sorted(units) for units in shares]


def longest(costs: Sequence[Sequence[float]], n_processes: int) -> float:
    """What the process takes that has most to do."""
    return max(
        sum(costs[unit.part][i] for unit in units for i in unit.subnets)
        for units in share(costs, n_processes)
    )


def add_in_order(
    vectors: Iterable[Tensor], length: int, shares: Sequence[Sequence[Unit]], world: World
) -> Tensor:
    """Sum of the vectors of all processes: of each part by itself, then over parts.

    Each process gets a slice of every vector, adds the slices up and gives its sum to all.

    Args:
        vectors: One `(length,)` for each unit of this process.
        length: Of a vector.
        shares: The units of all processes.
        world: This process among them.
    """
    if world.size == 1:
        return reduce(torch.add, vectors)
    n, most = world.size, max(map(len, shares))
    width = -(-length // n)
    mine = torch.zeros(n, most, width, device=world.device)
    for i, vector in enumerate(vectors):
        mine[:, i] = F.pad(vector, (0, n * width - length)).view(n, width)
    slices = torch.empty_like(mine)
    dist.all_to_all_single(slices, mine)
    by_part: dict[int, list[Tensor]] = {}
    places = ((unit, rank, i) for rank, units in enumerate(shares) for i, unit in enumerate(units))
    for unit, rank, i in sorted(places):
        by_part.setdefault(unit.part, []).append(slices[rank, i])
    total = reduce(torch.add, (reduce(torch.add, of_part) for of_part in by_part.values()))
    gathered = [torch.empty_like(total) for _ in range(n)]
    dist.all_gather(gathered, total)
    return torch.cat(gathered)[:length]


class GradientVector:
    """What running a unit leaves in a network, as one vector.

    Gradients, which parameters have one, and the running statistics of batch norms that keep
    such (the dense teacher's): those after a step are the mean over its parts, each of which
    starts from those before it.

    Attributes:
        length: Of the vector.
    """

    def __init__(self, network: nn.Module) -> None:
        """Of `network`, whose parameters and norms stay the same."""
        self._parameters = list(network.parameters())
        self._statistics = [
            statistic
            for norm in network.modules()
            if isinstance(norm, nn.BatchNorm2d)
            for statistic in (norm.running_mean, norm.running_var)
            if statistic is not None
        ]
        self._before = [statistic.clone() for statistic in self._statistics]
        self._sizes = [x.numel() for x in (*self._parameters, *self._statistics)]
        self.length = sum(self._sizes) + len(self._parameters)

    def take(self) -> Tensor:
        """The vector `(length,)` of what ran since the last call, which the network forgets."""
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in self._parameters]
        flat = [x.flatten() for x in (*gradients, *self._statistics)]
        is_used = flat[0].new_tensor([float(p.grad is not None) for p in self._parameters])
        vector = torch.cat([*flat, is_used])
        for parameter in self._parameters:
            parameter.grad = None
        self.forget_statistics()
        return vector

    def forget_statistics(self) -> None:
        """Let running statistics be those before what ran since the last call."""
        with torch.no_grad():
            for statistic, before in zip(self._statistics, self._before, strict=True):
                statistic.copy_(before)

    def put(self, total: Tensor, n_parts: int) -> None:
        """Leave the sum over the units of a step in the network.

        A parameter that no unit used keeps no gradient, so that the optimizer leaves it alone.
        """
        *flat, users = torch.split_with_sizes(total, [*self._sizes, len(self._parameters)])
        n_parameters = len(self._parameters)
        gradients, sums = flat[:n_parameters], flat[n_parameters:]
        for parameter, gradient, n in zip(self._parameters, gradients, users.tolist(), strict=True):
            parameter.grad = None
            if n:  # laid out as the parameter is, as backward leaves it
                parameter.grad = torch.empty_like(parameter).copy_(gradient.view_as(parameter))
        for statistic, summed in zip(self._statistics, sums, strict=True):
            statistic.copy_(summed.view_as(statistic) / n_parts)
        self._before = [statistic.clone() for statistic in self._statistics]
