"""Check data: numbers that this code was recorded with, and the published ones where they are.

The files in `tests/golden` have the form of the published ones. `python -m tests.golden.record`
writes them, once the code agrees with every published number.
"""

from pathlib import Path

import pytest

GOLDEN = Path(__file__).parent / "golden"
PUBLISHED = Path(__file__).resolve().parents[2] / "shared"


def check_files(name: str) -> list:
    """Parameters: the golden file of this name, and the published one where there is one."""
    found = [pytest.param(GOLDEN / Path(name).name, id="golden")]
    if (PUBLISHED / name).is_file():
        found.append(pytest.param(PUBLISHED / name, id="published"))
    return found


# Of the supernet's numbers: the published network is large.
SOURCES = [
    pytest.param(file.id, marks=[pytest.mark.slow] if file.id == "published" else [])
    for file in check_files("reference/supernet_keys.json")
]
