"""Measured subnets as values, and read from a file that may be written meanwhile."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from predictors import cost_arrays
from qfa_search.errors import CheckpointMismatchError
from qfa_search.measuring import database
from qfa_search.measuring.result import Evaluation
from search_spaces import SearchSpace
from search_spaces.arrays import Floats
from search_spaces.plain_data import finite_number, whole_number

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")

KEY = "supernet=? AND split=? AND recalibration=?"
LARGEST_SEED = 2**63 - 1  # what a column of SQLite holds


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Under what a subnet was measured; equal genomes are kept once per setting.

    Attributes:
        supernet: Digest of the supernet file.
        split: Images that top-1 was measured on.
        recalibration: Batches and images per batch, such as "16x64", and how if not as published.
        images: Digest of the images, empty if it is not known.
    """

    supernet: str
    split: str
    recalibration: str
    images: str = field(default="", compare=False)

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells it from other settings in one file."""
        return self.supernet, self.split, self.recalibration


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One measured subnet; what is None was not recorded by whoever measured it.

    Attributes:
        genome: Canonical genome, `(n_genes,)`.
        top1: Percent.
        cross_entropy: Mean over images, nats.
        n_images: Images measured on.
        seconds: Time that it took.
        seed: Seed that the subnet was drawn with.
        chosen: Whether somebody wanted this subnet, rather than any.
        confusion: Images of each class (row) by predicted class (column).
    """

    genome: NDArray[np.int64]
    top1: float
    cross_entropy: float | None = None
    n_images: int | None = None
    seconds: float | None = None
    seed: int | None = None
    chosen: bool = False
    confusion: NDArray[np.int64] | None = None

    @property
    def evaluation(self) -> Evaluation:
        """What the network scored."""
        nan = float("nan")
        return Evaluation(
            top1=self.top1,
            cross_entropy=nan if self.cross_entropy is None else self.cross_entropy,
            n_images=self.n_images or 0,
            confusion=self.confusion,
        )


def check_seed(seed: int) -> None:
    """Refuse a seed that a store cannot keep, before anything is measured.

    Raises:
        ValueError: It is negative or too large.
    """
    if not 0 <= seed <= LARGEST_SEED:
        raise ValueError(f"seed must be from 0 to {LARGEST_SEED} (2^63 - 1), got {seed}")


def found_samples(
    path: Path, space: SearchSpace, setting: Setting, X: NDArray[np.int64]
) -> list[Sample | None]:
    """`SampleStore.found` of a file that is only read; all None if there is no file.

    Raises:
        CheckpointMismatchError: It is of another space, or has samples of the setting from other
            images.
    """
    if not path.is_file():
        return [None] * len(X)
    genomes = [genome.astype(np.uint8).tobytes() for genome in space.layout.canonicalize(X)]
    known = _rows(path, space, setting, genomes)
    return [known.get(genome) for genome in genomes]


def stored_samples(path: Path, space: SearchSpace, setting: Setting) -> list[Sample]:
    """All samples of a setting in a file, ordered by genome; none if there is no file.

    Raises:
        CheckpointMismatchError: As `found_samples`.
    """
    return list(_rows(path, space, setting, None).values()) if path.is_file() else []


def _rows(
    path: Path, space: SearchSpace, setting: Setting, genomes: list[bytes] | None
) -> dict[bytes, Sample]:
    """Samples of a setting by genome: those of `genomes` that are there, or all."""
    stored = read_space(path)
    if stored != space:
        raise CheckpointMismatchError(f"{path} holds samples of {stored.name}, not of {space.name}")

    def ask(connection: sqlite3.Connection) -> dict[bytes, Sample]:
        check_images(path, connection, setting)
        newer = {"seed": "NULL", "chosen": "0", "confusion": "NULL"}  # and what old files mean
        there = _columns(connection)
        more = ", ".join(name if name in there else value for name, value in newer.items())
        query = (
            f"SELECT genome, top1, cross_entropy, n_images, seconds, {more} "
            f"FROM samples WHERE {KEY}"
        )
        if genomes is None:
            rows = connection.execute(f"{query} ORDER BY genome", setting.key).fetchall()
        else:
            query = f"{query} AND genome=?"
            rows = [
                row
                for genome in genomes
                for row in connection.execute(query, (*setting.key, genome)).fetchall()
            ]
        try:
            found = {row[0]: _sample(row, space.n_classes) for row in rows}
            if found:
                space.layout.check(np.array([sample.genome for sample in found.values()]))
        except (ValueError, *_UNREADABLE) as error:
            raise ValueError(f"{path} is damaged: {error}") from error
        return found

    return database.read(path, ask)


def _sample(row: tuple[Any, ...], n_classes: int) -> Sample:
    genome, top1, cross_entropy, n_images, seconds, seed, chosen, confusion = row
    if not 0 <= finite_number("top1", top1) <= 100:
        raise ValueError(f"it has a top1 of {top1}")
    return Sample(
        genome=np.frombuffer(genome, np.uint8).astype(np.int64),
        top1=top1,
        cross_entropy=_or_none(finite_number, "cross_entropy", cross_entropy),
        n_images=_or_none(whole_number, "n_images", n_images),
        seconds=_or_none(finite_number, "seconds", seconds),
        seed=_or_none(partial(whole_number, most=LARGEST_SEED), "seed", seed),
        chosen=bool(chosen),
        confusion=_unpacked(confusion, n_classes),
    )


def _columns(connection: sqlite3.Connection) -> set[str]:
    return {row[1] for row in connection.execute("PRAGMA table_info(samples)")}


def check_images(path: Path, connection: sqlite3.Connection, setting: Setting) -> None:
    """Refuse samples that were measured under `setting`, but on other images.

    Raises:
        CheckpointMismatchError: There are such.
    """
    if not setting.images or "images" not in _columns(connection):
        return
    query = f"SELECT images FROM samples WHERE {KEY} AND images NOT IN ('', ?) LIMIT 1"
    other = connection.execute(query, (*setting.key, setting.images)).fetchone()
    if other is not None:
        raise CheckpointMismatchError(
            f"the samples in {path} were measured on images {other[0]}, these are "
            f"{setting.images}: give the images that they were measured on, or another file"
        )


@dataclass(frozen=True, slots=True)
class Samples:
    """The samples of one setting, as arrays.

    Attributes:
        space: Their space.
        setting: Under what they were measured.
        X: Canonical genomes, `(n, n_genes)`.
        frame: Everything else, a row each: top1, cross_entropy, n_images, seconds, seed, costs;
            NaN where it is not known.
    """

    space: SearchSpace
    setting: Setting
    X: NDArray[np.int64]
    frame: pd.DataFrame

    def cross_entropy(self) -> Floats | None:
        """Cross-entropies `(n,)`; None unless all are known."""
        column = self.frame["cross_entropy"].to_numpy(dtype=np.float64)
        return None if np.isnan(column).any() else column


def read_samples(
    path: str | Path,
    *,
    supernet: str | None = None,
    split: str = "val",
    drawn_only: bool = False,
) -> Samples:
    """The samples of a file that were measured under one setting, ordered by genome.

    Args:
        path: The file.
        supernet: Digest of the supernet; needed only when the file has samples of several.
        split: Images that they were measured on.
        drawn_only: Leave out subnets that were measured because somebody chose them.

    Raises:
        ValueError: Not a samples file, no samples, or samples of several settings.
    """
    import pandas as pd

    space = read_space(path)

    def ask(connection: sqlite3.Connection) -> tuple[Setting, pd.DataFrame]:
        is_drawn = "chosen=0" if "chosen" in _columns(connection) else "1"
        settings: list[Setting] = []
        query = "SELECT DISTINCT supernet, recalibration FROM samples WHERE split=? AND "
        # Single subnets may have been measured under another setting than those to learn from.
        for condition in (is_drawn, "1"):
            settings = settings or [
                Setting(supernet=row[0], split=split, recalibration=row[1])
                for row in connection.execute(query + condition, (split,))
                if supernet in (None, row[0])
            ]
        if not settings:
            of = f" of supernet {supernet}" if supernet else ""
            raise ValueError(
                f"{path} has no samples{of} on the {split} split: run qfa-search sample first"
            )
        if len(settings) > 1:
            raise ValueError(
                f"{path} has samples of several settings ({', '.join(map(str, settings))}): "
                "keep one in a file"
            )
        only = f" AND {is_drawn}" if drawn_only else ""
        names = "genome, top1, cross_entropy, n_images, seconds, seed"
        query = f"SELECT {names} FROM samples WHERE {KEY}{only} ORDER BY genome"
        try:
            frame = pd.read_sql_query(query, connection, params=settings[0].key)
        except pd.errors.DatabaseError as error:
            raise sqlite3.DatabaseError(str(error).partition(":")[2]) from error
        return settings[0], frame

    with _readable(path):
        setting, frame = database.read(path, ask)
        try:
            genomes = [np.frombuffer(blob, np.uint8) for blob in frame["genome"]]
            shape = len(frame), space.layout.n_genes
            X = space.layout.check(np.reshape(genomes, shape).astype(np.int64))
            frame = frame.drop(columns="genome").apply(pd.to_numeric)
            wrong = ~frame["top1"].between(0, 100)
            if wrong.any():
                raise ValueError(f"it has a top1 of {frame['top1'][wrong].iloc[0]}")
        except ValueError as error:
            raise ValueError(f"{path} is damaged: {error}") from error
        # Files of earlier versions lack the newer costs; all follow from the genomes.
        frame = frame.assign(**cost_arrays(space, X))
        return Samples(space, setting, X, frame)


def read_space(path: str | Path) -> SearchSpace:
    """The space of a samples file.

    Raises:
        ValueError: Missing, truncated or foreign file, or one of a newer format.
    """

    def ask(connection: sqlite3.Connection) -> str:
        query = "SELECT value FROM about WHERE key='space'"
        value: str = connection.execute(query).fetchone()[0]
        return value

    with _readable(path):
        text = database.read(path, ask)
        try:
            return SearchSpace.from_dict(json.loads(text))
        except ValueError as error:
            raise ValueError(f"{path} is not a readable samples file: {error}") from error


_UNREADABLE = (TypeError, KeyError, AttributeError, OverflowError, RecursionError, zlib.error)


@contextmanager
def _readable(path: str | Path) -> Iterator[None]:
    """Tell of content that SQLite can read and nobody wrote, such as a text for a genome."""
    try:
        yield
    except _UNREADABLE as error:
        raise ValueError(f"{path} is not a readable samples file: {error}") from error


def _unpacked(blob: bytes | None, n_classes: int) -> NDArray[np.int64] | None:
    if blob is None:
        return None
    most = 4 * n_classes**2  # however much the blob would become
    content = zlib.decompressobj().decompress(blob, most + 1)
    counts = np.frombuffer(content, "<i4").reshape(n_classes, n_classes).astype(np.int64)
    if (counts < 0).any():
        raise ValueError(f"it has a count of {counts.min()} images")
    return counts


def _or_none(checked: Callable[[str, object], T], name: str, value: object) -> T | None:
    return None if value is None else checked(name, value)
