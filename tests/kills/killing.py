"""One command killed again and again, and what is there after each kill and in the end."""

from __future__ import annotations

import csv
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from predictors.files import load_tensors
from qfa_search.evolution.state_file import KIND as STATE
from qfa_search.measuring.samples import read_samples
from qfa_search.training.checkpoint import _read as read_checkpoint
from tests.kills.preloaded import Run, run

Contents = dict[str, object]
VERSIONED = "metrics.csv"  # its last column is a speed


@dataclass(frozen=True, slots=True)
class Command:
    """A command that works in the current folder.

    Attributes:
        arguments: Its arguments.
        prepare: Puts what it needs into a new folder.
        is_done: Words of its refusal when everything was written before it was killed.
    """

    arguments: Sequence[object]
    prepare: Callable[[Path], object] = lambda folder: None
    is_done: str = "nothing is refused"


def new_folder(command: Command, folder: Path) -> Path:
    """`folder`, made for a command."""
    folder.mkdir(parents=True, exist_ok=True)
    command.prepare(folder)
    return folder


@dataclass(frozen=True, slots=True)
class Whole:
    """What a command does that nothing disturbs.

    Attributes:
        folder: What it wrote.
        contents: What that says.
        run: How it ran.
    """

    folder: Path
    contents: Contents
    run: Run


def unbroken(command: Command, folder: Path) -> Whole:
    """Run a command in `folder`."""
    found = run(command.arguments, new_folder(command, folder))
    assert found.code == 0, found.output
    return Whole(folder, contents(folder), found)


def killed(command: Command, whole: Whole, n: int, root: Path, seed: int = 0) -> Counter[str]:
    """How often a command was killed, `n` times in all, and how often it came to its end.

    Half of the kills come after a random share of its time, half before a random one of the
    events in which it opens, renames or removes a file. It is started again until it ends by
    itself, and then in a new folder.
    """
    rng, outcomes = random.Random(seed), Counter[str]()
    outcomes["killed"] = 0
    while outcomes["killed"] < n:
        folder = new_folder(command, root / f"run-{outcomes['finished']}")
        known: Contents = {}
        while True:
            dies: dict[str, Any] = {}
            if outcomes["killed"] < n:
                dies = rng.choice(
                    [
                        {"cpu_seconds": rng.uniform(0, whole.run.cpu_seconds)},
                        {"dies_at": rng.randint(1, whole.run.n_events)},
                    ]
                )
            found = run(command.arguments, folder, **dies)
            if not found.is_killed:
                break
            outcomes["killed"] += 1
            known = _checked(contents(folder), whole.contents, known)
        if found.code != 0:
            assert found.code == 1, found.output
            assert command.is_done in found.output, found.output
            outcomes["killed after its end"] += 1
        left = contents(folder)
        assert left == whole.contents, sorted(
            name
            for name in left.keys() | whole.contents.keys()
            if left.get(name) != whole.contents.get(name)
        )
        outcomes["finished"] += 1
    return outcomes


def _checked(found: Contents, expected: Contents, before: Contents) -> Contents:
    """`found`, if nothing is half written and nothing that was there is gone.

    What a killed export left is no result: the next one removes it.
    """
    if not _is_unfinished_export(before):
        assert found.keys() >= before.keys()
    for name, content in found.items():
        whole = expected[name]
        if isinstance(content, frozenset):
            assert content <= whole, f"{name} has rows that nobody measured"
            assert content >= before.get(name, frozenset()), f"{name} has lost rows"
        elif name.endswith(VERSIONED):
            assert content == whole[: len(content)]
        else:
            assert content == whole, f"{name} is neither missing nor whole"
    return found


def _is_unfinished_export(found: Contents) -> bool:
    """Whether there is a sidecar whose main file, the last one to take its name, never came."""
    mains = [name.removesuffix(".json") for name in found if name.endswith(".json")]
    return any(Path(main).suffix and main not in found for main in mains)


def contents(folder: Path) -> Contents:
    """What the files of a folder say by their names; states of unfinished work are only read."""
    found: Contents = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        name = str(path.relative_to(folder))
        is_temporary = any(part.startswith(".") for part in Path(name).parts)
        if is_temporary or name.endswith(("-wal", "-shm", "-journal")):
            continue
        if path.suffix == ".ckpt":
            read_checkpoint(path)
        elif path.name.startswith("search-state"):
            load_tensors(path, STATE)
        elif path.suffix == ".sqlite":
            found[name] = _rows(path)
        elif path.name == VERSIONED:
            with path.open(newline="") as file:
                found[name] = [row[:-1] for row in csv.reader(file)]
        else:
            found[name] = path.read_bytes()
    return found


def _rows(path: Path) -> frozenset[tuple[object, ...]]:
    try:
        samples = read_samples(path)
    except ValueError as error:  # before the first row
        if "no samples" not in str(error):
            raise
        return frozenset()
    rows = samples.frame[["top1", "cross_entropy", "n_images"]].itertuples(index=False)
    return frozenset((genome.tobytes(), *row) for genome, row in zip(samples.X, rows, strict=True))
