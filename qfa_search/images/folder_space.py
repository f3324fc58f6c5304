"""The space for a folder of own images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from predictors.fitting import fitted_to_device
from qfa_search.images.decoding import side_and_channels
from qfa_search.images.splits import FolderSplit
from search_spaces import SearchSpace
from search_spaces.fitted import LARGEST_SIDE, SIDE_STEP, SMALLEST_SIDE

N_LOOKED_AT = 256
LARGEST_SIDE_ON_CPU = 64  # beyond it a training takes days


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a space has to be good for.

    Attributes:
        w_bit_choices: Bit widths for weights.
        a_bit_choices: Bit widths for activations.
        ram_kb: A device's memory for activations; None for no limit.
        flash_kb: Its memory for weights; None for no limit.
    """

    w_bit_choices: tuple[int, ...] = (2, 3, 4)
    a_bit_choices: tuple[int, ...] = (2, 3, 4)
    ram_kb: float | None = None
    flash_kb: float | None = None


def space_for_folder(
    split: FolderSplit,
    *,
    resolution: int | None,
    largest_side: int,
    wanted: Wanted | None = None,
) -> SearchSpace:
    """The fitted space for the images of a folder, grey if those looked at are grey.

    Args:
        split: The images.
        resolution: Side of the largest images that subnets see; None takes the median of the
            images' shorter sides, at most `largest_side`.
        largest_side: See there.
        wanted: Bit widths and the device's memory.

    Raises:
        DataError: The images cannot be read.
        ValueError: `resolution` is not one that fits, or nothing fits the device.
    """
    check_resolution(resolution)
    side, channels = side_and_channels(split.root, _some_names(split))
    wanted = wanted or Wanted()
    space = fitted_to_device(
        image_size=resolution or min(side, largest_side),
        channels=channels,
        n_classes=len(split.classes),
        w_bit_choices=wanted.w_bit_choices,
        a_bit_choices=wanted.a_bit_choices,
        ram_kb=wanted.ram_kb,
        flash_kb=wanted.flash_kb,
    )
    if resolution is not None and max(space.resolutions) != resolution:
        raise ValueError(
            f"--fit-ram-kb {wanted.ram_kb:g} is too little for --resolution {resolution}: at most "
            f"{max(space.resolutions)} pixels fit; leave one of them out"
        )
    return space


def check_resolution(resolution: int | None) -> None:
    """Nothing, if `resolution` fits a space of own images.

    Raises:
        ValueError: It does not.
    """
    if resolution is not None and (
        resolution % SIDE_STEP or not SMALLEST_SIDE <= resolution <= LARGEST_SIDE
    ):
        raise ValueError(
            f"--resolution must be a multiple of {SIDE_STEP} from {SMALLEST_SIDE} to "
            f"{LARGEST_SIDE}, got {resolution}"
        )


def largest_side() -> int:
    """The largest side that this machine is good for."""
    import torch

    return LARGEST_SIDE if torch.cuda.is_available() else LARGEST_SIDE_ON_CPU


def _some_names(split: FolderSplit) -> list[str]:
    names = split.names["train"]
    chosen = np.random.default_rng(0).permutation(len(names))[:N_LOOKED_AT]
    return [names[i] for i in chosen]
