"""Names of files as text that is safe to show on a terminal."""

from __future__ import annotations

import os


def printable(text: str | os.PathLike[str]) -> str:
    r"""`text` with everything that is not plainly visible written as an escape.

    Control characters, line breaks, marks that turn the direction of writing, and bytes that are
    no text would let the name of a file rewrite what a terminal shows.

    Example:
        >>> printable("a\x1b[31m.png")
        'a\\x1b[31m.png'
    """
    return "".join(c if c.isprintable() else _escaped(c) for c in os.fspath(text))


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def printable_lines(text: str) -> str:
    """`printable`, with its line breaks as they are."""
    return "\n".join(printable(line) for line in text.split("\n"))
