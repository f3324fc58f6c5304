"""What a process may lack: room on the disk, memory, the right to write."""

from __future__ import annotations

import ctypes
import os
import re
import resource
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HANGS = 240  # seconds, many times what any command takes on a busy machine
CAPABILITY_VERSION = 0x20080522  # of linux/capability.h, the third


def allow_file_bytes(n: int) -> None:
    """Let this process's files grow to `n` bytes."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n, n))


def allow_more_memory(n_bytes: int) -> None:
    """Let this process have `n_bytes` of memory more than it has, and end it when it hangs."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    limit = pages * resource.getpagesize() + n_bytes
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    signal.alarm(HANGS)


def obey_permissions() -> None:
    """Let files be closed to this process even if it is root's: it gives its capabilities up."""
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0)
    nothing = (ctypes.c_uint32 * 6)()
    if ctypes.CDLL(None, use_errno=True).capset(header, nothing) != 0:
        raise OSError(ctypes.get_errno(), "capset")


@contextmanager
def small_disk(folder: Path, n_bytes: int) -> Iterator[None]:
    """A file system of `n_bytes` in memory at `folder`.

    Raises:
        PermissionError: This process may not mount one.
    """
    mount = shutil.which("mount")
    options = ["-t", "tmpfs", "-o", f"size={n_bytes}", "tmpfs", str(folder)]
    if mount is None or os.geteuid() or subprocess.run([mount, *options], check=False).returncode:
        raise PermissionError("a small file system can only be mounted by root")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def leave_room(folder: Path, n_bytes: int) -> Path:
    """Fill the disk of `folder` up to `n_bytes`; returns the file that does."""
    filler = folder / ".filler"
    free = shutil.disk_usage(folder).free
    with filler.open("wb") as file:
        file.write(bytes(max(free - n_bytes, 0)))
    return filler


def is_one_line(output: str) -> bool:
    """Whether a command that failed said so in one line."""
    return re.fullmatch(r"error: [^\n]+\n", output) is not None
