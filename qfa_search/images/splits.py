"""Which images train, validate and test: the user's own splits, or made by a seed."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath

import numpy as np
from numpy.typing import NDArray

from predictors.files import digest_of
from qfa_search.errors import DataError
from qfa_search.images.class_images import ClassImages, class_images, warn_of_lookalikes
from qfa_search.images.decoding import SUFFIXES
from qfa_search.images.digests import data_digest, table_of_images
from qfa_search.images.holding_out import Groups, Labels, assigned, with_every_class
from qfa_search.images.layout import SPLIT_NAMES, SplitName, class_folders, understood
from qfa_search.images.listing import LeftOut
from qfa_search.images.names import printable

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FolderSplit:
    """The images of a folder by split.

    Attributes:
        root: The folder.
        classes: Names of the class folders, sorted: label i is the i-th.
        names: Files of each split relative to `root`, sorted by class and name.
        labels: Their class indices.
        digests: Digests of their contents; None where the split is of names alone.
        is_stored: Whether the digests were stored earlier: files may hold something else by now.
        told: What was understood, in one line.
        left_out: What else lies in the folder.
        known: Images of earlier trainings, that of the start and those before it.
    """

    root: Path
    classes: tuple[str, ...]
    names: Mapping[SplitName, tuple[str, ...]]
    labels: Mapping[SplitName, Labels]
    digests: Mapping[SplitName, tuple[str, ...]] | None = None
    is_stored: bool = False
    told: str = ""
    left_out: LeftOut = field(default_factory=LeftOut)
    known: KnownImages = field(default_factory=lambda: KnownImages())

    def size(self, part: SplitName) -> int:
        """Files of one split."""
        return len(self.names[part])

    def expected_digests(self, part: SplitName) -> tuple[str, ...] | None:
        """What the files of a split must hold; None if they were just read, or it is not known."""
        return self.digests[part] if self.is_stored and self.digests is not None else None

    @property
    def split_digest(self) -> str:
        """Fingerprint of the labels of train and val and of which of them are val."""
        names = [*self.names["train"], *self.names["val"]]
        labels = np.concatenate([self.labels["train"], self.labels["val"]])
        order = sorted(range(len(names)), key=lambda i: (labels[i], PurePath(names[i]).parts))
        held_out = np.flatnonzero(np.array(order) >= len(self.names["train"]))
        return labels_digest(labels[order], held_out)

    @property
    def files_digest(self) -> str:
        """Fingerprint of the names of all files and of the split that each is in."""
        return digest_of(self.as_csv())

    @property
    def digest(self) -> str | None:
        """Fingerprint of all names, splits and contents; None where contents are not known."""
        if self.digests is None:
            return None
        return data_digest(
            [
                (name, part, digest)
                for part in SPLIT_NAMES
                for name, digest in zip(self.names[part], self.digests[part], strict=True)
            ]
        )

    def as_csv(self) -> bytes:
        """A table of the columns path and split, sorted by path."""
        rows = sorted((name, part) for part in SPLIT_NAMES for name in self.names[part])
        return table_of_images("split", rows)


@dataclass(frozen=True)
class KnownImages:
    """The split of images in an earlier training.

    Attributes:
        by_digest: Their splits by content; empty if that was not stored.
        by_name: Their splits by path, for lists without contents.
    """

    by_digest: Mapping[str, SplitName] = field(default_factory=dict)
    by_name: Mapping[str, SplitName] = field(default_factory=dict)

    def part(self, name: str, digest: str) -> SplitName | None:
        """The split that an image was in; None if it is new."""
        return self.by_digest.get(digest) or self.by_name.get(name)

    def joined(self, other: KnownImages) -> KnownImages:
        """Both, and trained on where one of them says so."""
        return KnownImages(
            _joined(self.by_digest, other.by_digest), _joined(self.by_name, other.by_name)
        )


def _joined(one: Mapping[str, SplitName], other: Mapping[str, SplitName]) -> dict[str, SplitName]:
    trained: dict[str, SplitName] = {
        key: "train" for parts in (one, other) for key, part in parts.items() if part == "train"
    }
    return {**one, **other, **trained}


def labels_digest(labels: Labels, held_out: Labels) -> str:
    """Fingerprint of training labels and of the indices of those that validate."""
    return digest_of(labels.tobytes() + held_out.tobytes())


def split_folder(
    root: Path, seed: int, *, known: KnownImages | None = None, by_content: bool = True
) -> FolderSplit:
    """The split of DIR/CLASS, or of DIR/train/CLASS with any of val and test beside it.

    The user's splits are taken as they are; a val folder without a test folder is the test
    split, as ImageNet has it. What is missing is held out of train: a tenth for test, a twelfth
    of the rest, at most 10,000, for val; stratified, every class in each, byte-identical copies
    on one side.

    Args:
        root: The folder.
        seed: Of what is held out.
        known: Images of an earlier training, which keep the split that they had.
        by_content: Whether contents are read; without, the split is that of earlier versions.

    Raises:
        DataError: There are no class folders, or too few images in one.
    """
    layout = understood(root)
    folders = dict(layout.folders)
    is_val_for_test = "val" in folders and "test" not in folders
    if is_val_for_test:
        folders["test"] = folders.pop("val")
    classes = tuple(folder.name for folder in class_folders(layout.train))
    warn_of_lookalikes(layout.train, classes)
    found = {
        part: class_images(root, folder, classes, by_content=by_content)
        for part, folder in folders.items()
    }
    for part, folder in folders.items():
        if part != "train" and not found[part].names:
            raise DataError(
                f"{printable(folder)} has no images in class folders: add some or remove it"
            )
    left_out = sum((images.left_out for images in found.values()), layout.left_out)
    train, made = found["train"], [part for part in SPLIT_NAMES if part not in found]
    groups = Groups.of(train.labels, train.digests, needed=1 + len(made))
    _check_counts(layout.train, classes, train, groups, needed=1 + len(made))
    parts = assigned(groups.labels, seed, val="val" in made, test="test" in made)
    if by_content:
        is_known = _keep_known(parts, train, groups, known or KnownImages(), made)
        parts = with_every_class(parts, groups.labels, is_known, ["train", *made], seed)
    for part in ("train", *made):
        found[part] = train.take(np.flatnonzero(parts[groups.of_image] == part))
        if not found[part].names:
            raise DataError(
                f"no image of {printable(layout.train)} is left for the {part} split: the training "
                "to start from has seen all of them; give the whole folder that it was given, or "
                "add images"
            )
    origins = {part: f"{printable(folder.name)}/" for part, folder in folders.items()}
    if layout.train == root:
        origins["train"] = "class folders"
    if is_val_for_test:
        origins["test"] += ", the test split where there is no test folder, as in ImageNet"
    split = FolderSplit(
        root,
        classes,
        {part: found[part].names for part in SPLIT_NAMES},
        {part: found[part].labels for part in SPLIT_NAMES},
        {part: found[part].digests or () for part in SPLIT_NAMES} if by_content else None,
        told=_told(root, classes, found, origins, len(train.names) - len(groups)),
        left_out=left_out,
        known=known or KnownImages(),
    )
    _warn_of_missing_classes(split)
    if split.digests is not None:
        _warn_of_copies(split, known or KnownImages())
    return split


def _check_counts(
    folder: Path, classes: tuple[str, ...], train: ClassImages, groups: Groups, *, needed: int
) -> None:
    counts = np.bincount(groups.labels, minlength=len(classes))
    fewest = int(counts.argmin())
    if counts[fewest] >= needed:
        return
    n, n_files = int(counts[fewest]), int((train.labels == fewest).sum())
    found = "no images" if n_files == 0 else f"{n} of them"
    if n < n_files:
        found += f" (byte-identical copies among its {n_files} count once)"
    left_out = LeftOut(
        tuple(
            (kind, name)
            for kind, name in train.left_out.things
            if classes[fewest] in PurePath(name).parts
        )
    )
    raise DataError(
        f"{printable(folder / classes[fewest])} has {found}, a class needs at least {needed} "
        f"images to be split ({', '.join(SUFFIXES)}): add images or remove the folder"
        + (f"; left out there: {left_out}" if left_out else "")
    )


def _keep_known(
    parts: NDArray[np.str_],
    train: ClassImages,
    groups: Groups,
    known: KnownImages,
    made: Collection[SplitName],
) -> NDArray[np.bool_]:
    """Write the earlier splits of known images into `parts`; returns which groups trained."""
    was_trained = np.zeros(len(groups), dtype=bool)
    assert train.digests is not None
    for i, (name, digest) in enumerate(zip(train.names, train.digests, strict=True)):
        group, before = groups.of_image[i], known.part(name, digest)
        if before == "train":
            was_trained[group] = True
        elif before in made and not was_trained[group]:
            parts[group] = before
    parts[was_trained] = "train"
    return was_trained


def _told(
    root: Path,
    classes: tuple[str, ...],
    found: Mapping[SplitName, ClassImages],
    origins: Mapping[SplitName, str],
    n_copies: int,
) -> str:
    sizes = ", ".join(
        f"{part} {len(found[part].names)} ({origins.get(part, 'held out of train')})"
        for part in SPLIT_NAMES
    )
    copies = f"; {n_copies} byte-identical copies, each in the split of its first"
    return f"images of {printable(root)}: {len(classes)} classes, {sizes}" + copies * (n_copies > 0)


def _warn_of_missing_classes(split: FolderSplit) -> None:
    for part in SPLIT_NAMES:
        present = np.bincount(split.labels[part], minlength=len(split.classes))
        missing = [printable(split.classes[i]) for i in np.flatnonzero(present == 0)]
        if missing:
            shown = ", ".join(missing[:5]) + ", ..." * (len(missing) > 5)
            logger.warning("the %s split has no image of %s", part, shown)


def _warn_of_copies(split: FolderSplit, known: KnownImages) -> None:
    """Log copies that lie on both sides of the user's own splits, or in two classes."""
    assert split.digests is not None
    digests, root = split.digests, printable(split.root)
    pairs: tuple[tuple[SplitName, SplitName], ...]
    pairs = (("val", "train"), ("test", "train"), ("test", "val"))
    for part, other in pairs:
        theirs = set(digests[other])
        n = sum(digest in theirs for digest in digests[part])
        if n:
            what = "trained on" if other == "train" else "used to choose"
            logger.warning(
                "%s: %d of %d %s images are byte-identical copies of %s images: scores will "
                "count images that were %s",
                *(root, n, len(digests[part]), part, other, what),
            )
    for held_out in SPLIT_NAMES[1:]:
        files = zip(split.names[held_out], digests[held_out], strict=True)
        n = sum(known.part(name, digest) == "train" for name, digest in files)
        if n:
            logger.warning(
                "%s: the given start was trained on %d of %d %s images",
                *(root, n, len(digests[held_out]), held_out),
            )
    labels: dict[str, int] = {}
    n = 0
    for own in SPLIT_NAMES:
        for digest, label in zip(digests[own], split.labels[own].tolist(), strict=True):
            n += labels.setdefault(digest, label) != label
    if n:
        logger.warning("%s: %d images are byte-identical to one of another class", root, n)
