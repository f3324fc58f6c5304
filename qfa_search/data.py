"""Images: Fashion-MNIST or a folder of class folders, split once and for all.

Splits are "train", "val" (held out of train by a seeded, stratified split) and "test".
"""

from __future__ import annotations

import gzip
import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from qfa_search.errors import DataError

SplitName = Literal["train", "val", "test"]

FASHION_MNIST = "fashion-mnist"
FASHION_MNIST_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
LARGEST_SET_IN_MEMORY = 8 * 10**9


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
        return self.take(np.random.default_rng(seed).permutation(len(self))[:n])

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
class ImageData:
    """A data set with its split; images are read when first asked for.

    Attributes:
        source: "fashion-mnist" or the folder.
        channels: 1 for grey, 3 for colour.
        resolution: Side that folder images are brought to.
        split_seed: Seed of the validation split.
    """

    source: str
    channels: int
    resolution: int
    split_seed: int = 0

    def images(self, split: SplitName) -> Images:
        """The images of one split.

        Raises:
            DataError: They are not there or cannot be read.
        """
        if split == "test":
            return self._read("test")
        train = self._all_training_images
        kept, held_out = self._split
        return train.take(kept if split == "train" else held_out)

    @property
    def split_digest(self) -> str:
        """Fingerprint of the training labels and of which of them are held out."""
        labels = self._all_training_images.labels.numpy()
        return hashlib.sha256(labels.tobytes() + self._split[1].tobytes()).hexdigest()[:16]

    @cached_property
    def n_classes(self) -> int:
        """Number of classes in the training images."""
        return int(self._all_training_images.labels.max()) + 1

    @cached_property
    def _all_training_images(self) -> Images:
        return self._read("train")

    @cached_property
    def _split(self) -> tuple[np.ndarray, np.ndarray]:
        labels = self._all_training_images.labels.numpy()
        return _hold_out(labels, self.split_seed)

    def _read(self, part: Literal["train", "test"]) -> Images:
        if self.source == FASHION_MNIST:
            return _read_fashion_mnist(part)
        return _read_folder(Path(self.source), part, self.channels, self.resolution)


def open_data(source: str, *, channels: int, resolution: int, split_seed: int = 0) -> ImageData:
    """The data set called `source`: "fashion-mnist", or a folder with train/CLASS/*.jpg.

    Raises:
        DataError: The folder has no train folder with class folders in it.
    """
    if source == FASHION_MNIST:
        if channels != 1:
            raise DataError(f"fashion-mnist images are grey, the space wants {channels} channels")
    else:
        class_folders(Path(source) / "train")
    return ImageData(source, channels, resolution, split_seed)


def resize(images: Tensor, resolution: int) -> Tensor:
    """`images` at another side length, antialiased."""
    if images.shape[-1] == resolution == images.shape[-2]:
        return images
    size = (resolution, resolution)
    return F.interpolate(images, size, mode="bilinear", antialias=True, align_corners=False)


def _hold_out(labels: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Sorted indices to train on and to validate on: a twelfth, at most 10,000, stratified."""
    from sklearn.model_selection import train_test_split

    n_held_out = min(10_000, len(labels) // 12)
    smallest = int(np.bincount(labels).min())
    n_classes = len(np.unique(labels))
    if n_held_out < n_classes or smallest < 2:
        raise DataError(
            f"{len(labels)} training images of {n_classes} classes, {smallest} in the smallest, "
            "are too few to hold out a validation image of every class: add images"
        )
    kept, held_out = train_test_split(
        np.arange(len(labels)), test_size=n_held_out, random_state=seed, stratify=labels
    )
    return np.sort(kept), np.sort(held_out)


def _read_fashion_mnist(part: Literal["train", "test"]) -> Images:
    folder = _fashion_mnist_folder()
    prefix = "train" if part == "train" else "t10k"
    pixels = _read_idx(folder / f"{prefix}-images-idx3-ubyte.gz")
    labels = _read_idx(folder / f"{prefix}-labels-idx1-ubyte.gz")
    return Images(
        torch.from_numpy(pixels)[:, None],
        torch.from_numpy(labels.astype(np.int64)),
        mean=(0.2860,),
        std=(0.3530,),
    )


def _fashion_mnist_folder() -> Path:
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


def _read_idx(path: Path) -> np.ndarray:
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


def class_folders(root: Path) -> list[Path]:
    """The class folders in `root`, sorted.

    Raises:
        DataError: There are fewer than two.
    """
    folders = sorted(p for p in root.iterdir() if p.is_dir()) if root.is_dir() else []
    if len(folders) < 2:
        raise DataError(
            f"{root} has {len(folders)} class folders, expected at least two: images belong into "
            "train/CLASS/ (and val/CLASS/ for the test split)"
        )
    return folders


def _read_folder(
    root: Path, part: Literal["train", "test"], channels: int, resolution: int
) -> Images:
    """Decode a folder once: shorter side to `resolution`, centre crop, grey or colour."""
    from torchvision.datasets.folder import IMG_EXTENSIONS

    classes = [p.name for p in class_folders(root / "train")]
    folder = root / ("train" if part == "train" else "val")
    if part == "test":
        test_classes = [p.name for p in class_folders(folder)]
        if not set(test_classes) <= set(classes):
            raise DataError(f"{folder} has classes {test_classes}, train has {classes}")
    found = [
        (path, label)
        for label, name in enumerate(classes)
        for path in sorted((folder / name).glob("**/*"))
        if path.suffix.lower() in IMG_EXTENSIONS
    ]
    counts = np.bincount([label for _, label in found], minlength=len(classes))
    if part == "train" and counts.min() == 0:
        raise DataError(
            f"{folder / classes[int(counts.argmin())]} has no images "
            f"(looked for {', '.join(IMG_EXTENSIONS)})"
        )
    if not found:
        raise DataError(f"{folder} has no images (looked for {', '.join(IMG_EXTENSIONS)})")
    n_bytes = len(found) * channels * resolution**2
    if n_bytes > LARGEST_SET_IN_MEMORY:
        raise DataError(
            f"{len(found)} images at {resolution} pixels take {n_bytes / 1e9:.1f} GB, more than "
            f"the {LARGEST_SET_IN_MEMORY / 1e9:.0f} GB that are kept in memory: use fewer images "
            "or a space with smaller resolutions"
        )
    pixels = torch.empty(len(found), channels, resolution, resolution, dtype=torch.uint8)
    for i, (path, _) in enumerate(found):
        pixels[i] = _decode(path, channels, resolution)
    labels = torch.tensor([label for _, label in found])
    if channels == 1:
        return Images(pixels, labels, mean=(0.449,), std=(0.226,))
    return Images(pixels, labels, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


def _decode(path: Path, channels: int, resolution: int) -> Tensor:
    from PIL import Image, UnidentifiedImageError
    from torchvision.transforms.v2 import functional as T

    try:
        with Image.open(path) as file:
            image = file.convert("L" if channels == 1 else "RGB")
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise DataError(f"cannot read image {path}: {error}; repair or remove it") from error
    image = T.center_crop(T.resize(image, [resolution]), [resolution])
    pixels: Tensor = T.pil_to_tensor(image)
    return pixels
