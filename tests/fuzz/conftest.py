"""Memory is short for readers of small files, and what they did is counted."""

from __future__ import annotations

import resource

import pytest

from tests.fuzz import reading

MEMORY = 4 * 2**30  # more than a reader of small files may ask for


@pytest.fixture(autouse=True)
def _little_memory():
    before = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_DATA, before)


@pytest.fixture
def tried(request, record_property):
    """`reading.tried`, whose counts are printed in the end."""

    def count(read, path, contents):
        counts = reading.tried(read, path, contents)
        record_property("fuzz", f"{request.path.stem}, {request.node.name}: {dict(counts)}")
        return counts

    return count
