"""No room, memory or right to write: one clear line, and what was there is as it was."""

from __future__ import annotations

import random
import shutil
import signal
from collections import Counter
from functools import partial

import pytest

from tests.kills.killing import contents, new_folder
from tests.kills.preloaded import run
from tests.kills.shortages import (
    allow_file_bytes,
    allow_more_memory,
    is_one_line,
    leave_room,
    obey_permissions,
    small_disk,
)

pytestmark = pytest.mark.slow
NAMES = ("train", "sample", "search", "evaluate", "fit", "export onnx", "export c")
SMALLEST = 4096  # bytes; the words of the error have to fit
DISK = 16 * 2**20
LEAST_MEMORY, MOST_MEMORY = 2**20, 40 * 2**20  # beyond what a command has when it begins
# How C and C++ libraries end a process when they did not look whether they got what they asked for.
ENDED_BY_A_LIBRARY = (-signal.SIGSEGV, -signal.SIGABRT)
DRAWN = ("front.png", "report.html")  # a word is enough where there is no room for these


def _check(found, folder, expected, outcomes):
    """Count how a command ended that lacked something, if it ended well."""
    assert not list(folder.rglob(".*"))
    there = _whole_files(folder, expected)
    if found.code == 0:
        missing = {name.rpartition("/")[2] for name in expected.keys() - there.keys()}
        assert missing <= set(DRAWN), missing
        outcomes["done" if not missing else "done without a picture"] += 1
    else:
        assert found.code == 1, found.output
        assert is_one_line(found.output), found.output
        outcomes["refused"] += 1


def _whole_files(folder, expected):
    """What a command left, which is what it leaves when nothing lacks, or less of it."""
    there = contents(folder)
    for name, content in there.items():
        whole = expected[name]
        is_whole = content <= whole if isinstance(content, frozenset) else content == whole
        assert is_whole or name.endswith("metrics.csv"), name
    return there


def _ends_well(command, folder, expected):
    """With what it lacked, the command ends as if nothing had happened."""
    found = run(command.arguments, folder)
    assert found.code == 0 or command.is_done in found.output, found.output
    assert {**contents(folder), **_drawn(expected)} == expected


def _drawn(expected):
    return {name: of for name, of in expected.items() if name.endswith(DRAWN)}


@pytest.fixture(scope="module")
def disk(tmp_path_factory):
    """A folder on a small file system of its own."""
    folder = tmp_path_factory.mktemp("disk")
    try:
        with small_disk(folder, DISK):
            yield folder
    except PermissionError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("name", NAMES)
def test_a_full_disk(name, commands, whole, n_kills, tmp_path, disk, record_property):
    command, rng, outcomes = commands[name], random.Random(1), Counter()
    needed = sum(path.stat().st_size for path in whole(name).folder.rglob("*"))
    for _ in range(max(n_kills // 10, 1)):
        folder = new_folder(command, disk / "work")
        filler = leave_room(disk, int(needed * rng.random() ** 3))
        found = run(command.arguments, folder, log=tmp_path / "log")
        filler.unlink()
        _check(found, folder, whole(name).contents, outcomes)
        _ends_well(command, folder, whole(name).contents)
        shutil.rmtree(folder)
    record_property("full disk", f"{name}: {dict(outcomes)}")


@pytest.mark.parametrize("name", NAMES)
def test_files_that_may_not_grow(name, commands, whole, n_kills, tmp_path, record_property):
    command, rng, outcomes = commands[name], random.Random(2), Counter()
    largest = max(path.stat().st_size for path in whole(name).folder.rglob("*"))
    for i in range(max(n_kills // 10, 1)):
        folder = new_folder(command, tmp_path / f"limited-{i}")
        limit = partial(allow_file_bytes, SMALLEST + int(largest * rng.random() ** 3))
        found = run(command.arguments, folder, prepare=limit)
        _check(found, folder, whole(name).contents, outcomes)
    record_property("files that may not grow", f"{name}: {dict(outcomes)}")


@pytest.mark.parametrize("name", NAMES)
def test_no_memory(name, commands, whole, n_kills, tmp_path, record_property):
    command, rng, outcomes = commands[name], random.Random(3), Counter()
    drawn = (rng.randint(LEAST_MEMORY, MOST_MEMORY) for _ in range(n_kills // 6))
    for i, n_bytes in enumerate((LEAST_MEMORY, *drawn)):
        folder = new_folder(command, tmp_path / f"short-{i}")
        limit = partial(allow_more_memory, n_bytes)
        found = run(command.arguments, folder, prepare=limit)
        if found.code in ENDED_BY_A_LIBRARY:
            _whole_files(folder, whole(name).contents)
            outcomes["ended by a library"] += 1
        else:
            _check(found, folder, whole(name).contents, outcomes)
        _ends_well(command, folder, whole(name).contents)
    record_property("no memory", f"{name}: {dict(outcomes)}")
    assert outcomes["refused"] > 0


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_that_is_closed_to_writers(name, commands, tmp_path):
    command = commands[name]
    folder = new_folder(command, tmp_path / "closed")
    before = contents(folder)
    for path in [folder, *(path for path in folder.rglob("*") if path.is_dir())]:
        path.chmod(0o555)
    found = run(command.arguments, folder, prepare=obey_permissions)
    assert found.code == 1, found.output
    assert is_one_line(found.output), found.output
    assert contents(folder) == before
