"""A classifier that others trained, as a teacher: its weights from a file, a new last layer.

On few images a network that has seen a million others teaches better than one that starts here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qfa_search.errors import CheckpointMismatchError, QFAError
from qfa_search.training import timm_networks

# The first two draw weights from SciPy's truncated normal, which takes minutes; the others read
# values while they are built, which tensors without data do not have.
NOT_TRIED = ("googlenet", "inception_v3", "maxvit", "regnet", "swin")
LAST_LAYERS = ("fc", "classifier", "head", "heads", "head_dist", "last_linear")
SMALLEST_SIDE = 96  # below it the last map of most networks is one or two pixels


class PretrainedNetwork(nn.Module):
    """A classifier of torchvision or timm that takes images of any size, grey or coloured."""

    def __init__(self, name: str, n_classes: int, side: int) -> None:
        """Random weights from torch's global generator.

        Args:
            name: What torchvision calls the network, or timm after "timm/".
            n_classes: Number of logits.
            side: Images are enlarged to this side, or the only one that the network takes.

        Raises:
            QFAError: It is a network of timm, which is not installed.
        """
        super().__init__()
        self.name, self.n_classes = name, n_classes
        self.network = _build(name, n_classes)
        own_side = getattr(self.network, "image_size", None)  # of torchvision's ViTs
        self.side = own_side or timm_networks.fixed_side(self.network) or side

    def forward(self, x: Tensor) -> Tensor:
        """Logits `(N, n_classes)` of normalized images."""
        if x.shape[1] == 1:
            x = x.expand(-1, 3, -1, -1)
        if x.shape[-1] != self.side:
            x = F.interpolate(x, (self.side, self.side), mode="bilinear", align_corners=False)
        found: Tensor = self.network(x)
        return found


def pretrained_network(path: Path, n_classes: int, resolution: int) -> PretrainedNetwork:
    """The network whose weights are in a safetensors file, with a new last layer.

    Args:
        path: Weights of a classifier of torchvision or timm.
        n_classes: Number of logits of the new last layer.
        resolution: Side of the images; smaller ones than 96 pixels are enlarged.

    Raises:
        ValueError: The file cannot be read.
        CheckpointMismatchError: They are weights of no classifier that is known.
    """
    name, weights = known_weights(path)
    network = PretrainedNetwork(name, n_classes, max(resolution, SMALLEST_SIDE))
    own = network.network.state_dict()
    fitting = {k: v for k, v in weights.items() if k in own and own[k].shape == v.shape}
    network.network.load_state_dict({**own, **fitting})
    return network


def known_weights(path: Path) -> tuple[str, dict[str, Tensor]]:
    """The name of the classifier whose weights are in a safetensors file, and these.

    Raises:
        ValueError: The file cannot be read.
        CheckpointMismatchError: They are weights of no classifier that is known.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        weights = load_file(path)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is no readable safetensors file: {error}") from error
    name = _architecture(weights)
    has_timm = timm_networks.is_installed()
    if name is None and has_timm:
        name = timm_networks.recognized(path, _shapes(weights), _shapes_of)
    if name is None:
        where = "timm" if has_timm else "torchvision.models (timm's need 'qfa-search[timm]')"
        raise CheckpointMismatchError(
            f"{path} holds weights of no classifier in {where}: give the safetensors file of one, "
            "like resnet18 or mobilenet_v3_large"
        )
    return name, weights


def _build(name: str, n_classes: int) -> nn.Module:
    if not name.startswith(timm_networks.PREFIX):
        from torchvision.models import get_model

        network: nn.Module = get_model(name, weights=None, num_classes=n_classes)
        return network
    if not timm_networks.is_installed():
        raise QFAError(f"the teacher {name} needs the package timm: pip install 'qfa-search[timm]'")
    return timm_networks.build(name, n_classes)


def _architecture(weights: Mapping[str, Tensor]) -> str | None:
    """The torchvision network with these names and shapes, whatever its last layer's size."""
    from torchvision import models

    shapes = _shapes(weights)
    names: list[str] = models.list_models(module=models)
    for name in names:
        if name.startswith(NOT_TRIED):
            continue
        with torch.device("meta"):
            network = models.get_model(name, weights=None)
        if _shapes_of(network) == shapes:
            return name
    return None


def _shapes_of(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return _shapes(network.state_dict())


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Shapes by name, without counters and without the outputs of the last layers."""
    return {
        name: tuple(t.shape)[1:] if name.partition(".")[0] in LAST_LAYERS else tuple(t.shape)
        for name, t in tensors.items()
        if not name.endswith("num_batches_tracked")
    }
