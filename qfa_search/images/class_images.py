"""The images of the class folders in one folder, with labels and digests of their contents."""

from __future__ import annotations

import logging
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qfa_search.errors import DataError
from qfa_search.images.digests import content_digests
from qfa_search.images.listing import (
    LOCKED_FILE,
    LeftOut,
    images_below,
    others_in,
    visible_folders,
)
from qfa_search.images.names import printable

MANY = 200_000  # images whose reading takes minutes

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ClassImages:
    """Image files and their classes.

    Attributes:
        names: Paths relative to the root, sorted by class and name.
        labels: Class indices, int64 `(n,)`.
        digests: Digests of their contents, if those were read.
        left_out: What lies beside them.
    """

    names: tuple[str, ...]
    labels: NDArray[np.int64]
    digests: tuple[str, ...] | None
    left_out: LeftOut = field(default_factory=LeftOut)

    def take(self, at: NDArray[np.int64]) -> ClassImages:
        """The images at the indices `at`."""
        digests = None if self.digests is None else tuple(self.digests[i] for i in at)
        return ClassImages(tuple(self.names[i] for i in at), self.labels[at], digests)


def class_images(
    root: Path, folder: Path, classes: tuple[str, ...], *, by_content: bool
) -> ClassImages:
    """Images of the class folders in `folder`.

    Args:
        root: What their names are relative to: `folder` or a folder that it lies in.
        folder: Where the class folders are.
        classes: Names of the classes: label i is the i-th. Some may have no folder.
        by_content: Whether the files are read for their digests.

    Raises:
        DataError: A folder is none of the classes, or there are no images at all.
    """
    own = visible_folders(folder)
    foreign = sorted({path.name for path in own} - set(classes))
    if foreign:
        raise DataError(
            f"{printable(folder)} has the class {printable(foreign[0])}, train has no such class"
        )
    index = {name: i for i, name in enumerate(classes)}
    names: list[str] = []
    labels: list[int] = []
    left_out = LeftOut() if folder == root else others_in(folder, own, root)
    for path in own:
        listing = images_below(path, root)
        names += listing.names
        labels += [index[path.name]] * len(listing.names)
        left_out = left_out + listing.left_out
    all_labels = np.array(labels, dtype=np.int64)
    if not by_content:
        return ClassImages(tuple(names), all_labels, None, left_out)
    if len(names) > MANY:
        logger.info("reading %d images for their digests", len(names))
    digests = content_digests(root, names)
    kept = [i for i, digest in enumerate(digests) if digest is not None]
    locked = [(LOCKED_FILE, name) for name, d in zip(names, digests, strict=True) if d is None]
    return ClassImages(
        tuple(names[i] for i in kept),
        all_labels[kept],
        tuple(digest for digest in digests if digest is not None),
        left_out + LeftOut(tuple(locked)),
    )


def warn_of_lookalikes(folder: Path, classes: tuple[str, ...]) -> None:
    """Log classes whose names differ in case or in the way accents are written alone."""
    seen: dict[str, str] = {}
    for name in classes:
        key = unicodedata.normalize("NFKC", name).casefold().strip()
        other = seen.setdefault(key, name)
        if other != name:
            logger.warning(
                "%s has the folders %s and %s, taken as two classes",
                *(printable(folder), printable(other), printable(name)),
            )
