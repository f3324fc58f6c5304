"""A filled published network and its images: generated here, or by the published recipe."""

from __future__ import annotations

import functools
import importlib.util
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

import search_spaces
from qfa_search.published.checkpoint import published_keys
from qfa_search.supernet.mobilenet_v3 import Supernet
from tests.reference import GOLDEN, PUBLISHED

SPACE = search_spaces.load("mobilenet-v3-w1.2")


@dataclass(frozen=True, slots=True, kw_only=True)
class Filling:
    """How to fill a network, and what it was shown.

    Attributes:
        state: A state of the published layout.
        images: Images from a seed, a resolution and a number.
        folder: Where the results are.
    """

    state: dict[str, torch.Tensor]
    images: Callable[[int, int, int], np.ndarray]
    folder: Path

    def calibration(self, seed: int, resolution: int) -> list[tuple[torch.Tensor, None]]:
        """Three batches to recalibrate on, in float64."""
        batches = (self.images(seed + i, resolution, n) for i, n in enumerate((4, 4, 2)))
        return [(torch.from_numpy(batch).double(), None) for batch in batches]


def filling(source: str) -> Filling:
    """That of the golden or of the published files."""
    if source == "golden":
        return Filling(state=filled_state(), images=_images, folder=GOLDEN)
    folder = PUBLISHED / "reference"
    spec = importlib.util.spec_from_file_location("fill", folder / "fill_state_dict.py")
    fill = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fill)
    arrays = fill.fill_state_dict(fill.load_keys(folder / "supernet_keys.json"))
    state = {name: torch.from_numpy(np.asarray(value)) for name, value in arrays.items()}
    return Filling(state=state, images=fill.make_input, folder=folder)


@functools.cache
def filled_state() -> dict[str, torch.Tensor]:
    """State of the published layout with random numbers of plausible sizes."""
    rng = np.random.default_rng(0)
    entries = sorted(published_keys(Supernet(SPACE)), key=lambda entry: entry.name)
    shapes = {entry.name: entry.shape for entry in entries}
    state = {}
    for name, shape in shapes.items():
        is_counter = name.endswith("num_batches_tracked")
        value = np.zeros(shape) if is_counter else _value(rng, name, shapes)
        state[name] = torch.tensor(value, dtype=torch.int64 if is_counter else torch.float32)
    return state


def _value(rng: np.random.Generator, name: str, shapes: dict) -> np.ndarray:
    last, shape = name.rpartition(".")[2], shapes[name]
    if shape is None:
        return np.zeros(0)
    if last == "weight":
        return rng.normal(0, math.sqrt(2 / math.prod(shape[1:])), shape)
    if last.endswith("_matrix"):
        return np.eye(shape[0]) + rng.normal(0, 0.05, shape)
    if last == "scale" and ".w_quantizer" in name:
        layer, bits = name.split(".w_quantizer")[0], int(name.split(".")[-2])
        weight = shapes.get(f"{layer}.conv.weight") or shapes[f"{layer}.linear.weight"]
        return rng.uniform(1, 2, shape) * math.sqrt(2 / math.prod(weight[1:]) / 2 ** (bits - 1))
    spread = {"gamma": (0.5, 1.5), "running_var": (0.2, 0.6)}
    spread |= {"running_min": (-0.9, -0.2), "running_max": (0.5, 2.0)}
    if last in spread:
        return rng.uniform(*spread[last], shape)
    return rng.normal(0, 0.2, shape)  # beta, means, biases, alphas and offsets


def _images(seed: int, resolution: int, n: int = 2) -> np.ndarray:
    """Noise around a colour, float32, `(n, 3, resolution, resolution)`."""
    rng = np.random.default_rng(seed)
    colour = rng.normal(0, 0.5, (n, 3, 1, 1))
    return (colour + rng.normal(0, 1, (n, 3, resolution, resolution))).astype(np.float32)
