"""How the C library hands out memory while networks run on the CPU."""

from __future__ import annotations

import ctypes

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
