"""Image folders that memory cannot hold, whose images are decoded when a batch asks for them.

The published recipe: for evaluation the shorter side goes to ceil(r / 0.875) and the centre r x r
is cut out; for training a random part is resized to r x r and flipped half of the time. Memory
holds batches, never the data set.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from predictors.files import file_digest
from qfa_search.errors import DataError
from qfa_search.images.decoding import (
    UNREADABLE,
    check_same,
    is_too_many,
    read_image,
    read_published,
    reason,
)
from qfa_search.images.layout import SplitName
from qfa_search.images.memory import MEAN, STD
from qfa_search.images.names import printable
from qfa_search.images.opened_folder import OpenedFolder
from qfa_search.images.threads import in_threads, one_ahead

logger = logging.getLogger(__name__)

CROP_SHARE = 0.875
LEAST_AREA, RATIO = 0.08, (3 / 4, 4 / 3)
CROP_TRIES = 10


@dataclass
class Unreadable:
    """Images that could not be read, each told of once.

    Attributes:
        n_images: All images that there are.
        names: Those that could not be read.
    """

    n_images: int = 0
    names: set[str] = field(default_factory=set)

    def add(self, name: str, told: str) -> None:
        """Leave out one more.

        Raises:
            DataError: It is one too many.
        """
        if name in self.names:
            return
        self.names.add(name)
        if is_too_many(len(self.names), self.n_images):
            raise DataError(
                f"{len(self.names)} of {self.n_images} images cannot be read, one of them: "
                f"{told}; repair or remove them"
            )
        logger.warning("an image cannot be read and is left out, %s", told)


@dataclass(frozen=True, slots=True)
class FolderImages:
    """Colour images on disk, in a fixed order.

    Images that cannot be read are left out with a warning, as of folders in memory; too many
    of them end it.

    Attributes:
        root: Folder that `names` are relative to.
        names: One file each.
        labels: Class indices, int64 `(n,)`.
        crop_seed: Seed of random crops and flips; None cuts out the centre.
        least_area: Share of an image that a random crop shows at least.
        flips: Whether half of the random crops are mirrored.
        digests: Of what the files must hold; None takes them as they are.
        is_published: Whether files are read as the published recipe reads them.
        unreadable: Those that could not be read so far, of all images that these were taken of.
    """

    root: Path
    names: tuple[str, ...]
    labels: NDArray[np.int64]
    crop_seed: int | None = None
    least_area: float = LEAST_AREA
    flips: bool = True
    digests: tuple[str, ...] | None = None
    is_published: bool = False
    unreadable: Unreadable = field(default_factory=lambda: Unreadable(), compare=False)

    def __len__(self) -> int:
        return len(self.names)

    def take(self, indices: Sequence[int] | NDArray[np.int64]) -> FolderImages:
        """The images at `indices`, in that order."""
        at = np.asarray(indices, dtype=np.int64)
        digests = None if self.digests is None else tuple(self.digests[i] for i in at)
        names = tuple(self.names[i] for i in at)
        return replace(self, names=names, labels=self.labels[at], digests=digests)

    def drawn(self, n: int, seed: int = 0) -> FolderImages:
        """`n` images in random order; all if there are fewer."""
        return self.take(np.random.default_rng(seed).permutation(len(self))[:n])

    def with_crops(
        self, seed: int, *, least_area: float = LEAST_AREA, flips: bool = True
    ) -> FolderImages:
        """The same images, cut at random places."""
        return replace(self, crop_seed=seed, least_area=least_area, flips=flips)

    def batches(self, resolution: int, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of normalized images at `resolution`, and labels, in order."""
        for images, labels in self.batches_at([resolution], batch_size):
            yield images[resolution], labels

    def batches_at(
        self, resolutions: Sequence[int], batch_size: int, *, threads: int = 1
    ) -> Iterator[tuple[dict[int, Tensor], Tensor]]:
        """Batches at several resolutions at once; every image is decoded once.

        Args:
            resolutions: Sides of the square images.
            batch_size: Images per batch.
            threads: Decoders; the next batch is decoded while this one is used.

        Yields:
            float32 images `(n, 3, r, r)` for every resolution r, and labels.

        Raises:
            DataError: Too many images cannot be read.
            CheckpointMismatchError: Some hold something else than `digests` say.
        """
        starts = range(0, len(self), batch_size)

        def decoded(start: int) -> list[dict[int, Tensor] | None]:
            numbers = range(start, min(start + batch_size, len(self)))
            return in_threads(lambda i: self._views(i, resolutions), numbers, threads)

        coming = one_ahead(partial(decoded, start) for start in starts)
        for start, found in zip(starts, coming, strict=True):
            readable = [i for i, views in enumerate(found) if views is not None]
            views = [view for view in found if view is not None]
            if not views:
                continue
            labels = torch.from_numpy(self.labels[start : start + batch_size][readable])
            yield {r: _normalized([view[r] for view in views]) for r in resolutions}, labels

    def _views(self, index: int, resolutions: Sequence[int]) -> dict[int, Tensor] | None:
        """uint8 `(3, r, r)` of one image for every resolution r; None if it cannot be read."""
        from torchvision.transforms.v2 import functional as T

        path = self.root / self.names[index]
        try:
            if self.digests is not None and file_digest(path) != self.digests[index]:
                check_same(self.root, [self.names[index]], len(self))
            image = read_published(path) if self.is_published else read_image(path, 3)
        except UNREADABLE as error:
            self.unreadable.add(self.names[index], f"{printable(path)}: {reason(error)}")
            return None
        if self.crop_seed is not None:
            rng = np.random.default_rng([self.crop_seed, index])
            box = _random_box(
                rng, height=image.height, width=image.width, least_area=self.least_area
            )
            is_flipped = rng.random() < 0.5 and self.flips
        views = {}
        for r in resolutions:
            if self.crop_seed is None:
                view = T.center_crop(T.resize(image, [math.ceil(r / CROP_SHARE)]), [r, r])
            else:
                view = T.resized_crop(image, *box, [r, r])
                view = T.horizontal_flip(view) if is_flipped else view
            views[r] = T.pil_to_tensor(view)
        return views


@dataclass(frozen=True)
class FolderData(OpenedFolder):
    """An image folder that memory cannot hold.

    Attributes:
        is_published: Whether files are read as the published recipe reads them: no orientation
            tags, transparency dropped, 16 bits clipped.
        crop_seed: Seed of the random crops of training images.
        least_area: Share of an image that such a crop shows at least.
        flips: Whether half of these are mirrored.
    """

    is_published: bool = False
    crop_seed: int = 0
    least_area: float = LEAST_AREA
    flips: bool = True

    def images(self, split: SplitName) -> FolderImages:
        """The images of one split; "train" comes in random crops."""
        return FolderImages(
            self.split.root,
            self.split.names[split],
            self.split.labels[split],
            self.crop_seed if split == "train" else None,
            least_area=self.least_area,
            flips=self.flips,
            digests=self.split.expected_digests(split),
            is_published=self.is_published,
            unreadable=Unreadable(self.size(split)),
        )

    def drawn(self, split: SplitName, n: int) -> FolderImages:
        """`n` images of one split at random, or all of them."""
        return self.images(split).drawn(n)


def _random_box(
    rng: np.random.Generator, *, height: int, width: int, least_area: float
) -> tuple[int, int, int, int]:
    """Top, left, height and width of a random part: some of the area to all of it, 3:4 to 4:3.

    Of all of an image it is the centre square, as of images in memory.
    """
    if least_area == 1:
        side = min(height, width)
        return (height - side) // 2, (width - side) // 2, side, side
    for _ in range(CROP_TRIES):
        area = height * width * rng.uniform(least_area, 1.0)
        ratio = math.exp(rng.uniform(*np.log(RATIO)))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            return int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1)), h, w
    w = min(width, round(height * RATIO[1]))
    h = min(height, round(width / RATIO[0]))
    return (height - h) // 2, (width - w) // 2, h, w


def _normalized(views: list[Tensor]) -> Tensor:
    mean, std = (torch.tensor(value).view(1, 3, 1, 1) for value in (MEAN, STD))
    return (torch.stack(views).float() / 255 - mean) / std
