"""Which images train, validate and test: made by a seed, stored as a readable file."""

from __future__ import annotations

import csv
import hashlib
import io
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from predictors.files import atomic_path
from qfa_search.errors import CheckpointMismatchError, DataError
from qfa_search.images.decoding import SUFFIXES, is_image

SplitName = Literal["train", "val", "test"]
SPLIT_NAMES: tuple[SplitName, ...] = ("train", "val", "test")
SPLIT_FILE = "split.csv"
TRAIN_SHARE_OF_VAL, MOST_VAL = 12, 10_000
SHARE_OF_TEST = 10
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class FolderSplit:
    """The images of a folder by split.

    Attributes:
        root: The folder.
        classes: Names of the class folders, sorted: label i is the i-th.
        names: Files of each split relative to `root`, sorted by class and name.
        labels: Their class indices.
    """

    root: Path
    classes: tuple[str, ...]
    names: Mapping[SplitName, tuple[str, ...]]
    labels: Mapping[SplitName, Labels]

    @property
    def digest(self) -> str:
        """Fingerprint of the labels of train and val and of which of them are val."""
        names = [*self.names["train"], *self.names["val"]]
        labels = np.concatenate([self.labels["train"], self.labels["val"]])
        order = sorted(range(len(names)), key=lambda i: (labels[i], PurePath(names[i]).parts))
        held_out = np.flatnonzero(np.array(order) >= len(self.names["train"]))
        return labels_digest(labels[order], held_out)

    @property
    def files_digest(self) -> str:
        """Fingerprint of the names of all files and of the split that each is in."""
        return hashlib.sha256(_as_csv(self)).hexdigest()[:16]


def labels_digest(labels: Labels, held_out: Labels) -> str:
    """Fingerprint of training labels and of the indices of those that validate."""
    return hashlib.sha256(labels.tobytes() + held_out.tobytes()).hexdigest()[:16]


def hold_out_validation(labels: Labels, seed: int) -> tuple[Labels, Labels]:
    """Sorted indices to train on and to validate on: a twelfth, at most 10,000, stratified."""
    return _hold_out(labels, min(MOST_VAL, len(labels) // TRAIN_SHARE_OF_VAL), seed)


def split_folder(root: Path, seed: int) -> FolderSplit:
    """The split of DIR/CLASS, or of DIR/train/CLASS with DIR/val/CLASS and DIR/test/CLASS.

    A test folder is the test split; a val folder then validates, and is the test split where
    there is none. What has no folder is held out: a tenth for the test, a twelfth of the rest, at
    most 10,000, for the validation. Both are stratified, with room for every class.

    Raises:
        DataError: There are no class folders, or too few images in one.
    """
    train_folder = _training_folder(root)
    given: dict[SplitName, Path] = {}
    if train_folder != root:
        given = {part: root / part for part in ("val", "test") if (root / part).is_dir()}
        if "test" not in given and "val" in given:
            given = {"test": given["val"]}
    classes = tuple(folder.name for folder in class_folders(train_folder))
    names, labels = _listed(root, train_folder, classes)
    counts = np.bincount(labels, minlength=len(classes))
    fewest, needed = int(counts.argmin()), 3 - len(given)
    if counts[fewest] < needed:
        shown = train_folder / classes[fewest]
        found = "no images" if counts[fewest] == 0 else f"{counts[fewest]} of them"
        raise DataError(
            f"{shown} has {found}, a class needs at least {needed} images to be split "
            f"({', '.join(SUFFIXES)}): add images or remove the folder"
        )
    chosen: dict[SplitName, Labels] = {"train": np.arange(len(names))}
    if "test" not in given:
        chosen["train"], chosen["test"] = _hold_out(labels, len(names) // SHARE_OF_TEST, seed)
    if "val" not in given:
        rest = chosen["train"]
        kept, held_out = hold_out_validation(labels[rest], seed)
        chosen |= {"train": rest[kept], "val": rest[held_out]}
    all_names = {part: tuple(names[i] for i in at) for part, at in chosen.items()}
    all_labels = {part: labels[at] for part, at in chosen.items()}
    for part, folder in given.items():
        foreign = sorted({path.name for path in _visible_folders(folder)} - set(classes))
        if foreign:
            raise DataError(f"{folder} has the class {foreign[0]}, train has no such class")
        own_names, all_labels[part] = _listed(root, folder, classes)
        all_names[part] = tuple(own_names)
        if not own_names:
            raise DataError(f"{folder} has no images in class folders: add some or remove it")
    return FolderSplit(root, classes, all_names, all_labels)


def write_split(path: Path, split: FolderSplit) -> None:
    """Write a CSV file of the columns path and split, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(_as_csv(split))


def read_split(path: Path, root: Path) -> FolderSplit:
    """The split that `write_split` stored, for the images in `root`; others there are ignored.

    Raises:
        ValueError: The file is not one of `write_split`.
        CheckpointMismatchError: Some of its images are not in `root`.
    """
    try:
        text = path.read_bytes().decode("utf-8", "surrogateescape")
        rows = [(row["path"], row["split"]) for row in csv.DictReader(io.StringIO(text))]
    except (OSError, KeyError, csv.Error) as error:
        raise ValueError(f"{path} is not a readable split: {error!r}") from error
    depth = len(_training_folder(root).relative_to(root).parts)
    missing = [name for name, _ in rows if not (root / name).is_file()]
    if missing:
        raise CheckpointMismatchError(
            f"{root} is not what the supernet of {path} was trained on: {len(missing)} of its "
            f"{len(rows)} images are not there, the first: {missing[0]}"
        )
    parts = [PurePath(name).parts for name, _ in rows]
    if (
        not rows
        or any(len(p) <= depth + 1 for p in parts)
        or {s for _, s in rows} - set(SPLIT_NAMES)
    ):
        raise ValueError(f"{path} is not a split of {root}: remove it to make another")
    classes = tuple(sorted({p[depth] for p in parts}))
    index = {name: i for i, name in enumerate(classes)}
    names: dict[SplitName, tuple[str, ...]] = {}
    labels: dict[SplitName, Labels] = {}
    for part in SPLIT_NAMES:
        own = [i for i, (_, s) in enumerate(rows) if s == part]
        own.sort(key=lambda i: (index[parts[i][depth]], parts[i]))
        names[part] = tuple(rows[i][0] for i in own)
        labels[part] = np.array([index[parts[i][depth]] for i in own], dtype=np.int64)
    return FolderSplit(root, classes, names, labels)


def class_folders(root: Path) -> list[Path]:
    """The class folders in `root`, sorted; hidden ones are none.

    Raises:
        DataError: There are fewer than two.
    """
    if not root.is_dir():
        raise DataError(f"there is no folder {root}: expected one with class folders of images")
    folders = _visible_folders(root)
    if len(folders) < 2:
        raise DataError(
            f"{root} has {len(folders)} class folders, expected at least two: the images of each "
            "class belong into a folder of their own, DIR/CLASS/ or DIR/train/CLASS/"
        )
    return folders


def _visible_folders(root: Path) -> list[Path]:
    return sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith((".", "__")))


def _training_folder(root: Path) -> Path:
    """DIR/train if it has class folders; a class may be called train, then it has images."""
    train = root / "train"
    if not train.is_dir():
        return root
    has_images = any(is_image(path.name) for path in train.iterdir())
    return root if has_images and not _visible_folders(train) else train


def _listed(root: Path, folder: Path, classes: tuple[str, ...]) -> tuple[list[str], Labels]:
    """Images of `folder` by class, as paths relative to `root`, and their labels."""
    names: list[str] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        found = [
            Path(at, file).relative_to(root)
            for at, _, files in os.walk(folder / name)
            for file in files
            if is_image(file)
        ]
        names += [path.as_posix() for path in sorted(found, key=lambda path: path.parts)]
        labels += [label] * len(found)
    return names, np.array(labels, dtype=np.int64)


def _hold_out(labels: Labels, n_held_out: int, seed: int) -> tuple[Labels, Labels]:
    """Sorted indices of the kept and the held out, at least as many of those as classes."""
    from sklearn.model_selection import train_test_split

    kept, held_out = train_test_split(
        np.arange(len(labels)),
        test_size=max(n_held_out, len(np.unique(labels))),
        random_state=seed,
        stratify=labels,
    )
    return np.sort(kept), np.sort(held_out)


def _as_csv(split: FolderSplit) -> bytes:
    text = io.StringIO(newline="")
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("path", "split"))
    rows.writerows(sorted((name, part) for part in SPLIT_NAMES for name in split.names[part]))
    return text.getvalue().encode("utf-8", "surrogateescape")
