"""Static networks with lively random constants, recalibrated on random images."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from qfa_search.deployment.plan import network_plan
from qfa_search.quantizers.batchquant import BatchQuant
from qfa_search.quantizers.functional import lsq_initial_scale
from qfa_search.quantizers.lsq import LSQ
from qfa_search.supernet.extract import StaticLayer, StaticNetwork
from qfa_search.supernet.recalibrate import recalibrate
from search_spaces import SearchSpace, Subnet


def random_images(space: SearchSpace, n: int, resolution: int, seed: int = 0) -> torch.Tensor:
    """Smooth random images of about unit variance, float32 `(n, channels, r, r)`."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(n, space.input_channels, 5, 5, generator=generator)
    size = (resolution, resolution)
    smooth = nn.functional.interpolate(coarse, size, mode="bilinear", align_corners=False)
    return smooth + 0.3 * torch.randn(smooth.shape, generator=generator)


@torch.no_grad()
def random_network(
    space: SearchSpace,
    subnet: Subnet,
    seed: int = 0,
    offset: float | None = None,
    n_images: int = 32,
) -> StaticNetwork:
    """`subnet` with random weights, norms of both signs and offsets, recalibrated.

    Args:
        space: The space.
        subnet: What to make.
        seed: Of all that is random.
        offset: Offset of every activation quantizer; random in [-0.7, 0.7] by default.
        n_images: To recalibrate on, in two batches.
    """
    generator = torch.Generator().manual_seed(seed)

    def uniform(shape: torch.Size, low: float, high: float) -> torch.Tensor:
        return low + (high - low) * torch.rand(shape, generator=generator)

    network = StaticNetwork(space, subnet)
    for layer in network.layers.values():
        assert isinstance(layer, StaticLayer)
        fan_in = layer.weight[0].numel()
        layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator) / fan_in**0.5)
        if layer.bias is not None:
            layer.bias.copy_(uniform(layer.bias.shape, -0.5, 0.5))
        if isinstance(layer.norm, nn.BatchNorm2d):
            sign = torch.where(
                torch.rand(layer.norm.weight.shape, generator=generator) < 0.2, -1, 1
            )
            layer.norm.weight.copy_(sign * uniform(layer.norm.weight.shape, 0.5, 1.5))
            layer.norm.bias.copy_(uniform(layer.norm.bias.shape, -0.5, 0.5))
        if isinstance(layer.weight_quantizer, LSQ):
            scale = lsq_initial_scale(layer.weight, bits=layer.weight_quantizer.bits)
            layer.weight_quantizer.scale.copy_(scale)
        if isinstance(layer.input_quantizer, BatchQuant):
            drawn = uniform(torch.Size(()), -0.7, 0.7)
            layer.input_quantizer.offset.copy_(drawn if offset is None else torch.tensor(offset))
            layer.input_quantizer.alpha.copy_(uniform(torch.Size(()), -0.5, 0.5))
    images = random_images(space, n_images, subnet.resolution, seed + 1)
    labels = torch.zeros(n_images // 2, dtype=torch.long)
    parts = images.split(n_images // 2)
    recalibrate(network, [(part, labels) for part in parts], sequential=True)
    return network.eval()


MEAN, STD = (0.5, 0.4, 0.6), (0.25, 0.3, 0.2)


def random_plan(space: SearchSpace, subnet: Subnet, seed: int = 0, offset: float | None = None):
    """The plan of a `random_network` with the mean and deviation of `pixels`."""
    network = random_network(space, subnet, seed, offset)
    channels = space.input_channels
    return network, network_plan(network, mean=MEAN[:channels], std=STD[:channels])


def pixels(space: SearchSpace, n: int, resolution: int, seed: int = 0) -> np.ndarray:
    """Random uint8 images `(n, r, r, channels)`."""
    images = random_images(space, n, resolution, seed).permute(0, 2, 3, 1).numpy()
    channels = space.input_channels
    scaled = (images * STD[:channels] + MEAN[:channels]) * 255
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def normalized(images: np.ndarray, mean=MEAN, std=STD) -> torch.Tensor:
    """What a network reads of uint8 images, float32 `(n, channels, r, r)`."""
    channels = images.shape[-1]
    scaled = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(v[:channels]).view(-1, 1, 1) for v in (mean, std))
    return (scaled - mean) / std
