"""The one opener: a data set by name or folder, to train on, or as a supernet was trained on it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from predictors.files import read_metadata
from qfa_search.errors import DataError
from qfa_search.images import decoding
from qfa_search.images.cifar10 import CIFAR10, cifar10
from qfa_search.images.fashion_mnist import FASHION_MNIST, fashion_mnist
from qfa_search.images.folder_space import largest_side, space_for_folder
from qfa_search.images.memory import ImageFolder
from qfa_search.images.names import printable
from qfa_search.images.on_disk import LEAST_AREA, FolderData
from qfa_search.images.published_set import Listed, PublishedSet
from qfa_search.images.same_images import check_split, with_same_contents
from qfa_search.images.split_file import (
    EARLIER_SPLIT_FILE,
    SPLIT_FILE,
    read_earlier_split,
    read_known,
    read_split,
    split_digest,
    write_split,
)
from qfa_search.images.splits import FolderSplit, KnownImages, split_folder
from search_spaces import SearchSpace

SPLIT_SEED = 0
PUBLISHED_SETS: Mapping[str, Callable[[int], PublishedSet]] = {
    FASHION_MNIST: fashion_mnist,
    CIFAR10: cifar10,
}
ON_DISK = "imagenet"  # preprocessing of images on disk, in a supernet's metadata
UPRIGHT = "upright"  # whether such images are read as others are, and not as published

Data = PublishedSet | ImageFolder | FolderData

logger = logging.getLogger(__name__)


def list_images(
    source: str,
    *,
    split_seed: int = SPLIT_SEED,
    split_file: Path | None = None,
    starts: Sequence[Path] = (),
    by_content: bool = True,
) -> Listed:
    """The images of `source` and their splits; nothing is decoded.

    Args:
        source: "fashion-mnist", "cifar10" or a folder of class folders.
        split_seed: Seed of what is held out.
        split_file: A stored split of the folder, taken if it is there.
        starts: Files of supernets and teachers that a training starts or learns from: images
            that they were trained on are not held out.
        by_content: Whether the files of a folder are read for their digests; without, copies may
            lie in several splits.

    Raises:
        DataError: There is no such folder, or it is not made of class folders with images.
        CheckpointMismatchError: The folder lacks images of the stored split.
    """
    listed: Listed
    if source in PUBLISHED_SETS:
        listed = PUBLISHED_SETS[source](split_seed)
        _warn_of_other_split(listed, starts)
    elif split_file is not None and split_file.is_file():
        listed = read_split(split_file, Path(source))
    else:
        known = _known(starts)
        listed = split_folder(Path(source), split_seed, known=known, by_content=by_content)
    _warn_of_other_classes(listed, starts)
    return listed


def data_for(listed: Listed, space: SearchSpace) -> Data:
    """Listed images for the networks of `space`; those that memory cannot hold stay on disk.

    Raises:
        DataError: They do not fit the space.
    """
    resolution = max(space.resolutions)
    data = _in_memory(listed, space.input_channels, resolution)
    name = listed.name if isinstance(listed, PublishedSet) else printable(listed.root)
    if len(listed.classes) != space.n_classes:
        raise DataError(
            f"{name} has {len(listed.classes)} classes, {printable(space.name)} {space.n_classes}"
        )
    if isinstance(listed, PublishedSet) or not is_too_large(listed, space):
        return data
    return FolderData(listed)


def is_too_large(listed: Listed, space: SearchSpace) -> bool:
    """Whether memory cannot hold the training images; colour images then stay on disk."""
    if isinstance(listed, PublishedSet) or space.input_channels != 3:
        return False
    shape = (len(listed.names["train"]), 3, max(space.resolutions), max(space.resolutions))
    return bool(np.prod(shape, dtype=np.int64) > decoding.LARGEST_SET_IN_MEMORY)


def open_data(
    source: str | Path,
    *,
    channels: int | None = None,
    resolution: int | None = None,
    split_seed: int = SPLIT_SEED,
    split_file: Path | None = None,
) -> PublishedSet | ImageFolder:
    """The data set called `source`, with images that are decoded when asked for.

    Args:
        source: "fashion-mnist", "cifar10" or a folder of class folders.
        channels: 1 for grey, 3 for colour; what the images are by default.
        resolution: Side that folder images are brought to; that of a fitted space by default.
        split_seed: Seed of the split.
        split_file: A stored split of the folder, taken if it is there.

    Raises:
        DataError: There is no such folder, or it is not made of class folders with images.
    """
    listed = list_images(str(source), split_seed=split_seed, split_file=split_file)
    if isinstance(listed, PublishedSet):
        return _in_memory(listed, channels or listed.channels, resolution or 0)
    if channels is None or resolution is None:
        space = space_for_folder(listed, resolution=None, largest_side=largest_side())
        channels = channels or space.input_channels
        resolution = resolution or max(space.resolutions)
    return _in_memory(listed, channels, resolution)


def _in_memory(listed: Listed, channels: int, resolution: int) -> PublishedSet | ImageFolder:
    if isinstance(listed, FolderSplit):
        return ImageFolder(listed, channels, resolution)
    if channels != listed.channels:
        kind = "grey" if listed.channels == 1 else "colour"
        raise DataError(f"{listed.name} images are {kind}, the space wants {channels} channels")
    return listed


def open_as_trained(
    source: str, space: SearchSpace, weights: Path, metadata: Mapping[str, Any]
) -> Data:
    """The images of `source`, split as in the training of a supernet, and the same images.

    The split is the one that is stored beside the supernet, or made again by its seed. Contents
    are compared with the supernet's digest, or when images are decoded.

    Args:
        source: As of `list_images`.
        space: Space of the supernet.
        weights: Its file.
        metadata: Its metadata.

    Raises:
        ValueError: The supernet does not say how its images were split.
        DataError: There are no such images, or of other classes.
        CheckpointMismatchError: They are other images than those of the training.
    """
    if not _is_sound(metadata) or "split" not in metadata:
        raise ValueError(f"{printable(weights)} does not say how its images were split")
    is_on_disk = metadata.get("preprocessing") == ON_DISK
    listed = _listed_as_trained(source, weights, metadata)
    if len(listed.classes) != space.n_classes:
        raise DataError(
            f"{printable(source)} has {len(listed.classes)} classes, the supernet {space.n_classes}"
        )
    check_split(source, listed, weights, metadata)
    listed = with_same_contents(source, listed, weights, metadata, published_name(metadata))
    if is_on_disk and isinstance(listed, FolderSplit):
        recipe = metadata.get("recipe")
        recipe = recipe if isinstance(recipe, dict) else {}
        return FolderData(
            listed,
            is_published=not metadata.get(UPRIGHT),
            least_area=recipe.get("crop_share", LEAST_AREA),
            flips=bool(recipe.get("flip", True)),
        )
    return _in_memory(listed, space.input_channels, max(space.resolutions))


def data_metadata(source: str, data: Data, split_seed: int = SPLIT_SEED) -> dict[str, Any]:
    """What a supernet says of the images that it was trained on.

    Returns:
        The name of the data set, its classes in the order of outputs, its digest (names, splits
        and contents), and its split: the seed and fingerprints of labels and of file names.
    """
    split = {"seed": split_seed, "digest": data.split_digest, "files": data.files_digest}
    found = {
        "data": Path(source).resolve().name,
        "split": {key: value for key, value in split.items() if value is not None},
        **about_images(data),
    }
    if isinstance(data, FolderData):
        found |= {"preprocessing": ON_DISK, UPRIGHT: True}
    return found


def about_images(data: Data) -> dict[str, Any]:
    """What a teacher says of the images that it was trained on: a part of `data_metadata`."""
    found: dict[str, Any] = {"classes": list(data.classes), "data_digest": data.digest}
    return found | ({"data": data.name} if isinstance(data, PublishedSet) else {})


def class_names(metadata: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Names of a supernet's classes in the order of its outputs; None if it does not know them."""
    if "classes" in metadata and _is_sound(metadata):
        return tuple(metadata["classes"])
    name = published_name(metadata)
    return None if name is None else PUBLISHED_SETS[name](SPLIT_SEED).classes


def published_name(metadata: Mapping[str, Any]) -> str | None:
    """The published set that a supernet was trained on; None for a folder, whatever its name."""
    name = str(metadata.get("data"))
    if name not in PUBLISHED_SETS or not _is_sound(metadata):
        return None
    return None if "files" in metadata.get("split", {}) else name


def _listed_as_trained(source: str, weights: Path, metadata: Mapping[str, Any]) -> Listed:
    seed, root = metadata["split"]["seed"], Path(source)
    if source in PUBLISHED_SETS:
        return PUBLISHED_SETS[source](seed)
    stored = weights.with_name(SPLIT_FILE)
    # One folder may hold several supernets, and the split of one of them.
    if stored.is_file() and metadata["split"].get("files") in (None, split_digest(stored)):
        return read_split(stored, root)
    if metadata["split"].get("digest") is not None:
        return split_folder(root, seed, by_content="data_digest" in metadata)
    split = split_folder(root, seed, by_content=False)  # what it was trained on is not known
    earlier = weights.with_name(EARLIER_SPLIT_FILE)
    if earlier.is_file():
        split = read_earlier_split(earlier, split)
    try:
        write_split(stored, split)
    except OSError as error:  # the seed gives the same split again
        logger.warning("the validation split is not stored: %s", error)
    return split


def _known(starts: Sequence[Path]) -> KnownImages:
    """What is stored beside supernets and teachers of the images that they were trained on."""
    known = KnownImages()
    for start in starts:
        if not start.is_file():  # which is told where it is read
            continue
        metadata = _start_metadata(start)
        stored = start.with_name(SPLIT_FILE)
        files = metadata.get("split", {}).get("files")
        if stored.is_file() and files in (None, split_digest(stored)):
            known = known.joined(read_known(stored))
        elif published_name(metadata) is None:
            logger.warning(
                "no split of %s lies beside it: images that it was trained on may be held out",
                printable(start),
            )
    return known


def _warn_of_other_split(found: PublishedSet, starts: Sequence[Path]) -> None:
    for start in starts:
        metadata = _start_metadata(start)
        digest = metadata.get("split", {}).get("digest")
        if published_name(metadata) == found.name and digest != found.split_digest:
            logger.warning(
                "%s was trained on another split of %s: images that it was trained on may be "
                "held out",
                *(printable(start), found.name),
            )


def _warn_of_other_classes(listed: Listed, starts: Sequence[Path]) -> None:
    """Log starts of as many classes, whose outputs are taken over, that mean something else."""
    for start in starts:
        names = class_names(_start_metadata(start)) or ()
        if len(names) == len(listed.classes) and names != listed.classes:
            both = zip(names, listed.classes, strict=True)
            one, other = next((a, b) for a, b in both if a != b)
            logger.warning(
                "%s has the class %s where these images have %s",
                *(printable(start), printable(one), printable(other)),
            )


def _start_metadata(start: Path) -> dict[str, Any]:
    """Metadata of a supernet or a teacher; nothing of what is neither, which is told later."""
    for kind in ("supernet", "teacher"):
        try:
            metadata = read_metadata(start, kind)
        except ValueError:
            continue
        return metadata if _is_sound(metadata) else {}
    return {}


def _is_sound(metadata: Mapping[str, Any]) -> bool:
    """Whether what the metadata of a file say of its images has the right types."""
    split, names = metadata.get("split", {"seed": SPLIT_SEED}), metadata.get("classes", [])
    return (
        isinstance(split, Mapping)
        and isinstance(split.get("seed"), int)
        and all(isinstance(split.get(key), str | None) for key in ("digest", "files"))
        and isinstance(names, list)
        and all(isinstance(name, str) for name in names)
        and all(isinstance(metadata.get(key), str | None) for key in ("data", "data_digest"))
    )
