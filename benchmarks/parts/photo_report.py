"""Fronts on own photos beside their aims and baselines, as Markdown."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.parts.photo_baselines import Baseline
from benchmarks.parts.report import markdown_table

# Seconds "wall" and "cpu" of a command's last try and how many "tries" it took, by command.
Times = dict[str, dict[str, float]]

# The best member of at most so many kB has at least so many percent of the test images.
AIMS = ((100.0, 95.0), (40.0, 92.0))
BELOW_TEACHER = 2.0  # points that the best member at any cost may lack
TRAINING_MINUTES, SEARCH_MINUTES = 20.0, 10.0
ESTIMATE_FACTOR = 1.5
INTERRUPTED = "interrupted"
MINUTES = {"s": 1 / 60, "min": 1.0, "h": 60.0, "days": 1440.0}


@dataclass(frozen=True, slots=True)
class SeedRun:
    """What the commands gave with one seed.

    Attributes:
        seed: Of the training.
        test: Members of the front with costs and their score on the test split.
        teacher: The teacher's top-1 on the test split; None without one.
        times: Of every command.
        log: What the training told.
    """

    seed: int
    test: Sequence[Mapping[str, float]]
    teacher: float | None
    times: Times
    log: str

    def minutes(self, *commands: str) -> float | None:
        """Wall time of some commands; None if one was interrupted."""
        times = [self.times[name] for name in commands]
        return None if any(t["tries"] > 1 for t in times) else sum(t["wall"] for t in times) / 60

    def best(self, most_kb: float = float("inf")) -> float:
        """The best top-1 of the members of at most so many kB; 0 without any."""
        return max((m["top1_test"] for m in self.test if m["size_kb"] <= most_kb), default=0.0)


def report(
    name: str, n_images: Mapping[str, int], runs: Sequence[SeedRun], alone: Sequence[Baseline]
) -> str:
    """The whole page.

    Args:
        name: Of the folder of photos.
        n_images: Of every split.
        runs: One for each seed.
        alone: Networks trained alone, beside the first of the runs.
    """
    n = n_images["test"]
    sections = [
        f"# Own photos: {name}",
        f"{n_images['train']:,} images train, {n_images['val']:,} validate, {n:,} test, for all "
        f"seeds the same. A test image is {100 / n:.2g} points.",
        "## Aims",
        aims(runs),
        "Members chosen on validation images, scored on test images. Minutes are wall time.",
        *(section for run in runs for section in _front(run, alone if run is runs[0] else ())),
        "Sizes and MFLOPs of float baselines count their weights as 8 bits.",
    ]
    return "\n\n".join(sections) + "\n"


def aims(runs: Sequence[SeedRun]) -> str:
    """What was aimed at and what was reached, a column for each seed."""
    rows: list[list[str]] = []
    for kb, aim in AIMS:
        found = [run.best(kb) for run in runs]
        cells = [_cell(f"{top1:.1f} %", top1 >= aim) for top1 in found]
        rows.append([f"best member of at most {kb:g} kB: {aim:g} % or more", *cells])
    rows.append(
        [
            f"best member at any cost: at most {BELOW_TEACHER:g} points below the teacher",
            *(_beside_teacher(run) for run in runs),
        ]
    )
    for words, names, most in (
        ("training", ("train",), TRAINING_MINUTES),
        ("sampling, fit and search", ("sample", "fit", "search"), SEARCH_MINUTES),
    ):
        cells = [_within(run.minutes(*names), most) for run in runs]
        rows.append([f"{words}: at most {most:g} min", *cells])
    words = f"training within a factor {ESTIMATE_FACTOR:g} of its estimate"
    rows.append([words, *(_against_estimate(run) for run in runs)])
    return markdown_table(("aim", *(f"seed {run.seed}" for run in runs)), rows)


def _beside_teacher(run: SeedRun) -> str:
    if run.teacher is None:
        return "no teacher"
    is_reached = run.teacher - run.best() <= BELOW_TEACHER
    return _cell(f"{run.best():.1f} % beside {run.teacher:.1f} %", is_reached)


def _within(minutes: float | None, most: float) -> str:
    return INTERRUPTED if minutes is None else _cell(f"{minutes:.1f} min", minutes <= most)


def _against_estimate(run: SeedRun) -> str:
    """The time of a training against what it told before it started."""
    told, spent = estimated_minutes(run.log), run.minutes("train")
    if told is None:
        return "no estimate"
    if spent is None:
        return INTERRUPTED
    low, high = told
    factor = max(low / spent, spent / high, 1.0)
    range_ = f"{low:.1f}" if low == high else f"{low:.1f} to {high:.1f}"
    return _cell(f"{spent:.1f} for {range_} min", factor <= ESTIMATE_FACTOR)


def _cell(text: str, is_reached: bool) -> str:
    return f"{text}, {'reached' if is_reached else '**missed**'}"


def _front(run: SeedRun, alone: Sequence[Baseline]) -> list[str]:
    """The members of a seed, the networks trained alone, and the times."""
    rows = [
        (f"front {i}", f"{m['top1_test']:.1f}", f"{m['size_kb']:.1f}", f"{m['mflops']:.3f}", "")
        for i, m in enumerate(run.test)
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
    if run.teacher is not None:
        rows.append(("teacher", f"{run.teacher:.1f}", "", "", ""))
    walls = ", ".join(
        f"{name} {t['wall'] / 60:.1f} min{' in the last try' if t['tries'] > 1 else ''}"
        for name, t in run.times.items()
    )
    cpu = sum(t["cpu"] for t in run.times.values()) / 60
    were_interrupted = any(t["tries"] > 1 for t in run.times.values())
    header = ("network", "test top-1", "size KB", "MFLOPs", "CPU min alone")
    return [
        f"## Seed {run.seed}",
        markdown_table(header, rows),
        f"Wall time: {walls}; {cpu:.1f} CPU minutes in all{' of these' * were_interrupted}.",
    ]


def estimated_minutes(log: str) -> tuple[float, float] | None:
    """The least and the most that a training told before it started; None if it did not."""
    told = re.search(r"^about (.+?) on \w+ process", log, re.MULTILINE)
    if told is None:
        return None
    low, _, high = told[1].partition(" to ")
    high = high or low
    if low[-1].isdigit():  # the unit stands once
        low = f"{low} {high.rpartition(' ')[2]}"
    return _minutes(low), _minutes(high)


def _minutes(told: str) -> float:
    """Of a duration as it is told: "89 s", "14 min", "1 h 20 min"."""
    return sum(float(n) * MINUTES[unit] for n, unit in re.findall(r"(\d+) (s|min|h|days)", told))
