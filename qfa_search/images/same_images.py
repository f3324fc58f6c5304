"""Whether images are those that a supernet was trained on: by split, by name and by content."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from qfa_search.errors import CheckpointMismatchError
from qfa_search.images.decoding import check_same
from qfa_search.images.digests import content_digests
from qfa_search.images.layout import SPLIT_NAMES
from qfa_search.images.names import printable
from qfa_search.images.published_set import Listed, PublishedSet
from qfa_search.images.splits import FolderSplit

READ_WHOLE = 20_000  # images that are all compared at once; of more, those that are decoded

logger = logging.getLogger(__name__)


def check_split(source: str, listed: Listed, weights: Path, metadata: Mapping[str, Any]) -> None:
    """Nothing, if classes, labels and file names are those of the training.

    Raises:
        CheckpointMismatchError: They are not.
    """
    names = metadata.get("classes")
    if names is not None and len(names) != len(listed.classes):
        raise CheckpointMismatchError(
            f"{printable(weights)} names {len(names)} classes, {printable(source)} has "
            f"{len(listed.classes)}: give the same images"
        )
    if names is not None and isinstance(listed, FolderSplit) and tuple(names) != listed.classes:
        both = zip(names, listed.classes, strict=True)
        one, other = next((a, b) for a, b in both if a != b)
        raise CheckpointMismatchError(
            f"{printable(source)} is not what {printable(weights)} was trained on: it has the "
            f"class {printable(other)} in the place of {printable(one)}"
        )
    split = metadata["split"]
    found = {"digest": listed.split_digest, "files": listed.files_digest}
    for key, digest in found.items():
        before = split.get(key)
        if None not in (before, digest) and before != digest:
            raise CheckpointMismatchError(
                f"{printable(source)} is not what {printable(weights)} was trained on: the {key} "
                f"of its split is {digest}, the supernet's {before}. Scores would count images "
                "that it was trained on; give the same images"
            )


def with_same_contents(
    source: str,
    listed: Listed,
    weights: Path,
    metadata: Mapping[str, Any],
    published: str | None,
) -> Listed:
    """The images, whose contents are those of the training; a warning tells if nobody knows.

    Args:
        source: What the user called them.
        listed: The images.
        weights: File of the supernet.
        metadata: Its metadata.
        published: The published set that it was trained on; None for a folder.

    Returns:
        `listed`, with digests that were just read where there are few images; of more images the
        stored digests are compared when they are decoded.

    Raises:
        CheckpointMismatchError: They hold something else.
    """
    expected = metadata.get("data_digest")
    if isinstance(listed, PublishedSet):
        if published != listed.name:
            logger.warning(
                "%s was trained on a folder, not on %s itself: its pixels may be others",
                *(printable(weights), listed.name),
            )
            return listed
        is_other = expected is not None and listed.digest != expected
    else:
        if expected is None:
            logger.warning(
                "%s does not say what its images held: the names in %s were compared, not the "
                "contents",
                *(printable(weights), printable(source)),
            )
            return listed
        if published is not None:
            logger.warning(
                "%s was trained on %s itself: the labels in %s were compared, not the contents",
                *(printable(weights), published, printable(source)),
            )
            return listed
        is_small = sum(map(len, listed.names.values())) <= READ_WHOLE
        if listed.digests is None or (listed.is_stored and is_small):
            before, listed = listed, _with_contents(listed)
            _check_same(before, listed)
        is_other = listed.digest != expected
    if is_other:
        raise CheckpointMismatchError(
            f"{printable(source)} is not what {printable(weights)} was trained on: images have "
            "another content under the same name. Scores would count images that it was trained "
            "on; give the same images"
        )
    return listed


def _check_same(before: FolderSplit, now: FolderSplit) -> None:
    """Raise if files hold something else than was stored of them; count them."""
    if before.digests is None or now.digests is None:
        return
    others = [
        name
        for part in SPLIT_NAMES
        for name, old, new in zip(
            before.names[part], before.digests[part], now.digests[part], strict=True
        )
        if old != new
    ]
    check_same(before.root, others, sum(map(len, before.names.values())))


def _with_contents(split: FolderSplit) -> FolderSplit:
    digests = {
        part: tuple(digest or "" for digest in content_digests(split.root, split.names[part]))
        for part in SPLIT_NAMES
    }
    return replace(split, digests=digests, is_stored=False)
