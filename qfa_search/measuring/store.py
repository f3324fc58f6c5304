"""The store of measured subnets: one SQLite file, many writers, nothing lost or doubled."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from predictors import cost_arrays
from predictors.costs import COST_COLUMNS
from qfa_search.errors import CheckpointMismatchError
from qfa_search.measuring import database
from qfa_search.measuring.samples import (
    KEY,
    Sample,
    Setting,
    check_images,
    found_samples,
    read_space,
)
from search_spaces import SearchSpace

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
) WITHOUT ROWID
"""
# What files of earlier versions lack.
_ADDED = {
    "images": "TEXT NOT NULL DEFAULT ''",
    "chosen": "INTEGER NOT NULL DEFAULT 0",
    "confusion": "BLOB",
    **dict.fromkeys(COST_COLUMNS, "REAL"),
}


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
        about = {
            "format": database.FORMAT,
            "format_version": str(database.FORMAT_VERSION),
            "space": json.dumps(space.to_dict(), sort_keys=True),
        }
        database.prepare(self.path, _SCHEMA, _ADDED, about)
        stored = read_space(self.path)
        if stored != space:
            raise CheckpointMismatchError(
                f"{self.path} holds samples of the space {stored.name}, not of this "
                f"{space.name}: give another file"
            )

    def add(self, setting: Setting, samples: Sequence[Sample]) -> None:
        """Store `samples`, measured under `setting`; scores already there stay as they are.

        What was not known about them before (drawn at random, confusion) is added.
        """
        if not samples:
            return
        genomes = np.array([sample.genome for sample in samples])
        genomes = self.space.layout.canonicalize(genomes)
        costs = cost_arrays(self.space, genomes, COST_COLUMNS)
        rows = [
            {
                **dict(zip(("supernet", "split", "recalibration"), setting.key, strict=True)),
                "images": setting.images,
                "genome": genome.astype(np.uint8).tobytes(),
                "top1": sample.top1,
                "cross_entropy": sample.cross_entropy,
                "n_images": sample.n_images,
                "seconds": sample.seconds,
                "seed": sample.seed,
                "chosen": int(sample.chosen),
                "confusion": _packed(sample.confusion),
                **{name: _or_null(costs[name][i]) for name in COST_COLUMNS},
            }
            for i, (genome, sample) in enumerate(zip(genomes, samples, strict=True))
        ]
        names = rows[0]
        with database.writing(self.path) as connection:
            connection.executemany(
                f"INSERT INTO samples ({', '.join(names)}) "
                f"VALUES ({', '.join(f':{name}' for name in names)}) ON CONFLICT DO UPDATE SET "
                "chosen = min(chosen, excluded.chosen), seed = coalesce(seed, excluded.seed), "
                "confusion = coalesce(confusion, excluded.confusion) "
                "WHERE chosen > excluded.chosen "
                "OR (confusion IS NULL AND excluded.confusion IS NOT NULL)",
                rows,
            )

    def missing(
        self, setting: Setting, X: NDArray[np.int64], *, by_class: bool = False
    ) -> NDArray[np.int64]:
        """The rows of `X`, canonical and each once, that `setting` has no sample of.

        Args:
            setting: Under what they are measured.
            X: Genomes, `(n, n_genes)`.
            by_class: Whether samples without confusion do not count.

        Raises:
            CheckpointMismatchError: There are samples of the setting from other images.
        """
        X = self.space.layout.canonicalize(X)

        def ask(connection: sqlite3.Connection) -> set[bytes]:
            check_images(self.path, connection, setting)
            query = f"SELECT genome FROM samples WHERE {KEY}"
            query += " AND confusion IS NOT NULL" if by_class else ""
            return {blob for (blob,) in connection.execute(query, setting.key)}

        known = database.read(self.path, ask)
        keep = []
        for i, genome in enumerate(X.astype(np.uint8)):
            blob = genome.tobytes()
            if blob not in known:
                known.add(blob)
                keep.append(i)
        return X[keep]

    def found(self, setting: Setting, X: NDArray[np.int64]) -> list[Sample | None]:
        """The samples of the rows of `X` `(n, n_genes)` under `setting`; None where there is none.

        Raises:
            CheckpointMismatchError: There are samples of the setting from other images.
        """
        return found_samples(self.path, self.space, setting, X)


def _packed(confusion: NDArray[np.int64] | None) -> bytes | None:
    return None if confusion is None else zlib.compress(confusion.astype("<i4").tobytes())


def _or_null(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
