"""What changes when several processes train together (`torchrun`)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
import torch.distributed as dist
from torch import Tensor, nn

from qfa_search.errors import QFAError


@dataclass(frozen=True, slots=True)
class World:
    """This process among those that train together, and the device it computes on."""

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and shows progress."""
        return self.rank == 0

    def parts(self, n_parts: int) -> range:
        """Which parts of a step this process runs.

        Raises:
            QFAError: The parts cannot be shared evenly.
        """
        if n_parts % self.size:
            raise QFAError(
                f"{self.size} processes cannot share {n_parts} parts of a step evenly: start as "
                "many processes as divide it, or give another --parts"
            )
        return range(self.rank, n_parts, self.size)


@contextmanager
def join_world() -> Iterator[World]:
    """The processes that torchrun started, connected; a world of one without torchrun.

    With a GPU, each process takes the one of its local rank. On a CPU each computes in one
    thread: two processes are faster than two threads, and what is computed does not depend on
    the number of cores.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    device = torch.device("cpu")
    if torch.cuda.is_available():
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    with threads_of(device):
        if size == 1:
            yield World(device=device)
            return
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
        try:
            yield World(dist.get_rank(), size, device)
        finally:
            dist.destroy_process_group()


@contextmanager
def threads_of(device: torch.device) -> Iterator[None]:
    """One thread for a CPU; a GPU's process keeps what it has."""
    before = torch.get_num_threads()
    if device.type == "cpu":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def average(values: Sequence[float], world: World) -> tuple[float, ...]:
    """Mean of each value over processes."""
    if world.size == 1:
        return tuple(values)
    flat = torch.tensor(values, dtype=torch.float64, device=world.device)
    dist.all_reduce(flat)
    return tuple((flat / world.size).tolist())


def add_up(values: Tensor, world: World) -> Tensor:
    """Sum over processes of a tensor on the CPU."""
    if world.size == 1:
        return values
    there = values.to(world.device)
    dist.all_reduce(there)
    return there.cpu()


def average_gradients(parameters: Iterable[nn.Parameter], world: World) -> None:
    """Replace every gradient by its mean over processes, in one exchange.

    Gradients of a step are accumulated over its subnets first. A process group wrapper that
    exchanges inside each backward pass would do so once per subnet, and would leave out the
    layers that only an earlier subnet of the step used. A parameter that no process used keeps
    no gradient, so that the optimizer leaves it alone, as it does with one process.
    """
    if world.size == 1:
        return
    chosen = list(parameters)
    is_used = torch.tensor([float(p.grad is not None) for p in chosen], device=world.device)
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in chosen]
    flat = torch.cat([*(g.flatten() for g in gradients), is_used])
    dist.all_reduce(flat)
    *sums, n_users = torch.split_with_sizes(flat, [*(p.numel() for p in chosen), len(chosen)])
    for parameter, total, users in zip(chosen, sums, n_users.tolist(), strict=True):
        parameter.grad = (total / world.size).view_as(parameter) if users else None
