"""Several processes that train together on this machine, and how they end: as one."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.queues import SimpleQueue
from types import FrameType

from torch.multiprocessing.spawn import (
    ProcessContext,
    ProcessException,
    ProcessExitedException,
    start_processes,
)

from qfa_search.errors import QFAError, TrainingError, is_full_memory
from qfa_search.measuring.parent import end_with
from qfa_search.training.stop import SIGNALS

GRACE_SECONDS = 20.0
Report = tuple[str, str]  # "interrupted" or "error", and the message


def run_together(target: Callable[[], object], n: int) -> None:
    """Run `target` in `n` processes of one thread each, connected as torchrun would.

    Ctrl-C and SIGTERM are passed on; what a process raises is raised here, once.

    Args:
        target: A picklable function.
        n: How many processes.

    Raises:
        KeyboardInterrupt: They were told to end, and did.
        QFAError: What the first failing process raised, or that one was killed.
    """
    reports: SimpleQueue[Report] = multiprocessing.get_context("spawn").SimpleQueue()
    logging.getLogger("torch.multiprocessing.spawn").setLevel(logging.ERROR)
    failure: ProcessException | None = None
    with _signals_wait():
        context = start_processes(  # type: ignore[no-untyped-call]
            _work,
            (target, n, _free_port(), os.getpid(), reports),
            nprocs=n,
            join=False,
            start_method="spawn",
        )
    assert context is not None
    with _passing_signals_on(context) as is_told_to_end:
        try:
            while not context.join(grace_period=GRACE_SECONDS):
                pass
        except ProcessException as error:
            failure = error
    found = []
    while not reports.empty():
        found.append(reports.get())
    messages = [message for kind, message in found if kind == "error"]
    if messages:
        raise TrainingError(messages[0])
    if is_told_to_end() or found:
        raise KeyboardInterrupt
    if isinstance(failure, ProcessExitedException) or any(
        process.exitcode == -signal.SIGKILL for process in context.processes
    ):
        raise TrainingError(
            "a training process was killed, which the system does when memory is short: add "
            "--resume to go on from the last checkpoint"
        )
    if failure is not None:
        raise failure


def _work(
    rank: int,
    target: Callable[[], object],
    n: int,
    port: int,
    parent: int,
    reports: SimpleQueue[Report],
) -> None:
    """What each process does; expected errors are told in `reports`, others as tracebacks."""
    end_with(parent)
    os.environ.update(
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        WORLD_SIZE=str(n),
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(port),
    )
    try:
        target()
    except KeyboardInterrupt:
        reports.put(("interrupted", ""))
    except (MemoryError, RuntimeError) as error:
        if not is_full_memory(error):
            raise
        told = "memory is full: go on with --resume, and with fewer --processes"
        reports.put(("error", told))
        raise SystemExit(1) from None
    except (QFAError, ValueError, OSError) as error:
        reports.put(("error", str(error)))
        raise SystemExit(1) from None


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def _signals_wait() -> Iterator[None]:
    """Ctrl-C is ignored here, and by processes that start meanwhile until they listen."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _passing_signals_on(context: ProcessContext) -> Iterator[Callable[[], bool]]:
    """Whether a signal came; the first ends the processes after their step, the second now."""
    n_signals = 0

    def hear(number: int, frame: FrameType | None) -> None:
        nonlocal n_signals
        n_signals += 1
        for process in context.processes:
            if process.is_alive():
                os.kill(process.pid, signal.SIGTERM if n_signals == 1 else signal.SIGKILL)

    before = {number: signal.signal(number, hear) for number in SIGNALS}
    try:
        yield lambda: n_signals > 0
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
