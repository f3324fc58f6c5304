"""Where measurements run: in this process, in local ones, or on a Dask cluster."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

from qfa_search.errors import MeasurementError, QFAError, is_full_memory
from qfa_search.measuring.parent import end_with

T = TypeVar("T")

BACKENDS = ("loky", "dask")
KEPT = "every score so far is stored, the same command goes on from there"


@dataclass(frozen=True, slots=True, kw_only=True)
class Workers:
    """Who measures.

    Attributes:
        jobs: Local processes; fewer where memory does not hold so many. A cluster has its own
            number.
        backend: "loky" (local processes) or "dask".
        scheduler: Address of the Dask scheduler, needed for "dask" alone.
    """

    jobs: int = 1
    backend: str = "loky"
    scheduler: str | None = None

    def __post_init__(self) -> None:
        """Check the values; a ValueError names the first wrong one."""
        if self.jobs < 1:
            raise ValueError(f"jobs must be at least 1, got {self.jobs}")
        if self.backend not in BACKENDS:
            raise ValueError(
                f"unknown backend {self.backend!r}: choose one of {', '.join(BACKENDS)}"
            )
        if (self.backend == "dask") != (self.scheduler is not None):
            raise ValueError("--scheduler goes with --backend dask, and that needs one")


def run(
    function: Callable[..., T], tasks: Iterable[tuple[Any, ...]], workers: Workers
) -> Iterator[T]:
    """What `function` gives for the arguments `tasks`, as it is done, in any order.

    Raises:
        MeasurementError: A process was killed, or memory is full.
        QFAError: The backend's package is not installed.
    """
    from joblib import Parallel, delayed

    is_local = workers.backend == "loky"
    parent = os.getpid() if is_local and workers.jobs > 1 else None
    with ExitStack() as stack:
        stack.enter_context(_told())
        stack.enter_context(_without_word_of_replaced_processes())
        stack.enter_context(nullcontext() if is_local else _dask(workers))
        parallel = Parallel(
            n_jobs=workers.jobs if is_local else -1, return_as="generator_unordered"
        )
        yield from parallel(delayed(_task)(parent, function, args) for args in tasks)


def _task(parent: int | None, function: Callable[..., T], args: tuple[Any, ...]) -> T:
    if parent is not None and parent != os.getpid():
        end_with(parent)
    return function(*args)


@contextmanager
def _dask(workers: Workers) -> Iterator[None]:
    """The cluster as the place where joblib runs tasks."""
    try:
        from distributed import Client, KilledWorker
    except ImportError as error:
        raise QFAError("--backend dask needs pip install 'qfa-search[dask]'") from error
    from joblib import parallel_config

    try:
        with Client(workers.scheduler), parallel_config(backend="dask"):
            yield
    except (KilledWorker, CancelledError) as error:
        raise MeasurementError(
            f"the cluster lost its workers ({type(error).__name__}); {KEPT}"
        ) from None


@contextmanager
def _without_word_of_replaced_processes() -> Iterator[None]:
    """A process that has grown is replaced between two tasks; joblib warns as if one were lost."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="A worker stopped while some jobs")
        yield


@contextmanager
def _told() -> Iterator[None]:
    """Lost processes and full memory in the user's words."""
    from joblib.externals.loky.process_executor import BrokenProcessPool

    try:
        yield
    except BrokenProcessPool:
        raise MeasurementError(
            "a process that measures was killed, which the system does when memory is short; "
            f"{KEPT}, with fewer --jobs"
        ) from None
    except (MemoryError, RuntimeError) as error:
        if not is_full_memory(error):
            raise
        raise MeasurementError(f"memory is full; {KEPT}, with fewer --jobs") from None
