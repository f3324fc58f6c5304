"""Readers tried on changed files: what they read, what they refuse, and what nobody foresaw."""

from __future__ import annotations

import os
import random
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from qfa_search.errors import QFAError
from tests.fuzz.mutations import changed_bytes, changed_json

N = int(os.environ.get("FUZZ", "200"))
SEED = int(os.environ.get("FUZZ_SEED", "0"))
CLEAN = (ValueError, QFAError)  # OSError would tell of a file that cannot be opened


def tried(
    read: Callable[[Path], object], path: Path, contents: Iterable[bytes | str]
) -> Counter[str]:
    """How many contents were read and how many refused.

    Raises:
        AssertionError: Some ended in another error; it tells of the first of each kind, whose
            contents lie beside `path`.
    """
    counts, wrong = Counter[str](), dict[str, str]()
    for number, content in enumerate(contents):
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        try:
            read(path)
        except CLEAN:
            counts["refused"] += 1
        except Exception as error:
            counts["wrong"] += 1
            at = traceback.extract_tb(error.__traceback__)[-1]
            kind = f"{type(error).__name__} at {at.filename}:{at.lineno}"
            if kind not in wrong:
                wrong[kind] = f"{error} (change {number})"
                path.rename(path.with_name(f"wrong-{number}-{path.name}"))
        else:
            counts["read"] += 1
    assert not wrong, f"{path.parent}: {dict(counts)}, {wrong}"
    return counts


def byte_changes(data: bytes, seed: int) -> Iterator[bytes]:
    """N changes of the bytes of a file."""
    rng = random.Random(f"{SEED} {seed}")
    return (changed_bytes(data, rng) for _ in range(N))


def json_changes(text: str, seed: int) -> Iterator[str]:
    """N changes of the values of a JSON text."""
    rng = random.Random(f"{SEED} {seed}")
    return (changed_json(text, rng) for _ in range(N))
