"""Processes do not outlive the one that started them."""

import os
import select
import signal
import subprocess
import sys

CHILD = (
    "import os, time\n"
    "from qfa_search.measuring.parent import end_with\n"
    "end_with(os.getppid())\n"
    "os.write(1, b'.')\n"
    "time.sleep(600)\n"
)
PARENT = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {CHILD!r}])\n"


def test_a_process_ends_when_the_one_that_started_it_is_killed() -> None:
    read, write = os.pipe()
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=write) as parent:
        os.close(write)
        assert os.read(read, 100) == b"."
        parent.send_signal(signal.SIGKILL)
    # The pipe ends when the child, which holds its other end, is gone.
    assert select.select([read], [], [], 60)[0]
    assert os.read(read, 100) == b""
    os.close(read)
