"""Images known by their content: a digest of every file, and the file that keeps them."""

from __future__ import annotations

import csv
import io
from codecs import BOM_UTF8
from collections.abc import Mapping, Sequence
from pathlib import Path

from joblib import cpu_count

from predictors.files import atomic_path, digest_of, file_digest
from qfa_search.images.threads import in_threads

DIGESTS_FILE = "digests.csv"
MOST_READERS = 8


def content_digests(root: Path, names: Sequence[str]) -> list[str | None]:
    """SHA-256 of each file, 16 hexadecimal digits; None where it cannot be read."""

    def digest(name: str) -> str | None:
        try:
            return file_digest(root / name)
        except OSError:
            return None

    return in_threads(digest, names, min(MOST_READERS, cpu_count()))


def data_digest(rows: Sequence[tuple[str, str, str]]) -> str:
    """One fingerprint of a data set: the (path, split, content digest) of all its images."""
    text = "\0".join("\0".join(row) for row in sorted(rows))
    return digest_of(text.encode("utf-8", "surrogateescape"))


def table_of_images(column: str, rows: Sequence[tuple[str, str]]) -> bytes:
    """A CSV file of paths and what is said of each, under the names path and `column`.

    Where a name has a carriage return, which would end its row for a reader, all are quoted.
    """
    text = io.StringIO(newline="")
    if any("\r" in path for path, _ in rows):
        writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    else:
        writer = csv.writer(text, lineterminator="\n")
    writer.writerows((("path", column), *rows))
    return text.getvalue().encode("utf-8", "surrogateescape")


def write_digests(path: Path, digests: Mapping[str, str]) -> None:
    """Write a CSV file of the columns path and digest, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(table_of_images("digest", sorted(digests.items())))


def read_digests(path: Path) -> dict[str, str]:
    """Digests by path, as `write_digests` stored them.

    Raises:
        ValueError: The file is not one of `write_digests`.
    """
    try:
        text = path.read_bytes().removeprefix(BOM_UTF8).decode("utf-8", "surrogateescape")
        rows = csv.DictReader(io.StringIO(text, newline=""))
        found = {row["path"]: row["digest"] for row in rows}
    except (OSError, KeyError, csv.Error) as error:
        raise ValueError(f"{path} is not a readable list of digests: {error!r}") from error
    if None in found or None in found.values():
        raise ValueError(f"{path} is not a readable list of digests: a row is cut")
    return found
