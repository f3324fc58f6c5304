"""Work in threads of which none is waited for that is gone.

Where memory is full a thread may end between two pieces of work, or while it begins, without a
word. A pool's caller waits for it forever; here the caller does what is left.
"""

from __future__ import annotations

import mmap
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")
A = TypeVar("A")

THREAD_BYTES = 16 * 2**20  # its stack, and room to begin with


def begun(task: Callable[[], T]) -> Callable[[], T]:
    """What waits for the result of `task`, which a thread has begun.

    Without memory for a thread, or where it is gone, the one that waits does the task.
    """
    done: list[T] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            done.append(task())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    if is_started := has_room(THREAD_BYTES):
        try:
            thread.start()
        except RuntimeError:  # the system has no more of them
            is_started = False

    def result() -> T:
        if is_started:
            thread.join()
        if errors:
            raise errors[0]
        return done[0] if done else task()

    return result


def has_room(n_bytes: int) -> bool:
    """Whether this process may still have so much memory."""
    try:
        mmap.mmap(-1, n_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()
    except (OSError, MemoryError):
        return False
    return True


def in_threads(function: Callable[[A], T], of: Sequence[A], most: int) -> list[T]:
    """`function` of each, in order, computed by this thread and up to `most` - 1 others."""
    found: dict[int, T] = {}
    places = iter(range(len(of)))  # each goes to one of the threads

    def work() -> None:
        try:
            for place in places:
                found[place] = function(of[place])
        except BaseException:
            for _ in places:  # the others stop
                pass
            raise

    others = [begun(work) for _ in range(min(most, len(of)) - 1)]
    work()
    for finished in others:
        finished()
    return [found[i] if i in found else function(of[i]) for i in range(len(of))]


def one_ahead(tasks: Iterable[Callable[[], T]]) -> Iterator[T]:
    """Results of `tasks` in order, each computed in a thread while the one before it is used."""
    waiting: Callable[[], T] | None = None
    for task in tasks:
        found = [] if waiting is None else [waiting()]
        waiting = begun(task)
        yield from found
    if waiting is not None:
        yield waiting()
