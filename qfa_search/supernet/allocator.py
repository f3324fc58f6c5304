"""Memory of this process: how the C library hands it out, and how much it took at most."""

from __future__ import annotations

import ctypes
import resource
import sys
from pathlib import Path

M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
# glibc accepts no larger threshold; tensors below it are reused.
LARGEST_HEAP_BLOCK = 32 * 2**20


def reuse_freed_memory() -> None:
    """Keep freed blocks inside the process, with glibc; elsewhere do nothing.

    By default glibc gives large blocks back to the system and takes them anew at every
    operation, which costs a tenth or more of the time of a training step.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, LARGEST_HEAP_BLOCK)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def peak_resident_bytes() -> int:
    """Largest resident memory of this process so far."""
    status = Path("/proc/self/status")
    if status.is_file():  # getrusage would count what the parent had
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return 1024 * int(lines["VmHWM"].split()[0])
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
