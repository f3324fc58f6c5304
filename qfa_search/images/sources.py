"""The one opener: a data set by name or folder, and the images to train on."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from qfa_search.errors import DataError
from qfa_search.images import decoding, splits
from qfa_search.images.fashion_mnist import FASHION_MNIST, FashionMnist
from qfa_search.images.memory import ImageFolder
from qfa_search.images.on_disk import SPLIT_FILE as ON_DISK_SPLIT_FILE
from qfa_search.images.on_disk import FolderData
from qfa_search.images.splits import (
    read_split,
    split_folder,
)
from search_spaces import SearchSpace

SPLIT_SEED = 0


def open_images(
    source: str, space: SearchSpace, out: Path, *, resume: bool
) -> FashionMnist | ImageFolder | FolderData:
    """The images to train on; a set that memory cannot hold is decoded as training needs it.

    That takes colour images with a train and a val folder, and the preprocessing of the
    published recipe. A run that goes on keeps the split that is stored in `out`.

    Raises:
        DataError: The folder is not of the right form.
    """
    resolution = max(space.resolutions)
    data = open_data(
        source,
        channels=space.input_channels,
        resolution=resolution,
        split_seed=SPLIT_SEED,
        split_file=out / splits.SPLIT_FILE if resume else None,
    )
    if isinstance(data, FashionMnist):
        return data
    shape = (len(data.split.names["train"]), space.input_channels, resolution, resolution)
    is_too_large = np.prod(shape, dtype=np.int64) > decoding.LARGEST_SET_IN_MEMORY
    if is_too_large and space.input_channels == 3 and (Path(source) / "val").is_dir():
        return FolderData(Path(source), SPLIT_SEED, out / ON_DISK_SPLIT_FILE)
    return data


def open_data(
    source: str,
    *,
    channels: int,
    resolution: int,
    split_seed: int = 0,
    split_file: Path | None = None,
) -> FashionMnist | ImageFolder:
    """The data set called `source`: "fashion-mnist", or a folder of class folders.

    Args:
        source: The name or the folder.
        channels: 1 for grey, 3 for colour.
        resolution: Side that folder images are brought to.
        split_seed: Seed of the split.
        split_file: A stored split of the folder, taken if it is there.

    Raises:
        DataError: There is no such folder, or it is not made of class folders with images.
    """
    if source == FASHION_MNIST:
        if channels != 1:
            raise DataError(f"fashion-mnist images are grey, the space wants {channels} channels")
        return FashionMnist(split_seed)
    root = Path(source)
    if split_file is not None and split_file.is_file():
        return ImageFolder(read_split(split_file, root), channels, resolution)
    return ImageFolder(split_folder(root, split_seed), channels, resolution)
