"""Fronts on a folder of own photos, by the commands users have, beside plain baselines.

    python -m benchmarks.own_photos --data ./photos --out runs/own-photos [--seeds 0 1 2]

For every seed it trains, samples, fits, searches, measures, and scores the members and the teacher
on the test split. Beside the first seed's front stand networks trained alone on the same images:
the members' own architectures at 8 bits, a small float network of separable layers, each for the
CPU time of the whole training, and logistic regression. What is there already is not made again,
and what was interrupted goes on: the same command ends what was begun. A command that was
interrupted has no time, and other options than those of the start are refused.
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
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.parts.photo_baselines import Baseline
from benchmarks.parts.photo_report import SeedRun, Times, report
from benchmarks.parts.report import command, machine
from predictors.files import write_text
from qfa_search.front.folder import state_files

if TYPE_CHECKING:
    from qfa_search.images.sources import Data
    from search_spaces import SearchSpace

N_SAMPLES, N_MEASURED = 300, 12
TIMES_FILE, LOG_FILE, TEST_FILE, BASELINES_FILE, OPTIONS_FILE = (
    *("times.json", "train.log", "test.json", "baselines.json", "options.json"),
)
COMMANDS = ("train", "sample", "fit", "search", "evaluate")


def commands(
    data: str, out: Path, train_options: Sequence[str], n: int, seed: int = 0
) -> list[list[str]]:
    """The command lines: train, sample, fit, search, evaluate; what was begun is resumed."""
    qfa_search = [sys.executable, "-m", "qfa_search"]
    jobs = ["--jobs", str(os.cpu_count() or 1)]
    samples, predictor = str(out / "samples.sqlite"), str(out / "predictor.safetensors")
    front = out / "front"
    members = front / "front.json"
    images = ["--data", data]
    of_run = ["--supernet", str(out), *images]
    seeded = ["--seed", str(seed)]
    is_begun = {"train": any(out.glob("*.ckpt")), "search": bool(state_files(front))}
    going_on = {name: ["--resume"] if begun else [] for name, begun in is_begun.items()}
    trained = ["--out", str(out), *seeded, *train_options, *going_on["train"]]
    return [
        [*qfa_search, "train", *images, *trained],
        [*qfa_search, "sample", *of_run, "--n", str(n), "--out", samples, *seeded, *jobs],
        [*qfa_search, "fit", "--samples", samples, "--out", predictor],
        [
            *(*qfa_search, *of_run, "--measure", str(N_MEASURED), *seeded, *jobs),
            *("--out", str(front), *going_on["search"]),
        ],
        [*qfa_search, "evaluate", *of_run, "--split", "test", "--json", *jobs, str(members)],
    ]


def main() -> None:
    """Run the commands and print the report, in Markdown, to OUT/own_photos.md too."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="of training and search")
    parser.add_argument("--train", default="", help="more options of qfa-search train, in quotes")
    parser.add_argument("--n", type=int, default=N_SAMPLES, help="subnets to sample")
    parser.add_argument("--alone-minutes", type=float, help="CPU minutes of each baseline")
    parser.add_argument("--save", type=Path, metavar="FILE", help="write the report there too")
    arguments = parser.parse_args()
    runs = [_run(arguments, seed) for seed in arguments.seeds]
    first: Path = arguments.out / f"seed-{arguments.seeds[0]}"
    minutes = arguments.alone_minutes or _training_minutes(runs[0])
    alone = _kept_baselines(arguments.data, first, runs[0].test, minutes)
    text = report(Path(arguments.data).name, _n_images(arguments.data, first), runs, alone)
    text += f"\nWritten by `{command('own_photos', sys.argv[1:])}`.\n\n{machine()}\n"
    print(text)
    for path in (arguments.out / "own_photos.md", arguments.save):
        if path is not None:
            write_text(path, text)


def _run(arguments: argparse.Namespace, seed: int) -> SeedRun:
    """Run what is not done of one seed."""
    out: Path = arguments.out / f"seed-{seed}"
    out.mkdir(parents=True, exist_ok=True)
    _keep(out / OPTIONS_FILE, {"train": arguments.train, "n": arguments.n})
    lines = commands(arguments.data, out, shlex.split(arguments.train), arguments.n, seed)
    path = out / TIMES_FILE
    times: Times = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    for name, line in zip(COMMANDS, lines, strict=True):
        tries = times.get(name, {}).get("tries", 0)
        if "wall" in times.get(name, {}):
            continue
        times[name] = {"tries": tries + 1}
        write_text(path, json.dumps(times, indent=1) + "\n")
        print("+", shlex.join(line), flush=True)
        started, before = time.perf_counter(), _cpu_seconds()
        found = _train(line, out / LOG_FILE) if name == "train" else _stdout(line, name)
        spent = {"wall": time.perf_counter() - started, "cpu": _cpu_seconds() - before}
        times[name] |= spent
        if name == "evaluate":
            write_text(out / TEST_FILE, found)
        write_text(path, json.dumps(times, indent=1) + "\n")
    return SeedRun(
        seed=seed,
        test=json.loads((out / TEST_FILE).read_text(encoding="utf-8")),
        teacher=_teacher_top1(arguments.data, out),
        times=times,
        log=(out / LOG_FILE).read_text(encoding="utf-8"),
    )


def _keep(path: Path, options: Mapping[str, object]) -> None:
    """Write down what a result was asked for with; a SystemExit if it was something else before."""
    before = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else options
    for name, value in before.items():
        if options[name] != value:
            raise SystemExit(
                f"{path.parent} was begun with --{name} {value or repr('')}: give that again, or "
                "another --out"
            )
    write_text(path, json.dumps(options, indent=1) + "\n")


def _training_minutes(run: SeedRun) -> float:
    """CPU minutes of a training, which baselines get too."""
    if run.times["train"]["tries"] > 1:
        raise SystemExit(
            "the training was interrupted, so nobody knows its CPU time: say with "
            "--alone-minutes how long baselines are trained"
        )
    return run.times["train"]["cpu"] / 60


def _train(line: Sequence[str], log: Path) -> str:
    """Run a training; what it tells goes to the terminal and to `log`, and nothing is returned."""
    with (
        log.open("a", encoding="utf-8") as file,
        subprocess.Popen(line, text=True, stderr=subprocess.PIPE) as process,
    ):
        assert process.stderr is not None
        for told in process.stderr:
            sys.stderr.write(told)
            file.write(told)
            file.flush()
    if process.returncode:
        raise SystemExit(f"the training ended with {process.returncode}: see {log}")
    return ""


def _stdout(line: Sequence[str], name: str) -> str:
    """Run a command; what "evaluate" prints is returned."""
    stdout = subprocess.PIPE if name == "evaluate" else None
    return subprocess.run(line, check=True, text=True, stdout=stdout).stdout or ""


def _opened(data: str, out: Path) -> tuple[SearchSpace, Data]:
    """The space of a run, and the images with its split."""
    from qfa_search.images.sources import open_data
    from qfa_search.images.split_file import SPLIT_FILE
    from qfa_search.supernet.files import resolve_supernet

    space = resolve_supernet(out).space()
    side = max(space.resolutions)
    stored = out / SPLIT_FILE
    return space, open_data(data, channels=space.input_channels, resolution=side, split_file=stored)


def _n_images(data: str, out: Path) -> dict[str, int]:
    """Images of every split."""
    _, opened = _opened(data, out)
    return {"train": opened.size("train"), "val": opened.size("val"), "test": opened.size("test")}


def _teacher_top1(data: str, out: Path) -> float | None:
    """What the teacher reaches on the test split, in percent; None if none was kept."""
    from benchmarks.parts.photo_baselines import EVALUATION_BATCH
    from qfa_search.measuring.evaluation import evaluate
    from qfa_search.training.recipe import TEACHER_FILE
    from qfa_search.training.teacher import load_teacher

    if not (out / TEACHER_FILE).is_file():
        return None
    space, opened = _opened(data, out)
    teacher = load_teacher(out / TEACHER_FILE, space)
    batches = opened.images("test").batches(teacher.resolution, EVALUATION_BATCH)
    return evaluate(teacher.network, batches).top1


def _kept_baselines(
    data: str, out: Path, test: Sequence[Mapping[str, float]], minutes: float
) -> list[Baseline]:
    """The baselines, from a file where they were trained already."""
    path = out / BASELINES_FILE
    _keep(out / f"alone-{OPTIONS_FILE}", {"alone-minutes": minutes})
    if not path.is_file():
        alone = [asdict(baseline) for baseline in baselines(data, out, test, minutes)]
        write_text(path, json.dumps(alone, indent=1) + "\n")
    return [Baseline(**values) for values in json.loads(path.read_text(encoding="utf-8"))]


def baselines(
    data: str, out: Path, test: Sequence[Mapping[str, float]], minutes: float
) -> list[Baseline]:
    """The networks trained alone, each for so many CPU minutes."""
    import torch

    from benchmarks.parts.photo_baselines import alone_at_8_bits, logistic_regression, separable
    from qfa_search.front.subnet_files import read_subnets
    from qfa_search.supernet.files import resolve_supernet
    from qfa_search.training.run import recipe_of

    torch.set_num_threads(1)
    files = resolve_supernet(out)
    config = recipe_of(files.weights)
    space, opened = _opened(data, out)
    train, held_out = opened.images("train"), opened.images("test")
    X = read_subnets(str(out / "front" / "front.json"), space, files.digest()).X
    cheapest, best = 0, max(range(len(test)), key=lambda i: test[i]["top1_test"])
    found = [logistic_regression(train, held_out)]
    found.append(separable(train, held_out, space.n_classes, config, minutes))
    for i in dict.fromkeys((cheapest, len(test) // 2, best)):
        subnet = space.layout.decode(X[i])
        found.append(alone_at_8_bits(space, subnet, train, held_out, config, minutes))
    return found


def _cpu_seconds() -> float:
    """CPU time of the commands that ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
