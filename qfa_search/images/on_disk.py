"""ImageNet-like folders whose images are decoded when a batch asks for them.

The published recipe: for evaluation the shorter side goes to ceil(r / 0.875) and the centre r x r
is cut out; for training a random part is resized to r x r and flipped half of the time. Memory
holds batches, never the data set.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from predictors.files import write_text
from qfa_search.errors import CheckpointMismatchError, DataError
from qfa_search.images.decoding import SUFFIXES, UNREADABLE, is_image
from qfa_search.images.memory import MEAN, STD
from qfa_search.images.splits import SplitName, class_folders

logger = logging.getLogger(__name__)

CROP_SHARE = 0.875
N_HELD_OUT = 10_000
SMALLEST_TRAIN_SHARE = 12  # of a small folder, one image in so many is held out
AREA, RATIO = (0.08, 1.0), (3 / 4, 4 / 3)
CROP_TRIES = 10
SPLIT_FILE = "validation_split.json"


@dataclass(frozen=True, slots=True)
class FolderImages:
    """Colour images on disk, in a fixed order.

    Attributes:
        root: Folder that `names` are relative to.
        names: One file each.
        labels: Class indices, int64 `(n,)`.
        crop_seed: Seed of random crops and flips; None cuts out the centre.
    """

    root: Path
    names: tuple[str, ...]
    labels: NDArray[np.int64]
    crop_seed: int | None = None

    def __len__(self) -> int:
        return len(self.names)

    def take(self, indices: Sequence[int] | NDArray[np.int64]) -> FolderImages:
        """The images at `indices`, in that order."""
        at = np.asarray(indices, dtype=np.int64)
        return replace(self, names=tuple(self.names[i] for i in at), labels=self.labels[at])

    def drawn(self, n: int, seed: int = 0) -> FolderImages:
        """`n` images in random order; all if there are fewer."""
        return self.take(np.random.default_rng(seed).permutation(len(self))[:n])

    def with_crops(self, seed: int) -> FolderImages:
        """The same images, cut at random places."""
        return replace(self, crop_seed=seed)

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
            DataError: An image cannot be read.
        """
        starts = range(0, len(self), batch_size)
        with ThreadPoolExecutor(threads) as pool:

            def submit(start: int) -> Iterator[dict[int, Tensor]]:
                stop = min(start + batch_size, len(self))
                return pool.map(lambda i: self._views(i, resolutions), range(start, stop))

            coming = submit(0) if len(self) else iter(())
            for start in starts:
                views = list(coming)
                if start + batch_size < len(self):
                    coming = submit(start + batch_size)
                labels = torch.from_numpy(self.labels[start : start + batch_size])
                yield {r: _normalized([view[r] for view in views]) for r in resolutions}, labels

    def _views(self, index: int, resolutions: Sequence[int]) -> dict[int, Tensor]:
        """uint8 `(3, r, r)` of one image for every resolution r."""
        from PIL import Image
        from torchvision.transforms.v2 import functional as T

        path = self.root / self.names[index]
        try:
            with Image.open(path) as file:
                image = file.convert("RGB")  # as the published recipe, without orientation tags
        except UNREADABLE as error:
            raise DataError(f"cannot read image {path}: {error}; repair or remove it") from error
        if self.crop_seed is not None:
            rng = np.random.default_rng([self.crop_seed, index])
            box = _random_box(rng, height=image.height, width=image.width)
            is_flipped = rng.random() < 0.5
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
class FolderData:
    """An image folder with train/CLASS and val/CLASS, and a validation split held out of train.

    Attributes:
        root: The folder.
        split_seed: Seed of the validation split, 10,000 random training images.
        split_file: Where the split is stored when it is first made, and read from afterwards.
    """

    root: Path
    split_seed: int
    split_file: Path | None = None

    def images(self, split: SplitName) -> FolderImages:
        """The images of one split; "test" is the val folder, "train" comes in random crops.

        Raises:
            DataError: They are not there.
            CheckpointMismatchError: The training images are not those of the stored split.
        """
        if split == "test":
            return _listed(self.root, "val", self.classes)
        is_held_out = np.zeros(len(self._train), dtype=bool)
        is_held_out[self._held_out] = True
        if split == "val":
            return self._train.take(np.flatnonzero(is_held_out))
        return replace(self._train.take(np.flatnonzero(~is_held_out)), crop_seed=self.split_seed)

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Names of the class folders in train, sorted: label i is the i-th."""
        return tuple(path.name for path in class_folders(self.root / "train"))

    @property
    def n_classes(self) -> int:
        """Number of class folders in train."""
        return len(self.classes)

    @cached_property
    def _train(self) -> FolderImages:
        return _listed(self.root, "train", self.classes)

    @cached_property
    def _held_out(self) -> NDArray[np.int64]:
        n = len(self._train)
        digest = hashlib.sha256("\n".join(self._train.names).encode()).hexdigest()[:16]
        if self.split_file is not None and self.split_file.is_file():
            return _read_split(self.split_file, self.root, self._train.names, digest)
        n_held_out = min(N_HELD_OUT, n // SMALLEST_TRAIN_SHARE)
        if n_held_out == 0:
            raise DataError(f"{self.root}/train has {n} images, too few to hold some out")
        chosen = np.sort(np.random.default_rng(self.split_seed).permutation(n)[:n_held_out])
        if self.split_file is not None:
            content = {
                "format": "qfa-search validation split",
                "seed": self.split_seed,
                "n_train_images": n,
                "train_digest": digest,
                "held_out": [self._train.names[i] for i in chosen],
            }
            try:
                write_text(self.split_file, json.dumps(content, indent=0) + "\n")
            except OSError as error:  # the seed gives the same split again
                logger.warning("the validation split is not stored: %s", error)
        return chosen


def _read_split(path: Path, root: Path, names: tuple[str, ...], digest: str) -> NDArray[np.int64]:
    try:
        stored: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if stored["train_digest"] != digest:
            raise CheckpointMismatchError(
                f"the training images of {root} are not the {stored['n_train_images']} that the "
                f"validation split in {path} was made of: give that folder, or remove the file to "
                "make another split"
            )
        place = {name: i for i, name in enumerate(names)}
        return np.array([place[name] for name in stored["held_out"]], dtype=np.int64)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not a readable validation split: {error!r}") from error


def _listed(root: Path, part: str, classes: Sequence[str]) -> FolderImages:
    class_folders(root / part)
    names: list[str] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        found = [
            os.path.relpath(os.path.join(folder, file), root)
            for folder, _, files in os.walk(root / part / name)
            for file in files
            if is_image(file)
        ]
        names += sorted(found)
        labels += [label] * len(found)
        if part == "train" and not found:
            raise DataError(f"{root / part / name} has no images")
    foreign = sorted({p.name for p in class_folders(root / part)} - set(classes))
    if foreign:
        raise DataError(f"{root / part} has the class {foreign[0]}, train has no such class")
    if not names:
        raise DataError(f"{root / part} has no images (looked for {', '.join(SUFFIXES)})")
    return FolderImages(root, tuple(names), np.array(labels, dtype=np.int64))


def _random_box(rng: np.random.Generator, *, height: int, width: int) -> tuple[int, int, int, int]:
    """Top, left, height and width of a random part: 8 to 100 % of the area, 3:4 to 4:3."""
    for _ in range(CROP_TRIES):
        area = height * width * rng.uniform(*AREA)
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
