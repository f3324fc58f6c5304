"""What reaches the terminal: plain characters, and nothing that stops the work.

Names of files, classes and spaces come from whoever made them. They are shown as they are, but
for control characters, which could retitle the window or hide what is written.
"""

from __future__ import annotations

import io
import logging
import os
import sys
from typing import TYPE_CHECKING

from qfa_search.images.names import printable

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer


def say(message: object) -> None:
    """Print a message on standard error, in one line."""
    print(printable(" ".join(str(message).split())), file=sys.stderr)


def in_words(error: OSError) -> str:
    """An error of the system without its number: which file, and what about it."""
    if error.filename is None or error.strerror is None:
        return str(error)
    return f"{error.filename}: {error.strerror}"


def open_streams() -> None:
    """Give this process streams that it can always write to.

    Where a service or `>&-` closed one, what is written goes nowhere; nobody else's file gets its
    number. Standard error whose reader has gone is no reason to lose the work. What an encoding
    does not have is written as an escape.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    encoding = "utf-8" if sys.stderr is None else sys.stderr.encoding
    sys.stderr = io.TextIOWrapper(
        io.BufferedWriter(_Told(2, "w", closefd=False)),
        encoding=encoding,
        errors="backslashreplace",
        line_buffering=True,
    )
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(_PlainLines())


class _Told(io.FileIO):
    """A file that may have no reader any more, or no room."""

    def write(self, data: Buffer) -> int:
        """Write what can be written; returns the number of bytes of `data`."""
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes


class _PlainLines(logging.Formatter):
    """Log messages without control characters."""

    def format(self, record: logging.LogRecord) -> str:
        """The message of `record`, printable."""
        return printable(super().format(record))
