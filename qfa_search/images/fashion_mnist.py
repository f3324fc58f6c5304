"""Fashion-MNIST: Debian's package, the cache, or torchvision's download."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qfa_search.errors import DataError
from qfa_search.images.published_set import Arrays, Part, PublishedSet, cache_folder

FASHION_MNIST = "fashion-mnist"
DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
FILES = (
    *("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
    *("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
)
MEAN, STD = (0.2860,), (0.3530,)
SIDE = 28  # pixels
CLASSES = (
    *("t-shirt/top", "trouser", "pullover", "dress", "coat"),
    *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
)


def fashion_mnist(split_seed: int = 0) -> PublishedSet:
    """Fashion-MNIST with 5,000 validation images held out by a seed."""
    return PublishedSet(FASHION_MNIST, CLASSES, read_fashion_mnist, MEAN, STD, SIDE, split_seed)


def read_fashion_mnist(part: Part) -> Arrays:
    """Pixels `(n, 1, 28, 28)` and labels of the published training or test images.

    Raises:
        DataError: They are not there and cannot be downloaded, or are damaged.
    """
    folder = _folder()
    images, labels_of = FILES[:2] if part == "train" else FILES[2:]
    pixels = _read_idx(folder / images)
    labels = _read_idx(folder / labels_of)
    return pixels[:, None], labels.astype(np.int64)


def _folder() -> Path:
    cache = cache_folder()
    downloaded = cache / "FashionMNIST" / "raw"
    for folder in (DEBIAN_FOLDER, downloaded):
        if all((folder / name).is_file() for name in FILES):  # a download may have been killed
            return folder
    from torchvision.datasets import FashionMNIST

    try:
        FashionMNIST(str(cache), download=True)
    except Exception as error:  # torchvision raises whatever its mirrors and urllib raise
        raise DataError(
            f"Fashion-MNIST is neither in {DEBIAN_FOLDER} nor in {downloaded}, and the download "
            f"failed ({error}): install Debian's package dataset-fashion-mnist, or put the four "
            ".gz files into one of these folders"
        ) from error
    return downloaded


def _read_idx(path: Path) -> NDArray[np.uint8]:
    try:
        data = gzip.decompress(path.read_bytes())
        n_dims = data[3]
        shape = np.frombuffer(data, ">i4", n_dims, offset=4)
        values = np.frombuffer(data, np.uint8, offset=4 + 4 * n_dims)
    except (OSError, EOFError, zlib.error, IndexError, ValueError) as error:
        raise DataError(
            f"cannot read {path}: {error}; without the folder {path.parent} all is downloaded anew"
        ) from error
    if values.size != shape.prod():
        raise DataError(f"{path} holds {values.size} bytes, its header says {shape.prod()}")
    return values.reshape(shape).copy()
