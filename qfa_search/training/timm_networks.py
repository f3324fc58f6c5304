"""Classifiers of the package timm, an extra: built by name, and known by the names of weights."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import nn

PREFIX = "timm/"  # of the names of its networks here

Shapes = Mapping[str, tuple[int, ...]]

logger = logging.getLogger(__name__)


def is_installed() -> bool:
    """Whether the extra is there."""
    return find_spec("timm") is not None


def build(name: str, n_classes: int | None = None) -> nn.Module:
    """The network with random weights; `n_classes` None leaves it as many as it was made for.

    Args:
        name: What timm calls it, after "timm/".
        n_classes: Number of logits.

    Raises:
        ValueError: It has none of that name.
    """
    import timm

    name = name.removeprefix(PREFIX)
    if not timm.is_model(name):  # a place on a hub or a disk would be one for create_model
        raise ValueError(f"timm has no network {name!r}")
    size = {} if n_classes is None else {"num_classes": n_classes}
    network: nn.Module = timm.create_model(name, pretrained=False, **size)
    return network


def fixed_side(network: nn.Module) -> int | None:
    """Side of the only images that a network takes; None if it takes any."""
    about: Any = getattr(network, "pretrained_cfg", {})
    return int(about["input_size"][-1]) if about.get("fixed_input_size") else None


def recognized(
    weights: Path, shapes: Shapes, shapes_of: Callable[[nn.Module], Shapes]
) -> str | None:
    """The name of the network with tensors of these names and shapes; None if there is none.

    Args:
        weights: Their file; what it, its folder or a config.json beside it are called is tried
            first.
        shapes: Of its tensors.
        shapes_of: Those of a network.
    """
    for name in _candidates(weights, shapes, shapes_of):
        network = _without_weights(name)
        if network is not None and shapes_of(network) == shapes:
            return PREFIX + name
    return None


def _candidates(
    weights: Path, shapes: Shapes, shapes_of: Callable[[nn.Module], Shapes]
) -> Iterator[str]:
    """Names of networks, likely ones first."""
    import timm

    named = _architecture_beside(weights)
    every: list[str] = timm.list_models()
    if named in every:
        yield named
    place = f"{weights.parent.name}/{weights.name}"
    yield from sorted((name for name in every if name in place), key=len, reverse=True)
    logger.info("looking for the network of %s among the %d of timm", weights.name, len(every))

    def n_shared(module: str) -> int:
        """Tensors that the module's first network has as well, whatever their shapes."""
        network = _without_weights(timm.list_models(module=module)[0])
        return 0 if network is None else len(shapes_of(network).keys() & shapes.keys())

    modules = [module for module in timm.list_modules() if timm.list_models(module=module)]
    found = {module: n_shared(module) for module in modules}
    for module in sorted(modules, key=lambda name: -found[name]):
        if found[module]:
            yield from timm.list_models(module=module)


def _architecture_beside(weights: Path) -> str:
    """What a config.json beside the weights, as hubs have it, calls the network."""
    try:
        about = json.loads(weights.with_name("config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return ""
    return str(about.get("architecture", "")) if isinstance(about, dict) else ""


def _without_weights(name: str) -> nn.Module | None:
    """A network of shapes alone; None for the few that read values while they are built."""
    try:
        with torch.device("meta"):
            return build(name)
    except (RuntimeError, NotImplementedError):
        return None
