"""The image files of a folder, and what else lies there and is left out."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from qfa_search.images.decoding import is_image
from qfa_search.images.names import printable

# What tools leave in folders of images: copies and thumbnails, not images of a class.
TOOL_FOLDERS = {
    *("@eadir", "@recycle", "@recently-snapshot", "#recycle", "#snapshot"),  # of storage servers
    *("$recycle.bin", "lost+found", "recycler", "system volume information"),
}
MOST_KINDS_TOLD = 5
HIDDEN_FOLDER = "hidden or tool folder"
HIDDEN_FILE = "hidden file"
OTHER_TYPE = "file of another type"
LINKED_FOLDER = "linked folder"
BROKEN_LINK = "link to nowhere"
EMPTY_FILE = "empty file"
NO_FILE = "pipe, socket or device"
LOCKED_FOLDER = "folder that cannot be read"
LOCKED_FILE = "file that cannot be read"
OUTSIDE = "file outside of the class folders"
NO_SPLIT = "folder that is no split"
PLURALS = {
    OTHER_TYPE: "files of other types",
    BROKEN_LINK: "links to nowhere",
    NO_FILE: "pipes, sockets or devices",
    LOCKED_FOLDER: "folders that cannot be read",
    LOCKED_FILE: "files that cannot be read",
    OUTSIDE: "files outside of the class folders",
    NO_SPLIT: "folders that are no split",
}


@dataclass(frozen=True)
class LeftOut:
    """What a listing does not take.

    Attributes:
        things: (kind, path relative to the root) of each.
    """

    things: tuple[tuple[str, str], ...] = ()

    def __add__(self, other: LeftOut) -> LeftOut:
        return LeftOut(self.things + other.things)

    def __bool__(self) -> bool:
        return bool(self.things)

    def __str__(self) -> str:
        """Numbers by kind, and the first of each."""
        kinds: dict[str, list[str]] = {}
        for kind, name in self.things:
            kinds.setdefault(kind, []).append(name)
        return ", ".join(_told(kind, names) for kind, names in kinds.items())


def _told(kind: str, names: list[str]) -> str:
    what = kind if len(names) == 1 else PLURALS.get(kind, f"{kind}s")
    if kind == OTHER_TYPE:
        counts: dict[str, int] = {}
        for name in names:
            suffix = PurePosixPath(name).suffix.lower() or "no suffix"
            counts[suffix] = counts.get(suffix, 0) + 1
        often = sorted(counts, key=lambda suffix: (-counts[suffix], suffix))
        shown = [f"{counts[suffix]} {printable(suffix)}" for suffix in often[:MOST_KINDS_TOLD]]
        more = ["..."] if len(often) > MOST_KINDS_TOLD else []
        return f"{len(names)} {what} ({', '.join([*shown, *more])})"
    dots = ", ..." if len(names) > 1 else ""
    return f"{len(names)} {what} ({printable(names[0])}{dots})"


@dataclass(frozen=True)
class Listing:
    """What lies below a folder.

    Attributes:
        names: Image files relative to the root, sorted by the parts of their paths.
        left_out: Everything else.
    """

    names: tuple[str, ...]
    left_out: LeftOut = field(default_factory=LeftOut)


def is_hidden(name: str) -> bool:
    """Whether a folder is hidden or one that tools leave."""
    return name.startswith((".", "__")) or name.lower() in TOOL_FOLDERS


def visible_folders(root: Path) -> list[Path]:
    """The folders in `root`, links to folders too, sorted; hidden ones and those of tools not."""
    return sorted(p for p in root.iterdir() if p.is_dir() and not is_hidden(p.name))


def images_below(folder: Path, root: Path) -> Listing:
    """The images in `folder` and its folders, as paths relative to `root`.

    Links to files are followed, links to folders are not: they may lead in a circle.
    """
    names: list[str] = []
    left_out: list[tuple[str, str]] = []
    for kind, path in _walked(folder):
        name = Path(path).relative_to(root).as_posix()
        if kind is None:
            names.append(name)
        else:
            left_out.append((kind, name))
    names.sort(key=lambda name: PurePosixPath(name).parts)
    return Listing(tuple(names), LeftOut(tuple(sorted(left_out))))


def others_in(folder: Path, taken: Iterable[Path], root: Path) -> LeftOut:
    """What lies directly in `folder` beside the folders `taken`, as paths relative to `root`."""
    known = {path.name for path in taken}
    found = []
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.name in known:
            continue
        if _is_folder(entry):
            kind = HIDDEN_FOLDER if is_hidden(entry.name) else NO_SPLIT
        elif entry.is_symlink() and not os.path.exists(entry.path):
            kind = BROKEN_LINK
        else:
            kind = HIDDEN_FILE if entry.name.startswith(".") else OUTSIDE
        found.append((kind, Path(entry.path).relative_to(root).as_posix()))
    return LeftOut(tuple(found))


def _walked(folder: Path | str) -> Iterator[tuple[str | None, str]]:
    """(None, path) of every image below `folder`, (why it is left out, path) of the rest."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        yield LOCKED_FOLDER, str(folder)
        return
    for entry in entries:
        if _is_folder(entry):
            if is_hidden(entry.name):
                yield HIDDEN_FOLDER, entry.path
            elif entry.is_symlink():
                yield LINKED_FOLDER, entry.path
            else:
                yield from _walked(entry.path)
        else:
            yield _kind(entry), entry.path


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in a circle
        return False


def _kind(entry: os.DirEntry[str]) -> str | None:
    """Why a file is left out; None if it is taken."""
    if entry.name.startswith("."):
        return HIDDEN_FILE
    if not is_image(entry.name):
        return OTHER_TYPE
    try:
        status = entry.stat()
    except OSError:
        return BROKEN_LINK if entry.is_symlink() else LOCKED_FILE
    if not stat.S_ISREG(status.st_mode):
        return NO_FILE
    return EMPTY_FILE if status.st_size == 0 else None
