"""A dense residual network, the teacher that learns most per second on a CPU."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SMALLEST_MAP = 3


class ResidualNetwork(nn.Module):
    """A dense network of 3x3 convolutions.

    It learns more per second on a CPU than depthwise layers do: one convolution, then stages
    that double the width, halve the map and add a residual pair, until the map is small; then
    the largest value of every channel and a linear layer.

    References:
        He et al., Deep Residual Learning, CVPR 2016, in the short form of Page's ResNet-9.
    """

    def __init__(self, channels: int, n_classes: int, resolution: int, width: int) -> None:
        """Random weights from torch's global generator.

        Args:
            channels: Of the images.
            n_classes: Number of logits.
            resolution: Side of the images, which sets the number of stages.
            width: Channels of the first convolution.
        """
        super().__init__()
        self.stem = _Convolution(channels, width, pools=False)
        stages: list[_Stage] = []
        side = resolution
        while side // 2 >= SMALLEST_MAP and len(stages) < 5:
            stages.append(_Stage(width, 2 * width))
            width, side = 2 * width, side // 2
        self.stages = nn.Sequential(*stages)
        self.classifier = nn.Linear(width, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits `(N, n_classes)`."""
        # A map of one channel has no layout of its own, so this has to follow the stem.
        x = self.stem(x).contiguous(memory_format=torch.channels_last)
        logits: Tensor = self.classifier(self.stages(x).amax((2, 3)))
        return logits


class _Convolution(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, *, pools: bool) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)
        self.pools = pools

    def forward(self, x: Tensor) -> Tensor:
        x = self.convolution(x)
        if self.pools:
            x = F.max_pool2d(x, 2)
        return F.relu(self.norm(x), inplace=True)


class _Stage(nn.Module):
    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.widen = _Convolution(in_channels, out_channels, pools=True)
        self.pair = nn.Sequential(
            *(_Convolution(out_channels, out_channels, pools=False) for _ in range(2))
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.widen(x)
        y: Tensor = x + self.pair(x)
        return y
