"""`qfa-search evaluate`."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from qfa_search.measuring.evaluation import Evaluation


class Split(StrEnum):
    """Splits that a subnet can be scored on."""

    val = "val"
    test = "test"


def evaluate(
    file: Annotated[str, typer.Argument(metavar="FRONT.json[:INDEX|knee|best]|SUBNET.json")],
    data: Annotated[str, typer.Option(metavar="NAME|DIR", help="What it was trained on.")],
    supernet: Annotated[
        str | None, typer.Option(metavar="NAME|FILE", help="Supernet; the bundled one by default.")
    ] = None,
    split: Annotated[Split, typer.Option(help="test is for the final report only.")] = Split.val,
    jobs: Annotated[int, typer.Option(help="Processes.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure a subnet, or every member of a front, on held-out images."""
    from qfa_search.front.subnet_files import read_subnets
    from qfa_search.measuring.subnets import measure_all, measure_config
    from qfa_search.supernet.files import resolve_supernet

    files = resolve_supernet(supernet)
    read = read_subnets(file, files.space(), files.digest())
    X, predicted = read.X, read.top1_predicted
    config = measure_config(files.weights, data, split.value)
    started = time.perf_counter()
    found = measure_all(config, X, jobs=jobs)
    rate = sum(e.n_images for e in found) / (time.perf_counter() - started)
    if split is Split.test:
        from qfa_search.measuring.test_record import record_test_use

        record = record_test_use(read.path, files.digest(), len(X))
        typer.echo(f"test images were used: recorded in {record}", err=True)

    import pandas as pd

    from predictors import costs

    frame = pd.DataFrame(
        {
            f"top1_{split.value}": [e.top1 for e in found],
            "cross_entropy": [e.cross_entropy for e in found],
            "top1_predicted": predicted,
        }
    )
    frame = frame.join(costs(files.space(), X)).dropna(axis=1)
    names = _names(files.weights, files.space().n_classes)
    if as_json:
        members = [
            row
            | {"class_top1": dict(zip(names, map(_or_none, e.class_top1), strict=True))}
            | {"confusion": e.confusion}
            for row, e in zip(frame.to_dict("records"), found, strict=True)
        ]
        typer.echo(json.dumps(members))
        return
    from qfa_search.commands.tables import HEADINGS, number, print_table

    shown = [c for c in frame.columns if c.startswith(("top1", "cross")) or c in HEADINGS]
    rows = [[str(i), *(number(v) for v in row)] for i, row in enumerate(frame[shown].to_numpy())]
    print_table(["index", *shown], rows)
    if len(found) == 1 and found[0].confusion:
        print_table(["class", "top1", "images", "taken for"], _class_rows(names, found[0]))
    typer.echo(f"{found[0].n_images} {split.value} images each, {rate:.0f} images/s")


def _names(weights: Path, n_classes: int) -> tuple[str, ...]:
    from predictors.files import read_metadata
    from qfa_search.images.sources import class_names

    known = class_names(read_metadata(weights, "supernet"))
    return known or tuple(f"class {i}" for i in range(n_classes))


def _class_rows(names: Sequence[str], found: Evaluation) -> list[list[str]]:
    """A row for each class that has images: its top-1, and what it is most often taken for."""
    rows = []
    for i, (name, counts) in enumerate(zip(names, found.confusion, strict=True)):
        if not sum(counts):
            continue
        others = ((n, j) for j, n in enumerate(counts) if j != i)
        wrong = max(others, default=(0, 0))
        taken = f"{names[wrong[1]]} {100 * wrong[0] / sum(counts):.1f} %" if wrong[0] else ""
        rows.append([name, f"{found.class_top1[i]:.2f}", str(sum(counts)), taken])
    return rows


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value
