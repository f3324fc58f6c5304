"""Images in memory: a folder of class folders, split once and for all.

Splits are "train", "val" (held out of train by a seeded, stratified split) and "test".
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from qfa_search.errors import DataError
from qfa_search.images.decoding import decode_all
from qfa_search.images.layout import SplitName
from qfa_search.images.names import printable
from qfa_search.images.opened_folder import OpenedFolder
from qfa_search.images.splits import FolderSplit

# ImageNet's, for folders; grey is the mean over its colours.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
GREY_MEAN, GREY_STD = (0.449,), (0.226,)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Images:
    """Images in memory.

    Attributes:
        pixels: uint8 `(n, channels, height, width)`.
        labels: int64 `(n,)`.
        mean: Mean pixel value in [0, 1], per channel.
        std: Standard deviation of pixel values in [0, 1], per channel.
    """

    pixels: Tensor
    labels: Tensor
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: Sequence[int] | np.ndarray[tuple[int], np.dtype[np.int64]]) -> Images:
        """The images at `indices`, in that order."""
        at = torch.as_tensor(np.asarray(indices))
        return Images(self.pixels[at], self.labels[at], self.mean, self.std)

    def drawn(self, n: int, seed: int = 0) -> Images:
        """`n` images at random, or all of them; folders are sorted by class, these are not."""
        return self.take(_drawn(len(self), n, seed))

    def normalized(self) -> Tensor:
        """float32 images of mean 0 and standard deviation 1, same shape as `pixels`."""
        mean, std = (torch.tensor(v).view(1, -1, 1, 1) for v in (self.mean, self.std))
        return (self.pixels.float() / 255 - mean) / std

    def batches(self, resolution: int, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of normalized images resized to `resolution`, and labels, in order."""
        for start in range(0, len(self), batch_size):
            batch = self.take(np.arange(start, min(start + batch_size, len(self))))
            yield resize(batch.normalized(), resolution), batch.labels


@dataclass(frozen=True)
class ImageFolder(OpenedFolder):
    """A folder of class folders; images are decoded when asked for, broken ones left out.

    Attributes:
        channels: 1 for grey, 3 for colour.
        resolution: Side of the centre squares that images are brought to.
    """

    channels: int
    resolution: int

    def images(self, split: SplitName) -> Images:
        """The images of one split.

        Raises:
            DataError: They do not fit into memory, too many of them cannot be read, or a
                class has none left to train on.
            CheckpointMismatchError: Some are other images than those of the split.
        """
        images = self._decoded(split, np.arange(len(self.split.names[split])))
        check_classes_left(split, self.split, images.labels.numpy())
        return images

    def drawn(self, split: SplitName, n: int) -> Images:
        """`n` images of one split at random, or all of them; no others are decoded."""
        return self._decoded(split, _drawn(len(self.split.names[split]), n, 0))

    def _decoded(self, split: SplitName, at: NDArray[np.int64]) -> Images:
        names = [self.split.names[split][i] for i in at]
        expected = self.split.expected_digests(split)
        digests = None if expected is None else [expected[i] for i in at]
        pixels, kept = decode_all(
            self.split.root,
            names,
            self.channels,
            self.resolution,
            digests,
            n_of=len(self.split.names[split]),
        )
        mean, std = (GREY_MEAN, GREY_STD) if self.channels == 1 else (MEAN, STD)
        labels = self.split.labels[split][at][kept]
        return Images(torch.from_numpy(pixels), torch.from_numpy(labels), mean, std)


def resize(images: Tensor, resolution: int) -> Tensor:
    """`images` at another side length, antialiased."""
    if images.shape[-1] == resolution == images.shape[-2]:
        return images
    size = (resolution, resolution)
    return F.interpolate(images, size, mode="bilinear", antialias=True, align_corners=False)


def check_classes_left(part: SplitName, split: FolderSplit, readable: NDArray[np.int64]) -> None:
    """Nothing, if every class that a split has is among the labels that were `readable`.

    Raises:
        DataError: No image of a class is left to train on. Of other splits a warning tells.
    """
    gone = [printable(split.classes[i]) for i in np.setdiff1d(split.labels[part], readable)]
    if gone and part == "train":
        raise DataError(f"no training image of the class {gone[0]} can be read: add some")
    if gone:
        logger.warning("no image of %s in the %s split can be read", ", ".join(gone), part)


def _drawn(n_images: int, n: int, seed: int) -> NDArray[np.int64]:
    return np.random.default_rng(seed).permutation(n_images)[:n]
