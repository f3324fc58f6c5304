"""Ctrl-C as a terminal sends it, to a command in a process of its own."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable


def _listen_to_ctrl_c() -> None:
    # Processes started in the background of a shell script ignore it, and so do their children.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def run_until(arguments: list[str], is_time: Callable[[], bool]) -> tuple[int, str]:
    """Exit code and stderr of `qfa-search ARGUMENTS`, interrupted once `is_time()`."""
    with subprocess.Popen(
        [sys.executable, "-m", "qfa_search", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_listen_to_ctrl_c,
    ) as process:
        try:
            while process.poll() is None and not is_time():
                pass
            os.kill(process.pid, signal.SIGINT)
            _, errors = process.communicate(timeout=100)
        finally:
            process.kill()
    return process.returncode, errors
