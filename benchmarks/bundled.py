"""Make the bundled supernet, its samples and its predictor again, by the commands users have.

    python -m benchmarks.bundled --out runs/bundled

Takes hours on two CPU cores. An interrupted run goes on where it was.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from pathlib import Path

N_SAMPLES = 612
JOBS = 2


def commands(out: Path) -> list[list[str]]:
    """The three command lines: train, sample, fit."""
    qfa_search = [sys.executable, "-m", "qfa_search"]
    data = ["--data", "fashion-mnist"]
    samples = str(out / "samples.sqlite")
    train = ["train", *data, "--out", str(out), "--resume"]
    sample = ["sample", "--supernet", str(out), *data, "--n", str(N_SAMPLES), "--out", samples]
    fit = ["fit", "--samples", samples, "--out", str(out / "predictor.safetensors")]
    return [
        [*qfa_search, *train],
        [*qfa_search, *sample, "--jobs", str(JOBS)],
        [*qfa_search, *fit],
    ]


def main() -> None:
    """Run the commands, leaving out those whose result is there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    out: Path = parser.parse_args().out
    results = [out / "supernet.safetensors", None, out / "predictor.safetensors"]
    for command, result in zip(commands(out), results, strict=True):
        if result is not None and result.exists():
            continue
        print("+", shlex.join(command), flush=True)
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
