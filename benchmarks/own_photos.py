"""A front on a folder of own photos, by the commands users have, beside plain baselines.

    python -m benchmarks.own_photos --data ./photos --out runs/own-photos

Trains, samples, fits, searches and measures; then the members' scores on the test split stand
beside networks trained alone on the same images: the members' own architectures at 8 bits, a
small float network of separable layers, each for the CPU time of the whole training, and logistic
regression. What is there already is not made again.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.parts.report import command, machine, markdown_table
from predictors.files import write_text

if TYPE_CHECKING:
    from benchmarks.parts.photo_baselines import Baseline

N_SAMPLES, N_MEASURED = 300, 12
TIMES_FILE = "times.json"


def commands(data: str, out: Path, train_options: list[str], n: int) -> list[list[str]]:
    """The command lines: train, sample, fit, search, evaluate."""
    qfa_search = [sys.executable, "-m", "qfa_search"]
    jobs = ["--jobs", str(os.cpu_count() or 1)]
    samples, predictor = str(out / "samples.sqlite"), str(out / "predictor.safetensors")
    front = out / "front"
    members = front / "front.json"
    images = ["--data", data]
    of_run = ["--supernet", str(out), *images]
    return [
        [*qfa_search, "train", *images, "--out", str(out), *train_options],
        [*qfa_search, "sample", *of_run, "--n", str(n), "--out", samples, *jobs],
        [*qfa_search, "fit", "--samples", samples, "--out", predictor],
        [*qfa_search, *of_run, "--measure", str(N_MEASURED), *jobs, "--out", str(front)],
        [*qfa_search, "evaluate", *of_run, "--split", "test", "--json", *jobs, str(members)],
    ]


def main() -> None:
    """Run the commands and print the report, in Markdown, to OUT/own_photos.md too."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--train", default="", help="more options of qfa-search train, in quotes")
    parser.add_argument("--n", type=int, default=N_SAMPLES, help="subnets to sample")
    parser.add_argument("--alone-minutes", type=float, help="CPU minutes of each baseline")
    arguments = parser.parse_args()
    out: Path = arguments.out
    times = _run_all(arguments)
    test = json.loads((out / "test.json").read_text(encoding="utf-8"))
    minutes = arguments.alone_minutes or times["train"]["cpu"] / 60
    text = report(test, baselines(arguments.data, out, test, minutes), times)
    text += f"\n{command('own_photos', sys.argv[1:])}\n\n{machine()}\n"
    print(text)
    write_text(out / "own_photos.md", text)


def _run_all(arguments: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Run what is not done; wall and CPU seconds of each command."""
    out: Path = arguments.out
    lines = commands(arguments.data, out, shlex.split(arguments.train), arguments.n)
    names = ("train", "sample", "fit", "search", "evaluate")
    path = out / TIMES_FILE
    times = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    for name, line in zip(names, lines, strict=True):
        if name in times:
            continue
        print("+", shlex.join(line), flush=True)
        started, before = time.perf_counter(), _cpu_seconds()
        stdout = subprocess.PIPE if name == "evaluate" else None
        found = subprocess.run(line, check=True, text=True, stdout=stdout)
        times[name] = {"wall": time.perf_counter() - started, "cpu": _cpu_seconds() - before}
        if stdout is not None:
            write_text(out / "test.json", found.stdout)
        write_text(path, json.dumps(times, indent=1) + "\n")
    return dict(times)


def baselines(data: str, out: Path, test: list[dict[str, float]], minutes: float) -> list[Baseline]:
    """The networks trained alone, each for so many CPU minutes."""
    import torch

    from benchmarks.parts.photo_baselines import alone_at_8_bits, logistic_regression, separable
    from qfa_search.front.subnet_files import read_subnets
    from qfa_search.images.sources import open_data
    from qfa_search.images.split_file import SPLIT_FILE
    from qfa_search.supernet.files import resolve_supernet
    from qfa_search.training.run import recipe_of

    torch.set_num_threads(1)
    files = resolve_supernet(out)
    space, config = files.space(), recipe_of(files.weights)
    opened = open_data(
        data,
        channels=space.input_channels,
        resolution=max(space.resolutions),
        split_file=out / SPLIT_FILE,
    )
    train, held_out = opened.images("train"), opened.images("test")
    X = read_subnets(str(out / "front" / "front.json"), space, files.digest()).X
    cheapest, best = 0, max(range(len(test)), key=lambda i: test[i]["top1_test"])
    found = [logistic_regression(train, held_out)]
    found.append(separable(train, held_out, space.n_classes, config, minutes))
    for i in dict.fromkeys((cheapest, len(test) // 2, best)):
        subnet = space.layout.decode(X[i])
        found.append(alone_at_8_bits(space, subnet, train, held_out, config, minutes))
    return found


def report(
    test: list[dict[str, float]], alone: list[Baseline], times: dict[str, dict[str, float]]
) -> str:
    """The front and the baselines as Markdown."""
    rows = [
        (f"front {i}", f"{m['top1_test']:.1f}", f"{m['size_kb']:.1f}", f"{m['mflops']:.3f}", "")
        for i, m in enumerate(test)
    ]
    rows += [
        (
            baseline.name,
            f"{baseline.top1:.1f}",
            f"{baseline.size_kb:.1f}",
            "" if baseline.mflops is None else f"{baseline.mflops:.3f}",
            f"{baseline.cpu_minutes:.1f}",
        )
        for baseline in alone
    ]
    header = ("network", "test top-1", "size KB", "MFLOPs", "CPU min alone")
    walls = ", ".join(f"{name} {t['wall'] / 60:.1f} min" for name, t in times.items())
    cpu = sum(t["cpu"] for t in times.values()) / 60
    return (
        f"{markdown_table(header, rows)}\n\nWall time: {walls}; {cpu:.1f} CPU minutes in all. "
        "Sizes and MFLOPs of float baselines count their weights as 8 bits.\n"
    )


def _cpu_seconds() -> float:
    """CPU time of the commands that ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
