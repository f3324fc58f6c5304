"""A record of every use of test images, so that nobody selects on them unnoticed."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from predictors.files import file_digest, naming

RECORD_NAME = "test-evaluations.jsonl"


def record_test_use(
    folder: Path, supernet_digest: str, n_subnets: int, *, evaluated: Path | None
) -> None:
    """Append one line to the record in `folder`.

    Args:
        folder: Where the record is.
        supernet_digest: The supernet of what is scored on test images.
        n_subnets: How many subnets are scored.
        evaluated: The front or subnet that they are of; None for subnets without a file.
    """
    entry = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "file": None if evaluated is None else evaluated.name,
        "file_digest": None if evaluated is None else file_digest(evaluated),
        "supernet_digest": supernet_digest,
        "n_subnets": n_subnets,
    }
    record = folder / RECORD_NAME
    with naming(record):
        folder.mkdir(parents=True, exist_ok=True)
    with naming(record), record.open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")
