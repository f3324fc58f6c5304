"""Make the bundled Fashion-MNIST supernet, its samples and predictor again, by users' commands.

    python -m benchmarks.bundled --out runs/bundled

Takes one to three hours on two CPU cores. An interrupted run goes on where it was.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from pathlib import Path

N_SAMPLES = 1500
JOBS = 2
# The second training: quantized from the first step, at half the rate, and on images where they
# lie. Moved images make the first one robust, but small subnets cannot spare the capacity.
TRAIN_ON = shlex.split(
    "--teacher-epochs 0 --float-epochs 0 --mixed-epochs 0 --epochs 12 --learning-rate 1e-3 "
    "--shift-share 0"
)


def commands(out: Path) -> list[list[str]]:
    """The four command lines: train, train on, sample, fit."""
    qfa_search = [sys.executable, "-m", "qfa_search"]
    data = ["--data", "fashion-mnist"]
    samples = str(out / "samples.sqlite")
    first = out / "first"
    train = ["train", *data, "--out", str(first), "--resume"]
    start = ["--init", str(first / "supernet.safetensors")]
    start += ["--teacher", str(first / "teacher.safetensors")]
    train_on = ["train", *data, "--out", str(out), "--resume", *start, *TRAIN_ON]
    sample = ["sample", "--supernet", str(out), *data, "--n", str(N_SAMPLES), "--out", samples]
    fit = ["fit", "--samples", samples, "--out", str(out / "predictor.safetensors")]
    return [
        [*qfa_search, *train],
        [*qfa_search, *train_on],
        [*qfa_search, *sample, "--jobs", str(JOBS)],
        [*qfa_search, *fit],
    ]


def main() -> None:
    """Run the commands, leaving out those whose result is there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    out: Path = parser.parse_args().out
    supernets = [folder / "supernet.safetensors" for folder in (out / "first", out)]
    results = [*supernets, None, out / "predictor.safetensors"]
    for command, result in zip(commands(out), results, strict=True):
        if result is not None and result.exists():
            continue
        print("+", shlex.join(command), flush=True)
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
