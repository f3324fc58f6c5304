"""Running statistics of a static network, recomputed from batches.

Shared weights see other activations in every subnet, so the statistics of norms and activation
quantizers belong to the subnet and are measured after extraction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice

import torch
from torch import Tensor, nn

from qfa_search.quantizers.batchquant import BatchQuant
from qfa_search.quantizers.functional import batch_range
from qfa_search.supernet.chunks import Chunks
from qfa_search.supernet.extract import StaticLayer, StaticNetwork
from qfa_search.supernet.mobilenet_v3 import key, run_layers
from search_spaces import LayerSpec

Batches = Iterable[tuple[Tensor, Tensor]]

# A multiple of what torch sums at once, so that the rest of the channels is summed as in one piece.
CHANNELS_AT_A_TIME = 64

NO_BATCH = "recalibration needs at least one batch of training images, got none"


@torch.no_grad()
def recalibrate(
    network: nn.Module, loader: Batches, n_batches: int = 30, *, sequential: bool = False
) -> None:
    """Write the statistics of `n_batches` batches into norms and activation quantizers.

    As published, every batch runs on its own statistics, as in training, and the running ones
    become the average over batches weighted by images: mean and biased variance of norms,
    extremes of quantizers. At few bits that average may describe no batch: where a plain
    background lies near a rounding threshold, it falls to one side in some batches and to the
    other in the rest, and the network that runs on averages sees what it never saw.

    `sequential` avoids this: all batches go through the network in evaluation mode, and each
    quantizer and norm is set when they reach it, from what the layers before it, set already,
    really give: norms from all images together, quantizers from the mean over batches of the
    extremes.

    Args:
        network: A static network; changed in place and left in evaluation mode.
        loader: Batches of (images, labels) of the training split; labels are not used.
        n_batches: How many to use, at most.
        sequential: Layer by layer instead of batch by batch; memory holds the maps
            of one layer of all images.

    Raises:
        ValueError: `loader` is empty or `n_batches` is below 1.
    """
    batches = (images for images, _ in islice(loader, n_batches))
    if sequential:
        _set_in_order(network, list(batches))
        return
    run = Recalibration(network)
    for images in batches:
        run.add(images)
    run.finish()


def has_statistics(network: nn.Module) -> bool:
    """Whether recalibration or training ever wrote statistics into quantizers and norms.

    A supernet that was trained here carries none, and what is extracted from it has none.
    """
    quantizers = [module for module in network.modules() if isinstance(module, BatchQuant)]
    if quantizers:
        return any(bool(q.running_min != q.running_max) for q in quantizers)
    norms = [
        module
        for module in network.modules()
        if isinstance(module, nn.BatchNorm2d) and module.track_running_stats
    ]
    return not norms or any(
        bool((norm.running_mean != 0).any() or (norm.running_var != 1).any())  # type: ignore[union-attr]
        for norm in norms
    )


def _set_in_order(network: nn.Module, batches: Sequence[Tensor]) -> None:
    """Set every quantizer and norm just before it runs, in one pass over all images."""
    if not batches:
        raise ValueError(NO_BATCH)
    network.eval()
    device = next(network.parameters()).device
    sizes = [len(images) for images in batches]
    images = Chunks(batch.to(device) for batch in batches)
    if isinstance(network, StaticNetwork):
        _run_and_set(network, images, sizes)
        return

    def set_statistics(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        _set_statistics(module, Chunks(torch.split(inputs[0], sizes)), sizes)

    with _before_quantizers_and_norms(network, set_statistics):
        network(images.joined())


def _run_and_set(network: StaticNetwork, images: Chunks, sizes: Sequence[int]) -> None:
    """Run a network on batches of the given sizes, layer by layer, each set before it runs."""
    specs = network.specs
    with_residual = {spec.block for spec in specs if spec.adds_residual}
    starts = {spec.block: spec for spec in reversed(specs)}

    def run(spec: LayerSpec, x: Chunks) -> Chunks:
        layer = network.layers[key(spec)]
        assert isinstance(layer, StaticLayer)
        # A residual addition needs what its block began with once more.
        x.is_kept = spec.block in with_residual and starts[spec.block] is spec
        _set_statistics(layer.input_quantizer, x, sizes)
        x = x.map(layer.convolved)
        _set_statistics(layer.norm, x, sizes)
        return x.map(layer.finished)

    run_layers(images, specs, run)


def _set_statistics(module: nn.Module, inputs: Chunks, sizes: Sequence[int]) -> None:
    """Set a quantizer or a norm from its input in batches; leave other modules as they are."""
    if isinstance(module, BatchQuant):
        ranges = torch.stack([torch.stack(batch_range(x)) for x in inputs.parts if x is not None])
        shares = torch.tensor(sizes, dtype=torch.float64) / sum(sizes)
        _write(module, *(shares.to(ranges) @ ranges))
    elif isinstance(module, nn.BatchNorm2d):
        n = CHANNELS_AT_A_TIME
        starts = range(0, inputs.n_channels, n)
        found = [_norm_statistics(inputs.channels(at, at + n), is_used_up=True) for at in starts]
        _write(module, *(torch.cat(values) for values in zip(*found, strict=True)))


@contextmanager
def _before_quantizers_and_norms(
    network: nn.Module, run: Callable[[nn.Module, tuple[Tensor, ...]], None]
) -> Iterator[None]:
    """Call `run` with the input of every activation quantizer and norm before it runs."""
    hooks = [
        module.register_forward_pre_hook(run)
        for module in network.modules()
        if isinstance(module, BatchQuant | nn.BatchNorm2d)
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _norm_statistics(x: Tensor, *, is_used_up: bool = False) -> tuple[Tensor, Tensor]:
    """Mean and biased variance of every channel; on a CPU ten times as fast as torch.var_mean."""
    mean = x.mean((0, 2, 3))
    centred = torch.sub(x, mean[:, None, None], out=x if is_used_up else None)
    return mean, centred.square_().mean((0, 2, 3))


def _write(module: nn.Module, first: Tensor, second: Tensor) -> None:
    """Write extremes into a quantizer, mean and variance into a norm."""
    if isinstance(module, BatchQuant):
        module.set_range(first, second)
    elif isinstance(module, nn.BatchNorm2d):
        assert module.running_mean is not None
        assert module.running_var is not None
        module.running_mean.copy_(first)
        module.running_var.copy_(second)


class Recalibration:
    """A recalibration that gets its batches one by one, so that networks can share them."""

    def __init__(self, network: nn.Module) -> None:
        """Start without any batch; `network` changes only in `finish`."""
        self.network = network
        self._sums: dict[nn.Module, list[Tensor]] = {}
        self._n_images = 0

    @torch.no_grad()
    def add(self, images: Tensor) -> None:
        """Run a batch `(n, channels, R, R)` on its own statistics and keep them.

        A single image after other batches is left out: of one value a channel has no variance.
        """
        if len(images) == 1 and self._n_images:
            return
        self.network.train()
        try:
            with _before_quantizers_and_norms(self.network, self._collect):
                self.network(images.to(next(self.network.parameters()).device))
            self._n_images += len(images)
        finally:
            self.network.eval()

    @torch.no_grad()
    def finish(self) -> None:
        """Write the averages into the network.

        Raises:
            ValueError: There was no batch.
        """
        if self._n_images == 0:
            raise ValueError(NO_BATCH)
        for module, sums in self._sums.items():
            _write(module, *(total / self._n_images for total in sums))

    def _collect(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        x = inputs[0]
        statistics = batch_range(x) if isinstance(module, BatchQuant) else _norm_statistics(x)
        weighted = [value * len(x) for value in statistics]
        total = self._sums.get(module)
        self._sums[module] = (
            weighted if total is None else [a + b for a, b in zip(total, weighted, strict=True)]
        )
