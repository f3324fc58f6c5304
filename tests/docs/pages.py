"""What a page tells its reader to type, and what it says will come of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).resolve().parents[2]
FILES = {path.stem: path for path in (*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md")}
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
# A command stands apart, in a fence of shell or indented; what is indented besides is its output.
COMMAND = re.compile(r"(?:qfa-search|python|pytest|make|git|pip|torchrun|dask|export|time)\b|\w+=")
INDENTED = re.compile(r"^ {4}[^\n]*\n(?:(?: {4}[^\n]*)?\n)*", re.MULTILINE)
NUMBER = re.compile(r"-?\d[\d.,]*(?: h \d+ min| (?:s|min|h)\b)?")
NUMBERS = re.compile(r"#(?: #)+")


@dataclass(frozen=True)
class Step:
    """Something to type, or something that is shown.

    Attributes:
        kind: A program, what it prints, lines of C, a command, or lines of what commands print.
        text: As it stands on the page; a command in one line.
    """

    kind: Literal["python", "text", "c", "shell", "shown"]
    text: str


def page_text(name: str) -> str:
    """The page `name`, as it is written."""
    return FILES[name].read_text(encoding="utf-8")


def steps(name: str) -> Iterator[Step]:
    """What the page `name` tells, in order."""
    text, at = page_text(name), 0
    for fence in FENCED.finditer(text):
        yield from _indented(text[at : fence.start()])
        kind, block = fence[1], fence[2]
        if kind == "sh":
            yield from _of_shell(block)
        elif kind in ("python", "text", "c"):
            yield Step(kind, block)
        at = fence.end()
    yield from _indented(text[at:])


def commands(name: str) -> list[str]:
    """Commands that stand apart on a page."""
    return [step.text for step in steps(name) if step.kind == "shell"]


def named(text: str) -> list[str]:
    """Commands that are named inside a text, with what is between its backticks."""
    spans = re.findall(r"`([^`]+)`", FENCED.sub("", text))
    words = (" ".join(span.split()) for span in spans)
    return [span for span in words if COMMAND.match(span)]


def shape(text: str) -> str:
    """A text without its numbers and without its lines: what two runs have in common."""
    return NUMBERS.sub("#", NUMBER.sub("#", " ".join(text.split())))


def _indented(text: str) -> Iterator[Step]:
    for block in INDENTED.findall(text):
        yield from _of_shell(re.sub("^    ", "", block, flags=re.MULTILINE))


def _of_shell(block: str) -> Iterator[Step]:
    for line in block.replace("\\\n", " ").splitlines():
        words = " ".join(line.split())
        is_command = COMMAND.match(words) is not None
        if words and (not is_command or line.startswith(" ")):  # a command prints what comes next
            yield Step("shown", words)
        if is_command:
            yield Step("shell", words)
