"""The teacher: a trained float network whose soft labels the subnets learn from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from predictors.files import load_tensors, read_metadata, save_tensors
from qfa_search.errors import CheckpointMismatchError
from qfa_search.supernet.extract import extract
from qfa_search.supernet.mobilenet_v3 import Supernet
from qfa_search.supernet.recalibrate import Batches, recalibrate
from qfa_search.supernet.storage import read_supernet
from search_spaces import SearchSpace

SMALLEST_MAP = 3


@dataclass(frozen=True, slots=True)
class Teacher:
    """A network in evaluation mode and what it takes.

    Attributes:
        network: Images `(N, channels, resolution, resolution)` to logits `(N, n_classes)`.
        resolution: Side of its images.
        n_classes: Number of logits.
    """

    network: nn.Module
    resolution: int
    n_classes: int


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


def dense_teacher(space: SearchSpace, width: int) -> ResidualNetwork:
    """An untrained teacher for the images and classes of `space`."""
    return ResidualNetwork(space.input_channels, space.n_classes, max(space.resolutions), width)


def save_teacher(path: Path, network: ResidualNetwork, space: SearchSpace, width: int) -> None:
    """Write a trained teacher to a safetensors file, whole or not at all."""
    tensors = {name: value.detach().cpu().numpy() for name, value in network.state_dict().items()}
    metadata = {
        "input_channels": space.input_channels,
        "n_classes": space.n_classes,
        "resolution": max(space.resolutions),
        "width": width,
    }
    save_tensors(path, "teacher", tensors, metadata)


def load_teacher(path: Path, space: SearchSpace) -> Teacher:
    """The teacher that `save_teacher` wrote, for images and classes of `space`.

    Raises:
        ValueError: Unreadable or foreign file.
        CheckpointMismatchError: It was made for other images or classes.
    """
    tensors, metadata = load_tensors(path, "teacher")
    channels, n_classes = metadata["input_channels"], metadata["n_classes"]
    _check_fits(path, channels, n_classes, space)
    resolution = metadata["resolution"]
    network = ResidualNetwork(channels, n_classes, resolution, metadata["width"])
    network.load_state_dict({name: torch.from_numpy(value) for name, value in tensors.items()})
    return Teacher(network.eval(), resolution, n_classes)


def largest_as_teacher(supernet: Supernet, batches: Batches, n_batches: int) -> Teacher:
    """The largest network of a supernet in floating point, recalibrated.

    Args:
        supernet: With or without quantizers, which are left out.
        batches: Batches of (images, labels) of the training split at its largest resolution.
        n_batches: How many of them to use.
    """
    float_net = Supernet(supernet.space.in_floating_point())
    float_net.load_state_dict(
        {name: supernet.state_dict()[name] for name in float_net.state_dict()}
    )
    largest = float_net.space.largest()
    network = extract(float_net, largest)
    recalibrate(network, batches, n_batches)
    return Teacher(network, largest.resolution, supernet.space.n_classes)


def open_supernet_as_teacher(path: Path, space: SearchSpace) -> Supernet:
    """The supernet of a file, for `largest_as_teacher` and images and classes of `space`.

    Raises:
        ValueError: Unreadable or foreign file.
        CheckpointMismatchError: It was made for other images or classes.
    """
    supernet = read_supernet(path)[0]
    _check_fits(path, supernet.space.input_channels, supernet.space.n_classes, space)
    return supernet


def is_dense_teacher(path: Path) -> bool:
    """Whether the file is one of `save_teacher`."""
    try:
        read_metadata(path, "teacher")
    except ValueError:
        return False
    return True


def _check_fits(path: Path, channels: int, n_classes: int, space: SearchSpace) -> None:
    if (channels, n_classes) != (space.input_channels, space.n_classes):
        raise CheckpointMismatchError(
            f"the teacher {path} takes {channels} channels and knows {n_classes} classes, "
            f"{space.name} has {space.input_channels} and {space.n_classes}"
        )
