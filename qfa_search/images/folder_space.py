"""The space for a folder of own images."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from qfa_search.images.decoding import side_and_channels
from qfa_search.images.splits import FolderSplit, split_folder
from search_spaces import SearchSpace, fitted
from search_spaces.fitted import LARGEST_SIDE, SIDE_STEP, SMALLEST_SIDE

N_LOOKED_AT = 256
LARGEST_SIDE_ON_CPU = 64  # beyond it a training takes days


def space_for_folder(
    root: Path, split_seed: int, *, resolution: int | None, largest_side: int
) -> SearchSpace:
    """The fitted space for the images in `root`, grey if those looked at are grey.

    Args:
        root: A folder of class folders.
        split_seed: Seed of the split.
        resolution: Side of the largest images that subnets see; None takes the median of the
            images' shorter sides, at most `largest_side`.
        largest_side: See there.

    Raises:
        DataError: The folder is not of the right form, or its images cannot be read.
        ValueError: `resolution` is not one that fits.
    """
    if resolution is not None and (
        resolution % SIDE_STEP or not SMALLEST_SIDE <= resolution <= LARGEST_SIDE
    ):
        raise ValueError(
            f"--resolution must be a multiple of {SIDE_STEP} from {SMALLEST_SIDE} to "
            f"{LARGEST_SIDE}, got {resolution}"
        )
    split = split_folder(root, split_seed)
    side, channels = side_and_channels(root, _some_names(split))
    return fitted(
        image_size=resolution or min(side, largest_side),
        channels=channels,
        n_classes=len(split.classes),
    )


def largest_side() -> int:
    """The largest side that this machine is good for."""
    import torch

    return LARGEST_SIDE if torch.cuda.is_available() else LARGEST_SIDE_ON_CPU


def _some_names(split: FolderSplit) -> list[str]:
    names = split.names["train"]
    chosen = np.random.default_rng(0).permutation(len(names))[:N_LOOKED_AT]
    return [names[i] for i in chosen]
