"""What changes when several processes train together (`torchrun`)."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
import torch.distributed as dist
from torch import Tensor

from qfa_search.errors import TrainingError


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
    with threads_of(device), tiny_numbers_are_zero():
        if size == 1:
            yield World(device=device)
            return
        backend = "nccl" if device.type == "cuda" else "gloo"
        _check_meeting_place(backend)
        dist.init_process_group(backend)
        try:
            yield World(dist.get_rank(), size, device)
        finally:
            dist.destroy_process_group()


def _check_meeting_place(backend: str) -> None:
    """Refuse to meet where processes of an earlier try left their addresses: gloo would wait."""
    is_again = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") != "0"
    is_shared = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    if backend == "gloo" and is_again and is_shared:
        raise TrainingError(
            "torchrun started this process again, with the addresses of those that ended: set "
            "TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 for torchrun, and start the command again "
            "with --resume"
        )


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


@contextmanager
def tiny_numbers_are_zero() -> Iterator[None]:
    """A CPU takes subnormal numbers for 0 in this thread.

    The momentum of a channel that ReLU has shut shrinks to such numbers in some thousand steps, and
    products with them take many times as long: whole trainings took twice to three times.
    """
    was_on = bool(torch.full((1,), 1e-40).mul(1.0) == 0)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(was_on)


def add_numbers(values: Sequence[float], world: World) -> list[float]:
    """Sum of each value over processes."""
    if world.size == 1:
        return list(values)
    flat = torch.tensor(values, dtype=torch.float64, device=world.device)
    dist.all_reduce(flat)
    return [float(value) for value in flat.tolist()]


def all_agree(value: int, world: World) -> bool:
    """Whether all processes call this with the same number; each gets the same answer."""
    total, squares = add_numbers([float(value), float(value) ** 2], world)
    return world.size * squares == total**2  # no spread, exactly: these are whole numbers


def add_up(values: Tensor, world: World) -> Tensor:
    """Sum over processes of a tensor on the CPU."""
    if world.size == 1:
        return values
    there = values.to(world.device)
    dist.all_reduce(there)
    return there.cpu()
