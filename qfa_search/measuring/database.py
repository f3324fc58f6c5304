"""The SQLite file of a samples store: whose it is, written by many, read while it is written."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from search_spaces.plain_data import shown

T = TypeVar("T")

FORMAT = "qfa-search samples"
FORMAT_VERSION = 1
BUSY_SECONDS = 60.0
# In the header of the file (https://www.sqlite.org/fileformat.html, offset 68): "qfaS".
APPLICATION_ID = 0x71666153
MAGIC = b"SQLite format 3\0"
HEADER_BYTES = 100
SIDE_FILES = ("-wal", "-journal")
# Two changes of a file within a tick of the system's clock have one time.
CLOCK_TICK_SECONDS = 0.02


def prepare(path: Path, schema: str, columns: dict[str, str], about: dict[str, str]) -> None:
    """Make the file, or add what an older version did not know; foreign files stay as they are.

    Args:
        path: The file; its folder is made.
        schema: Statements that make the tables if they are missing.
        columns: Columns of the table samples that older files lack, with their types.
        about: What a new file says about itself.

    Raises:
        ValueError: The file is of another program, or cannot be used.
    """
    check_is_ours(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _told(path):
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            # One transaction, with a rollback journal while the file is new: from its first byte
            # on it says whose it is.
            connection.execute("BEGIN IMMEDIATE")
            if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            for statement in filter(str.strip, schema.split(";")):
                connection.execute(statement)
            there = {row[1] for row in connection.execute("PRAGMA table_info(samples)")}
            for name, kind in columns.items():
                if name not in there:
                    connection.execute(f"ALTER TABLE samples ADD COLUMN {name} {kind}")
            connection.executemany("INSERT OR IGNORE INTO about VALUES (?, ?)", about.items())
            connection.execute("COMMIT")
            with suppress(sqlite3.OperationalError):  # others are at it: one of them will
                connection.execute("PRAGMA journal_mode=WAL")
        finally:
            connection.close()


def check_is_ours(path: Path) -> None:
    """Refuse the file of another program before a byte of it or a file beside it is written.

    Raises:
        ValueError: It is no samples file of this program.
    """
    if path.is_dir():
        raise ValueError(f"{path} is a folder, expected a samples file")
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise ValueError(f"{path} is a pipe or device, expected a samples file")
    try:
        with path.open("rb") as file:
            header = file.read(HEADER_BYTES)
    except FileNotFoundError:
        return
    except OSError as error:
        raise ValueError(f"cannot read the samples file {path}: {error.strerror}") from error
    if not header:
        return
    if not header.startswith(MAGIC):
        raise ValueError(f"{path} is not a samples file: it is no SQLite file; give another name")
    if int.from_bytes(header[68:72], "big") == APPLICATION_ID:
        return
    # Files of earlier versions have no number, only a table that says what they are. Opened as
    # immutable, a file is neither locked nor given a journal.
    try:
        with _opened(path, "immutable=1") as connection:
            query = "SELECT value FROM about WHERE key = 'format'"
            found = connection.execute(query).fetchone()
    except sqlite3.Error:
        found = None
    if found != (FORMAT,):
        raise ValueError(
            f"{path} is an SQLite file of another program, not one with samples of qfa-search: "
            "it stays as it is; give another name"
        )


@contextmanager
def writing(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection whose changes are on disk when the block ends, all or none."""
    with _told(path):
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS)
        try:
            with connection:
                yield connection
        finally:
            connection.close()


def read(path: str | Path, query: Callable[[sqlite3.Connection], T]) -> T:
    """What `query` finds in the file as it was at one moment, whoever writes meanwhile.

    Nothing is written, so a folder without write permission will do.

    Raises:
        ValueError: Missing, damaged or foreign file, or one of a newer format.
    """
    path = Path(path).resolve()
    if not path.is_file():
        raise ValueError(f"no samples at {path}: there is no such file")
    check_is_ours(path)
    with _told(path):
        began = time.monotonic()
        while True:
            before = _state(path)
            try:
                if before is None:
                    found = _query_with_log(path, query)
                else:
                    with _opened(path, "immutable=1") as connection:
                        found = _checked(path, connection, query)
            except sqlite3.DatabaseError:
                if _state(path) == before or time.monotonic() - began > BUSY_SECONDS:
                    raise
                continue
            # Without a lock only this says that nobody wrote in between.
            if before is None or _state(path) == before:
                return found


def _checked(
    path: Path, connection: sqlite3.Connection, query: Callable[[sqlite3.Connection], T]
) -> T:
    connection.execute("BEGIN")
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name='about'").fetchone() is None:
        # Whoever made it was killed, or had no room, before anything was written.
        raise ValueError(f"{path} has no samples, it is empty: run qfa-search sample first")
    about = dict(connection.execute("SELECT key, value FROM about"))
    if about.get("format") != FORMAT:
        raise ValueError(f"{path} is an SQLite file, but not one with samples of qfa-search")
    number = str(about.get("format_version"))
    if not (number.isascii() and number.isdigit()):
        raise ValueError(f"{path} is not a readable samples file: format version {shown(number)}")
    if int(number) > FORMAT_VERSION:
        raise ValueError(f"{path} has a newer format: install a newer version of qfa-search")
    return query(connection)


def _query_with_log(path: Path, query: Callable[[sqlite3.Connection], T]) -> T:
    """The answer while there is a write-ahead log or a journal: with locks."""
    # Whoever closes a file last puts the log in order, if it may write.
    may_write = os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
    try:
        with _opened(path, "mode=rw" if may_write else "mode=ro") as connection:
            return _checked(path, connection, query)
    except sqlite3.OperationalError as error:
        if "unable to open" not in str(error) and "readonly" not in str(error):
            raise
    # A log that a killed writer left in a folder where nothing can be written: nobody writes.
    with tempfile.TemporaryDirectory() as folder:
        for suffix in ("", *SIDE_FILES):
            if (file := path.with_name(path.name + suffix)).is_file():
                shutil.copyfile(file, Path(folder) / f"copy{suffix}")
        with _opened(Path(folder) / "copy", "mode=rw") as connection:
            return _checked(path, connection, query)


def _state(path: Path) -> tuple[int, int, int] | None:
    """What tells that nobody wrote to a file; None while somebody may be writing."""
    while True:
        if any(path.with_name(path.name + suffix).exists() for suffix in SIDE_FILES):
            return None
        status = path.stat()
        if not 0 <= time.time() - status.st_mtime < CLOCK_TICK_SECONDS:
            break
        time.sleep(CLOCK_TICK_SECONDS)
    return status.st_ino, status.st_mtime_ns, status.st_size


@contextmanager
def _opened(path: Path, mode: str) -> Iterator[sqlite3.Connection]:
    uri = f"{path.resolve().as_uri()}?{mode}"
    connection = sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None)
    try:
        yield connection
    finally:
        connection.close()


@contextmanager
def _told(path: str | Path) -> Iterator[None]:
    """Errors of SQLite in the user's words."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if "full" in str(error) or "disk I/O" in str(error):
            raise OSError(
                f"cannot write {path}: {error}; what is stored is kept, make room and go on"
            ) from None
        raise ValueError(f"{path} cannot be used as a samples file: {error}") from error
    except sqlite3.DatabaseError as error:
        raise ValueError(f"{path} is not a readable samples file: {error}") from error
