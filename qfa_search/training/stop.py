"""Ctrl-C and SIGTERM as a wish to end after the step that runs, the same one in every process."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from qfa_search.training.distributed import World, add_numbers

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def stop_requests(world: World) -> Iterator[Callable[[], None]]:
    """What raises KeyboardInterrupt, called after a step in every process, if any was told to end.

    Until then a signal waits. Alone, a process ends at once at the second one. Outside the main
    thread, which alone hears signals, nothing changes.
    """
    is_wanted = False

    def hear(number: int, frame: FrameType | None) -> None:
        nonlocal is_wanted
        if is_wanted and world.size == 1:
            raise KeyboardInterrupt
        is_wanted = True

    def check() -> None:
        if add_numbers([float(is_wanted)], world)[0] > 0:
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield check
        return
    before = {number: signal.signal(number, hear) for number in SIGNALS}
    try:
        yield check
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
