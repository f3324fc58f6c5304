"""Check data from the published code, which is not part of this project."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[1].parent / "shared"


def reference_file(name: str) -> Path:
    """Path of a check file; the test is skipped where it is absent."""
    path = SHARED / name
    if not path.is_file():
        pytest.skip(f"check data {name} is not on this machine")
    return path
