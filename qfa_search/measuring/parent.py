"""Processes that end with the one that started them."""

from __future__ import annotations

import os
import threading
import time
from functools import cache

PARENT_CHECK_SECONDS = 1.0


@cache
def end_with(parent: int) -> None:
    """Let this process end soon after `parent`, which started it, is gone, however it went."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PARENT_CHECK_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
