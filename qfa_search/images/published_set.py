"""Published data sets in memory: their own test split, a seeded validation split."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from predictors.files import DIGEST_LENGTH
from qfa_search.images.holding_out import hold_out_validation
from qfa_search.images.layout import SPLIT_NAMES, SplitName
from qfa_search.images.memory import Images
from qfa_search.images.splits import FolderSplit, labels_digest

Part = Literal["train", "test"]
Arrays = tuple[NDArray[np.uint8], NDArray[np.int64]]


def cache_folder() -> Path:
    """Where data sets are downloaded to."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "qfa-search"


@dataclass(frozen=True)
class PublishedSet:
    """A published data set; images are read when first asked for.

    Attributes:
        name: What it is called.
        classes: Names of the classes: label i is the i-th.
        read: Pixels `(n, channels, side, side)` and labels of the published train or test part.
        mean: Mean pixel value in [0, 1], per channel.
        std: Standard deviation of pixel values in [0, 1], per channel.
        side: Of the images, in pixels.
        split_seed: Seed of the validation split.
    """

    name: str
    classes: tuple[str, ...]
    read: Callable[[Part], Arrays] = field(repr=False)
    mean: tuple[float, ...]
    std: tuple[float, ...]
    side: int
    split_seed: int = 0

    files_digest = None
    left_out = ""

    def images(self, split: SplitName) -> Images:
        """The images of one split.

        Raises:
            DataError: They are not there or cannot be read.
        """
        if split == "test":
            return self._images(*self._test)
        pixels, labels = self._train
        kept, held_out = self._split
        at = kept if split == "train" else held_out
        return self._images(pixels[at], labels[at])

    def drawn(self, split: SplitName, n: int) -> Images:
        """`n` images of one split at random, or all of them."""
        return self.images(split).drawn(n)

    def size(self, split: SplitName) -> int:
        """Images of one split."""
        if split == "test":
            return len(self._test[1])
        return len(self._split[0 if split == "train" else 1])

    @property
    def channels(self) -> int:
        """1 for grey, 3 for colour."""
        return len(self.mean)

    @property
    def split_digest(self) -> str:
        """Fingerprint of the training labels and of which of them are held out."""
        return labels_digest(self._train[1], self._split[1])

    @property
    def digest(self) -> str:
        """Fingerprint of all pixels, labels and of which images are held out."""
        found = hashlib.sha256(self.split_digest.encode())
        for pixels, labels in (self._train, self._test):
            found.update(pixels.tobytes())
            found.update(labels.tobytes())
        return found.hexdigest()[:DIGEST_LENGTH]

    @property
    def told(self) -> str:
        """What the splits are, in one line."""
        sizes = {part: self.size(part) for part in SPLIT_NAMES}
        return (
            f"images of {self.name}: {len(self.classes)} classes, train {sizes['train']}, "
            f"val {sizes['val']} (held out of train), test {sizes['test']}"
        )

    @property
    def _train(self) -> Arrays:
        return _read(self.read, "train")

    @property
    def _test(self) -> Arrays:
        return _read(self.read, "test")

    @property
    def _split(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        return _split(self.read, self.split_seed)

    def _images(self, pixels: NDArray[np.uint8], labels: NDArray[np.int64]) -> Images:
        return Images(torch.from_numpy(pixels), torch.from_numpy(labels), self.mean, self.std)


# Images whose splits are known and that are not decoded yet.
Listed = PublishedSet | FolderSplit


@lru_cache(maxsize=4)  # here and not in the value, which goes to other processes
def _read(read: Callable[[Part], Arrays], part: Part) -> Arrays:
    return read(part)


@lru_cache(maxsize=4)
def _split(
    read: Callable[[Part], Arrays], seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return hold_out_validation(_read(read, "train")[1], seed)
