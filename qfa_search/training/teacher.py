"""The teacher: a trained float network whose soft labels the subnets learn from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import torch
from torch import nn

from predictors.files import load_tensors, read_metadata, save_tensors
from qfa_search.errors import CheckpointMismatchError
from qfa_search.supernet.extract import extract
from qfa_search.supernet.mobilenet_v3 import Supernet
from qfa_search.supernet.recalibrate import Batches, recalibrate
from qfa_search.supernet.storage import read_supernet
from qfa_search.training.pretrained import PretrainedNetwork
from qfa_search.training.residual_network import ResidualNetwork
from search_spaces import SearchSpace
from search_spaces.plain_data import whole_number
from search_spaces.stage import check_width


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


def dense_teacher(space: SearchSpace, width: int) -> ResidualNetwork:
    """An untrained teacher for the images and classes of `space`."""
    return ResidualNetwork(space.input_channels, space.n_classes, max(space.resolutions), width)


def save_teacher(
    path: Path,
    network: ResidualNetwork | PretrainedNetwork,
    space: SearchSpace,
    width: int,
    about_images: Mapping[str, object] = MappingProxyType({}),
) -> None:
    """Write a trained teacher to a safetensors file, whole or not at all.

    Args:
        path: Where to.
        network: The teacher.
        space: Space of the images and classes that it is for.
        width: Of a dense teacher.
        about_images: What is known of the images that it was trained on, as JSON values by name.
    """
    tensors = {name: value.detach().cpu().numpy() for name, value in network.state_dict().items()}
    metadata: dict[str, object] = {
        **about_images,
        "input_channels": space.input_channels,
        "n_classes": space.n_classes,
        "resolution": max(space.resolutions),
        "width": width,
    }
    if isinstance(network, PretrainedNetwork):
        metadata |= {"network": network.name, "side": network.side}
    save_tensors(path, "teacher", tensors, metadata)


def load_teacher(path: Path, space: SearchSpace) -> Teacher:
    """The teacher that `save_teacher` wrote, for images and classes of `space`.

    Raises:
        ValueError: Unreadable or foreign file.
        CheckpointMismatchError: It was made for other images or classes.
    """
    tensors, metadata = load_tensors(path, "teacher")
    try:
        sizes = {
            name: whole_number(name, metadata[name], least=1)
            for name in ("input_channels", "n_classes", "resolution")
        }
        channels, n_classes, resolution = sizes.values()
        _check_fits(path, channels, n_classes, space)
        network: nn.Module
        if "network" in metadata:
            side = whole_number("side", metadata["side"], least=1)
            network = PretrainedNetwork(metadata["network"], n_classes, side)
        else:
            check_width("width", metadata["width"])
            network = ResidualNetwork(channels, n_classes, resolution, metadata["width"])
        network.load_state_dict({name: torch.from_numpy(value) for name, value in tensors.items()})
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        told = " ".join(str(error).split())[:300]
        raise ValueError(f"{path} is not a complete teacher file: {told}") from error
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
