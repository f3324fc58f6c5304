"""`qfa-search` in processes forked from one that has imported everything: each starts at once."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

# What the commands import when they run.
LATE = (
    *("matplotlib.backends.backend_agg", "onnx", "onnxruntime", "pandas"),
    *("qfa_search.deployment.engines", "qfa_search.deployment.export"),
    *("qfa_search.deployment.onnx_file", "qfa_search.deployment.replay"),
    *("qfa_search.evolution.measured", "qfa_search.evolution.search", "qfa_search.front.picture"),
    *("qfa_search.measuring.calls", "qfa_search.measuring.store", "qfa_search.report.page"),
    *("qfa_search.training.calls", "qfa_search.training.launch", "qfa_search.training.run"),
    *("sklearn.gaussian_process", "sklearn.model_selection"),
)
# Events of Python (https://docs.python.org/3/library/audit_events.html) before which a process
# may be told to die.
EVENTS = frozenset(
    {"open", "os.chmod", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "sqlite3.connect"}
)
SECONDS = 300.0

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.kills.preloaded", "qfa_search.cli", *LATE])


@dataclass(frozen=True, slots=True)
class Run:
    """How a command ended.

    Attributes:
        code: Exit code; negative is the signal that killed it.
        output: Its standard output and error.
        cpu_seconds: Time of a processor that it took.
        n_events: Events that touched the folder it was watched in.
    """

    code: int
    output: str
    cpu_seconds: float
    n_events: int

    @property
    def is_killed(self) -> bool:
        return self.code == -signal.SIGKILL


def run(
    arguments: Sequence[object],
    folder: Path,
    *,
    cpu_seconds: float = SECONDS,
    dies_at: int | None = None,
    prepare: Callable[[], object] | None = None,
    log: Path | None = None,
) -> Run:
    """Run `qfa-search ARGUMENTS` in `folder`, and kill it (-9) if it is told to.

    Args:
        arguments: Of the command line.
        folder: Its current folder, where events are counted.
        cpu_seconds: After how much time of a processor it dies, however busy the machine is.
        dies_at: Number of the event before which it dies, counted from 1.
        prepare: Called in the process first; picklable.
        log: Where its output goes; beside the folder by default.
    """
    log = folder.with_name(f"{folder.name}.log") if log is None else log
    count = _context.RawValue("i", 0)
    texts = [str(argument) for argument in arguments]
    process = _context.Process(target=_main, args=(texts, log, folder, count, dies_at, prepare))
    process.start()
    took = 0.0
    while process.is_alive():
        with suppress(OSError):  # it has just ended
            took = max(took, time.clock_gettime(_cpu_clock(process.pid)))
        if took >= cpu_seconds:
            process.kill()
        time.sleep(0.002)
    assert process.exitcode is not None
    output = log.read_text(encoding="utf-8") if log.exists() else ""
    return Run(process.exitcode, output, took, count.value)


def _cpu_clock(process: int) -> int:
    """The clock of Linux that tells the processor time of another process."""
    return (~process << 3) | 2


def _main(
    arguments: list[str],
    log: Path,
    folder: Path,
    count: multiprocessing.sharedctypes.Synchronized[int],
    dies_at: int | None,
    prepare: Callable[[], object] | None,
) -> None:
    for name in LATE:  # where the first process could not import them
        with suppress(ImportError):
            importlib.import_module(name)
    import torch

    import qfa_search.evolution.state_file as state_file
    import qfa_search.training.phase as phase
    from qfa_search.cli import main

    torch.set_num_threads(1)
    phase.CHECKPOINT_SECONDS = state_file.SAVE_SECONDS = -1.0  # after each step
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for number in (1, 2):
        os.dup2(handle, number)
    sys.argv = ["qfa-search", *arguments]
    if prepare is not None:
        prepare()
    inside = str(folder)
    os.chdir(folder)

    def hear(event: str, of: tuple[object, ...]) -> None:
        paths = (os.path.abspath(a) for a in of if isinstance(a, str | Path))
        if event in EVENTS and any(inside in path for path in paths):
            count.value += 1
            if count.value == dies_at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hear)
    main()
