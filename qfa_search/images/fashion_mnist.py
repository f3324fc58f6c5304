"""Fashion-MNIST: Debian's package, the cache, or torchvision's download."""

from __future__ import annotations

import gzip
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from qfa_search.errors import DataError
from qfa_search.images.memory import Images
from qfa_search.images.splits import (
    SplitName,
    hold_out_validation,
    labels_digest,
)

FASHION_MNIST = "fashion-mnist"
DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")


MEAN, STD = (0.2860,), (0.3530,)


def read_fashion_mnist(
    part: Literal["train", "test"],
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Pixels `(n, 1, 28, 28)` and labels of the published training or test images.

    Raises:
        DataError: They are not there and cannot be downloaded, or are damaged.
    """
    folder = _folder()
    prefix = "train" if part == "train" else "t10k"
    pixels = _read_idx(folder / f"{prefix}-images-idx3-ubyte.gz")
    labels = _read_idx(folder / f"{prefix}-labels-idx1-ubyte.gz")
    return pixels[:, None], labels.astype(np.int64)


def _folder() -> Path:
    name = "train-images-idx3-ubyte.gz"
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "qfa-search"
    downloaded = cache / "FashionMNIST" / "raw"
    for folder in (DEBIAN_FOLDER, downloaded):
        if (folder / name).is_file():
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
    except (OSError, EOFError) as error:
        raise DataError(f"cannot read {path}: {error}") from error
    n_dims = data[3]
    shape = np.frombuffer(data, ">i4", n_dims, offset=4)
    values = np.frombuffer(data, np.uint8, offset=4 + 4 * n_dims)
    if values.size != shape.prod():
        raise DataError(f"{path} holds {values.size} bytes, its header says {shape.prod()}")
    return values.reshape(shape).copy()


@dataclass(frozen=True)
class FashionMnist:
    """Fashion-MNIST with its split; images are read when first asked for.

    Attributes:
        split_seed: Seed of the validation split.
    """

    split_seed: int = 0

    n_classes = 10
    files_digest = None

    def images(self, split: SplitName) -> Images:
        """The images of one split.

        Raises:
            DataError: They are not there or cannot be read.
        """
        if split == "test":
            return self._images(*read_fashion_mnist("test"))
        pixels, labels = self._train
        kept, held_out = self._split
        at = kept if split == "train" else held_out
        return self._images(pixels[at], labels[at])

    def drawn(self, split: SplitName, n: int) -> Images:
        """`n` images of one split at random, or all of them."""
        return self.images(split).drawn(n)

    @property
    def split_digest(self) -> str:
        """Fingerprint of the training labels and of which of them are held out."""
        return labels_digest(self._train[1], self._split[1])

    @cached_property
    def _train(self) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        return read_fashion_mnist("train")

    @cached_property
    def _split(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        return hold_out_validation(self._train[1], self.split_seed)

    def _images(self, pixels: NDArray[np.uint8], labels: NDArray[np.int64]) -> Images:
        return Images(
            torch.from_numpy(pixels),
            torch.from_numpy(labels),
            MEAN,
            STD,
        )
