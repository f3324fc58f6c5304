"""A record of every use of test images, so that nobody selects on them unnoticed."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from predictors.files import file_digest, naming

RECORD_NAME = "test-evaluations.jsonl"


def record_test_use(evaluated: Path, supernet_digest: str, n_subnets: int) -> Path:
    """Append one line to the record beside `evaluated`, and return its path.

    Args:
        evaluated: The front or subnet that was scored on test images.
        supernet_digest: Its supernet.
        n_subnets: How many subnets were scored.
    """
    entry = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "file": evaluated.name,
        "file_digest": file_digest(evaluated),
        "supernet_digest": supernet_digest,
        "n_subnets": n_subnets,
    }
    record = evaluated.with_name(RECORD_NAME)
    with naming(record), record.open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")
    return record
