"""CIFAR-10: where torchvision puts it, in the cache, or torchvision's download."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from qfa_search.errors import DataError
from qfa_search.images.memory import MEAN, STD
from qfa_search.images.published_set import Arrays, Part, PublishedSet, cache_folder

CIFAR10 = "cifar10"
FOLDER = "cifar-10-batches-py"
SIDE = 32  # pixels
CLASSES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)


def cifar10(split_seed: int = 0) -> PublishedSet:
    """CIFAR-10 with a twelfth of its training images held out by a seed.

    Images are normalized as those of folders are, and sorted by class as folders are listed: a
    folder train/CLASS/0000.png ... in the order of the release has the same validation split.
    """
    return PublishedSet(CIFAR10, CLASSES, read_cifar10, MEAN, STD, SIDE, split_seed)


def read_cifar10(part: Part) -> Arrays:
    """Pixels `(n, 3, 32, 32)` and labels of the published training or test images, by class.

    torchvision compares the files with the published checksums before it unpickles them.

    Raises:
        DataError: They are not there and cannot be downloaded, or are damaged.
    """
    from torchvision import datasets

    places = (cache_folder(), Path("data"), Path())
    found = next((place for place in places if (place / FOLDER).is_dir()), None)
    try:
        root = cache_folder() if found is None else found
        # In the cache it is looked through, and fetched again where a download was killed.
        is_ours = root == cache_folder()
        images = datasets.CIFAR10(str(root), train=part == "train", download=is_ours)
    except Exception as error:  # torchvision raises whatever its mirror and urllib raise
        why = "is damaged" if found else "is not there, and the download failed"
        raise DataError(
            f"CIFAR-10 in {root / FOLDER} {why} ({error}): unpack cifar-10-python.tar.gz there, "
            "or give a folder train/CLASS/, test/CLASS/ of its images"
        ) from error
    labels = np.array(images.targets, dtype=np.int64)
    order = np.argsort(labels, kind="stable")
    return np.ascontiguousarray(images.data.transpose(0, 3, 1, 2)[order]), labels[order]
