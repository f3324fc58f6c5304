"""Training steps of one subnet, and calls timed by turns."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median

import torch
import torch.nn.functional as F
from torch import Tensor

from search_spaces import SearchSpace, Subnet

Network = Callable[[Tensor, Subnet], Tensor]


def step(network: Network, subnet: Subnet, images: Tensor, labels: Tensor) -> None:
    """Forward and backward of one subnet; gradients add up in the parameters."""
    torch.autograd.backward(F.cross_entropy(network(images, subnet), labels))


def cpu_ms(calls: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median CPU milliseconds of each call; the calls take turns."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats + 1):
        for name, call in calls.items():
            start = time.process_time()
            call()
            times[name].append(1000 * (time.process_time() - start))
    return {name: median(values[1:]) for name, values in times.items()}  # the first warms up


def random_batch(space: SearchSpace, resolution: int, n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Random images `(n, input_channels, resolution, resolution)` and labels `(n,)`."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn((n, space.input_channels, resolution, resolution), generator=generator)
    return images, torch.randint(space.n_classes, (n,), generator=generator)


def stepping(
    network: Network, subnet: Subnet, images: Tensor, labels: Tensor
) -> Callable[[], None]:
    """A step as a call."""
    return lambda: step(network, subnet, images, labels)


def run_all(calls: Sequence[Callable[[], object]]) -> None:
    """Some calls, one after another."""
    for call in calls:
        call()
