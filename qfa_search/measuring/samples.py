"""The store of measured subnets: one SQLite file, many writers, nothing lost or doubled."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from predictors import cost_arrays
from predictors.costs import COST_COLUMNS
from qfa_search.errors import CheckpointMismatchError
from search_spaces import SearchSpace

if TYPE_CHECKING:
    import pandas as pd

FORMAT_VERSION = 1
BUSY_SECONDS = 60.0

_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS about (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS samples (
    supernet TEXT NOT NULL,
    split TEXT NOT NULL,
    recalibration TEXT NOT NULL,
    genome BLOB NOT NULL,
    top1 REAL NOT NULL,
    cross_entropy REAL,
    n_images INTEGER,
    seconds REAL,
    seed INTEGER,
    {" ".join(f"{name} REAL," for name in COST_COLUMNS)}
    PRIMARY KEY (supernet, split, recalibration, genome)
) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Under what a subnet was measured; equal genomes are kept once per setting.

    Attributes:
        supernet: Digest of the supernet file.
        split: Images that top-1 was measured on.
        recalibration: Batches and images per batch, such as "16x64", and how if not as published.
    """

    supernet: str
    split: str
    recalibration: str


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
    """

    genome: NDArray[np.int64]
    top1: float
    cross_entropy: float | None = None
    n_images: int | None = None
    seconds: float | None = None
    seed: int | None = None


class SampleStore:
    """Measured subnets of one space in one file.

    Any number of processes may add at the same time; a sample is on disk when `add` returns,
    and adding it again changes nothing.
    """

    def __init__(self, path: str | Path, space: SearchSpace) -> None:
        """Open the file, or make it.

        Raises:
            ValueError: The file is not a samples file.
            CheckpointMismatchError: It holds samples of another space.
        """
        self.path = Path(path)
        self.space = space
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._connect() as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.executescript(_SCHEMA)
            connection.executemany(
                "INSERT OR IGNORE INTO about VALUES (?, ?)",
                [
                    ("format", "qfa-search samples"),
                    ("format_version", str(FORMAT_VERSION)),
                    ("space", json.dumps(space.to_dict(), sort_keys=True)),
                ],
            )
        stored = read_space(self.path)
        if stored != space:
            raise CheckpointMismatchError(
                f"{self.path} holds samples of the space {stored.name}, not of this "
                f"{space.name}: give another file"
            )

    def add(self, setting: Setting, samples: Sequence[Sample]) -> None:
        """Store `samples`, measured under `setting`; those already there stay as they are."""
        genomes = np.array([sample.genome for sample in samples])
        genomes = self.space.layout.canonicalize(genomes)
        costs = cost_arrays(self.space, genomes, COST_COLUMNS)
        rows = [
            (
                setting.supernet,
                setting.split,
                setting.recalibration,
                genome.astype(np.uint8).tobytes(),
                sample.top1,
                sample.cross_entropy,
                sample.n_images,
                sample.seconds,
                sample.seed,
                *(_or_null(costs[name][i]) for name in COST_COLUMNS),
            )
            for i, (genome, sample) in enumerate(zip(genomes, samples, strict=True))
        ]
        marks = ", ".join("?" * len(rows[0]))
        with self._connect() as connection:
            connection.executemany(f"INSERT OR IGNORE INTO samples VALUES ({marks})", rows)

    def missing(self, setting: Setting, X: NDArray[np.int64]) -> NDArray[np.int64]:
        """The rows of `X`, canonical and each once, that `setting` has no sample of."""
        X = self.space.layout.canonicalize(X)
        with self._connect() as connection:
            known = {
                blob
                for (blob,) in connection.execute(
                    "SELECT genome FROM samples WHERE supernet=? AND split=? AND recalibration=?",
                    (setting.supernet, setting.split, setting.recalibration),
                )
            }
        keep = []
        for i, genome in enumerate(X.astype(np.uint8)):
            blob = genome.tobytes()
            if blob not in known:
                known.add(blob)
                keep.append(i)
        return X[keep]

    @contextmanager
    def _connect(self) -> Iterator[sqlite3.Connection]:
        with _reading(self.path):
            connection = sqlite3.connect(self.path, timeout=BUSY_SECONDS)
            try:
                with connection:
                    yield connection
            finally:
                connection.close()


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

    def cross_entropy(self) -> NDArray[np.float64] | None:
        """Cross-entropies `(n,)`; None unless all are known."""
        column = self.frame["cross_entropy"].to_numpy(dtype=np.float64)
        return None if np.isnan(column).any() else column


def read_samples(path: str | Path, *, supernet: str | None = None, split: str = "val") -> Samples:
    """The samples of a file that were measured under one setting, ordered by genome.

    Args:
        path: The file.
        supernet: Digest of the supernet; needed only when the file has samples of several.
        split: Images that they were measured on.

    Raises:
        ValueError: Not a samples file, no samples, or samples of several settings.
    """
    import pandas as pd

    space = read_space(path)
    with _read_only(path) as connection:
        settings = [
            Setting(supernet=row[0], split=split, recalibration=row[1])
            for row in connection.execute(
                "SELECT DISTINCT supernet, recalibration FROM samples WHERE split=?", (split,)
            )
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
        setting = settings[0]
        frame = pd.read_sql_query(
            "SELECT * FROM samples WHERE supernet=? AND split=? AND recalibration=? "
            "ORDER BY genome",
            connection,
            params=(setting.supernet, setting.split, setting.recalibration),
        )
    X = np.array([np.frombuffer(blob, np.uint8) for blob in frame["genome"]], dtype=np.int64)
    keys = ["supernet", "split", "recalibration", "genome"]
    frame = frame.drop(columns=keys).apply(pd.to_numeric)
    return Samples(space, setting, space.layout.check(X), frame)


def read_space(path: str | Path) -> SearchSpace:
    """The space of a samples file.

    Raises:
        ValueError: Missing, truncated or foreign file, or one of a newer format.
    """
    with _read_only(path) as connection:
        about = dict(connection.execute("SELECT key, value FROM about"))
    if about.get("format") != "qfa-search samples":
        raise ValueError(f"{path} is an SQLite file, but not one with samples of qfa-search")
    if int(about["format_version"]) > FORMAT_VERSION:
        raise ValueError(f"{path} has a newer format: install a newer version of qfa-search")
    return SearchSpace.from_dict(json.loads(about["space"]))


@contextmanager
def _read_only(path: str | Path) -> Iterator[sqlite3.Connection]:
    path = Path(path).resolve()
    if not path.is_file():
        raise ValueError(f"no samples at {path}: there is no such file")
    # Without a write-ahead log nobody is writing, and a folder without write permission will do.
    mode = "mode=ro" if path.with_name(path.name + "-wal").exists() else "immutable=1"
    with _reading(path):
        connection = sqlite3.connect(f"{path.as_uri()}?{mode}", uri=True, timeout=BUSY_SECONDS)
        try:
            yield connection
        finally:
            connection.close()


@contextmanager
def _reading(path: str | Path) -> Iterator[None]:
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


def _or_null(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
