"""A split as a readable file, split.csv, with the digests of the images beside it."""

from __future__ import annotations

import csv
import io
from codecs import BOM_UTF8
from pathlib import Path, PurePath
from typing import cast

import numpy as np

from predictors.files import atomic_path, digest_of
from qfa_search.errors import CheckpointMismatchError
from qfa_search.images.digests import (
    DIGESTS_FILE,
    read_digests,
    table_of_images,
    write_digests,
)
from qfa_search.images.holding_out import Labels
from qfa_search.images.layout import SPLIT_NAMES, SplitName, understood
from qfa_search.images.names import printable
from qfa_search.images.splits import FolderSplit, KnownImages
from search_spaces.plain_data import parse_json, read_text

SPLIT_FILE = "split.csv"
KNOWN_FILE = "known.csv"  # contents that the trainings before this one had, and their splits
EARLIER_SPLIT_FILE = "validation_split.json"  # of earlier versions, for images on disk


def write_split(path: Path, split: FolderSplit) -> None:
    """Write a CSV file of the columns path and split, whole or not at all; digests beside it."""
    if split.digests is not None:
        digests = {
            name: digest
            for part in SPLIT_NAMES
            for name, digest in zip(split.names[part], split.digests[part], strict=True)
        }
        write_digests(path.with_name(DIGESTS_FILE), digests)
    if split.known.by_digest:
        with atomic_path(path.with_name(KNOWN_FILE)) as temporary:
            temporary.write_bytes(table_of_images("split", sorted(split.known.by_digest.items())))
    with atomic_path(path) as temporary:
        temporary.write_bytes(split.as_csv())


def read_split(path: Path, root: Path) -> FolderSplit:
    """The split that `write_split` stored, for the images in `root`; others there are ignored.

    Raises:
        ValueError: The file is not one of `write_split`.
        CheckpointMismatchError: Some of its images are not in `root`.
    """
    rows = _read_rows(path)
    depth = understood(root).depth
    missing = [name for name in rows if not (root / name).is_file()]
    if missing:
        raise CheckpointMismatchError(
            f"{printable(root)} is not what the supernet of {printable(path)} was trained on: "
            f"{len(missing)} of its {len(rows)} images are not there, the first: "
            f"{printable(missing[0])}"
        )
    of_path = {name: PurePath(name).parts for name in rows}
    if not rows or any(len(parts) <= depth + 1 for parts in of_path.values()):
        raise ValueError(
            f"{printable(path)} is not a split of {printable(root)}: remove it to make another"
        )
    classes = tuple(sorted({parts[depth] for parts in of_path.values()}))
    index = {name: i for i, name in enumerate(classes)}
    names: dict[SplitName, tuple[str, ...]] = {}
    labels: dict[SplitName, Labels] = {}
    for part in SPLIT_NAMES:
        own = [name for name, own_part in rows.items() if own_part == part]
        own.sort(key=lambda name: (index[of_path[name][depth]], of_path[name]))
        names[part] = tuple(own)
        labels[part] = np.array([index[of_path[name][depth]] for name in own], dtype=np.int64)
    stored = path.with_name(DIGESTS_FILE)
    known = read_digests(stored) if stored.is_file() else {}
    digests = None
    if known.keys() >= rows.keys():
        digests = {part: tuple(known[name] for name in names[part]) for part in SPLIT_NAMES}
    sizes = ", ".join(f"{part} {len(names[part])}" for part in SPLIT_NAMES)
    return FolderSplit(
        root,
        classes,
        names,
        labels,
        digests,
        is_stored=True,
        told=f"images of {printable(root)}: {len(classes)} classes, {sizes}, as in "
        f"{printable(path)}",
    )


def split_digest(path: Path) -> str:
    """`FolderSplit.files_digest` of the split in a file, whatever an editor made of line ends."""
    return digest_of(path.read_bytes().removeprefix(BOM_UTF8).replace(b"\r\n", b"\n"))


def read_known(path: Path) -> KnownImages:
    """What the split in a file says of its images, and of those of trainings before it.

    By content where that is stored.

    Raises:
        ValueError: The file is not one of `write_split`.
    """
    rows = _read_rows(path)
    stored = path.with_name(DIGESTS_FILE)
    digests = read_digests(stored) if stored.is_file() else {}
    if not digests.keys() >= rows.keys():
        return KnownImages(by_name=rows)
    found: dict[str, SplitName] = {}
    for name, part in rows.items():
        if found.get(digests[name]) != "train":  # a copy in several splits was trained on
            found[digests[name]] = part
    known = KnownImages(by_digest=found)
    before = path.with_name(KNOWN_FILE)
    return known.joined(KnownImages(_read_rows(before))) if before.is_file() else known


def read_earlier_split(path: Path, split: FolderSplit) -> FolderSplit:
    """`split` with the validation images that an earlier version held out and stored as JSON.

    Raises:
        ValueError: The file is not readable.
        CheckpointMismatchError: Some of its images are not there.
    """
    try:
        held_out = set(parse_json(read_text(path, "split"))["held_out"])  # type: ignore[index]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not a readable validation split: {error!r}") from error
    pairs = sorted(
        (int(label), PurePath(name).parts, name)
        for part in SPLIT_NAMES[:2]
        for name, label in zip(split.names[part], split.labels[part], strict=True)
    )
    missing = held_out - {name for _, _, name in pairs}
    if missing:
        raise CheckpointMismatchError(
            f"the training images of {printable(split.root)} are not those that the validation "
            f"split in {path} was made of: give that folder, or remove the file to make another"
        )
    names, labels = {**split.names}, {**split.labels}
    for part in SPLIT_NAMES[:2]:
        own = [(label, name) for label, _, name in pairs if (name in held_out) == (part == "val")]
        names[part] = tuple(name for _, name in own)
        labels[part] = np.array([label for label, _ in own], dtype=np.int64)
    return FolderSplit(split.root, split.classes, names, labels)


def _read_rows(path: Path) -> dict[str, SplitName]:
    """Splits by name."""
    try:
        text = path.read_bytes().removeprefix(BOM_UTF8).decode("utf-8", "surrogateescape")
        rows = {row["path"]: row["split"] for row in csv.DictReader(io.StringIO(text, newline=""))}
    except (OSError, KeyError, csv.Error) as error:
        raise ValueError(f"{printable(path)} is not a readable split: {error!r}") from error
    if not rows or None in rows or not set(rows.values()) <= set(SPLIT_NAMES):
        raise ValueError(f"{printable(path)} is not a split: remove it to make another")
    return cast(dict[str, SplitName], rows)
