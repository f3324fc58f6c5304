"""How a folder is laid out: class folders alone, or the user's own splits of class folders."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from qfa_search.errors import DataError
from qfa_search.images.decoding import is_image
from qfa_search.images.listing import LeftOut, others_in, visible_folders
from qfa_search.images.names import printable

SplitName = Literal["train", "val", "test"]
SPLIT_NAMES: tuple[SplitName, ...] = ("train", "val", "test")
# Names of split folders, in any case.
SPLIT_OF: Mapping[str, SplitName] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
# Names such as train_set, seg_test and fold2, which nobody gives to two classes.
LIKE_A_SPLIT = re.compile(
    rf"(?:.*[^a-z])?(?:{'|'.join(SPLIT_OF)})(?:(?:set|data|images|[^a-z]).*)?"
    r"|(?:dev|eval|trn|tst|fold|split|part)[^a-z]*"
)


@dataclass(frozen=True)
class Layout:
    """What the folders in a folder stand for.

    Attributes:
        root: The folder.
        folders: Folders with class folders: train, which is `root` itself where there are no
            splits, and those of val and test that the user made.
        left_out: What else lies in `root`.
    """

    root: Path
    folders: Mapping[SplitName, Path]
    left_out: LeftOut

    @property
    def train(self) -> Path:
        """Where the class folders of the training images are."""
        return self.folders["train"]

    @property
    def depth(self) -> int:
        """Parts of an image's path before the name of its class."""
        return len(self.train.relative_to(self.root).parts)


def understood(root: Path) -> Layout:
    """The layout of DIR/CLASS, or of DIR/train/CLASS with any of val and test beside it.

    A class may have the name of a split: then it has images and no folders in it.

    Raises:
        DataError: There is no such folder, two folders are the same split, val or test have no
            train beside them, or folders are called almost like splits.
    """
    if not root.is_dir():
        raise DataError(
            f"there is no folder {printable(root)}: expected one with class folders of images"
        )
    folders = visible_folders(root)
    lost = [p for p in root.iterdir() if p.name.lower() in SPLIT_OF and not p.exists()]
    if lost:
        raise DataError(f"{printable(lost[0])} is a link to nowhere: mend it or remove it")
    splits: dict[SplitName, Path] = {}
    for folder in folders:
        part = SPLIT_OF.get(folder.name.lower())
        if part is None or _is_class(folder):
            continue
        if part in splits:
            raise DataError(
                f"{printable(root)} has the folders {splits[part].name} and {folder.name}, which "
                f"both stand for the {part} split: leave one of them there"
            )
        splits[part] = folder
    if "train" in splits:
        return Layout(root, splits, others_in(root, splits.values(), root))
    if splits and len(splits) == len(folders):
        names = " and ".join(folder.name for folder in splits.values())
        raise DataError(
            f"{printable(root)} has {names} but no train folder: expected DIR/CLASS/, or "
            "DIR/train/CLASS/ with or without val and test beside it"
        )
    alike = [
        folder
        for folder in folders
        if LIKE_A_SPLIT.fullmatch(folder.name.lower())
        and folder not in splits.values()
        and not _is_class(folder)
    ]
    if splits or len(alike) > 1:
        names = " and ".join(printable(folder.name) for folder in (*alike, *splits.values()))
        raise DataError(
            f"{printable(root)} has the folders {names} with folders or nothing in them: splits "
            "are called train, val and test, train among them, and a class of such a name has "
            "images and no folders in it"
        )
    return Layout(root, {"train": root}, others_in(root, folders, root))


def class_folders(folder: Path) -> list[Path]:
    """The class folders in `folder`, sorted; hidden ones are none.

    Raises:
        DataError: There are fewer than two, or each class is split by itself.
    """
    folders = visible_folders(folder)
    if len(folders) < 2:
        inside = [path for path in folders if len(visible_folders(path)) > 1]
        hint = f"; did you mean {printable(inside[0])}?" if inside else ""
        raise DataError(
            f"{printable(folder)} has {len(folders)} class folders, expected at least two: the "
            "images of each class belong into a folder of their own, DIR/CLASS/ or "
            f"DIR/train/CLASS/{hint}"
        )
    if all(_has_training_folder(path) for path in folders):
        raise DataError(
            f"every class folder in {printable(folder)} has a train folder of its own: expected "
            "the splits outside and the classes inside, DIR/train/CLASS/"
        )
    return folders


def _is_class(folder: Path) -> bool:
    """Whether a folder with the name of a split is a class: it has images and no folders."""
    has_images = any(is_image(path.name) for path in folder.iterdir())
    return has_images and not visible_folders(folder)


def _has_training_folder(folder: Path) -> bool:
    return any(SPLIT_OF.get(path.name.lower()) == "train" for path in visible_folders(folder))
