"""`qfa-search train` on the toy space, in a process of its own."""

import resource
import signal
import subprocess
import sys

# Twenty steps: two float epochs, one mixed and one quantized, five steps each.
TINY = ("--teacher-epochs", "0", "--float-epochs", "2", "--mixed-epochs", "1", "--epochs", "1")
TINY = (*TINY, "--batch-size", "11", "--parts", "2", "--quiet")
SAVES_EVERY_STEP = (
    "import qfa_search.training.phase as phase; phase.CHECKPOINT_SECONDS = 0; "
    "from qfa_search.cli import main; main()"
)


def train_command(images, space, out, *options):
    return ["train", "--data", str(images), "--space", str(space), "--out", str(out), *options]


def start(arguments, *, with_code=None, by=(), script=None, largest_file=None):
    """The running process; `by` a launcher, of `script`; its files may grow to `largest_file`."""

    def prepare():
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        if largest_file is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))

    if with_code:
        code = ["-c", with_code]
    elif script:
        code = ["-m", *by, str(script)]
    else:
        code = ["-m", *by, *(["-m"] * bool(by)), "qfa_search"]
    return subprocess.Popen(
        [sys.executable, *code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=prepare,
    )


def finish(process, seconds=300):
    """Exit code, stdout and stderr."""
    try:
        out, errors = process.communicate(timeout=seconds)
    finally:
        process.kill()
    return process.returncode, out, errors
