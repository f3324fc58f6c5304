"""`qfa-search evaluate`."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from qfa_search.commands.options import (
    AsCsv,
    AsJson,
    Backend,
    Data,
    Device,
    Jobs,
    Scheduler,
    SupernetName,
)
from qfa_search.commands.progress import measuring_progress

if TYPE_CHECKING:
    from qfa_search.measuring.result import Evaluation
    from qfa_search.measuring.samples import Sample


class Split(StrEnum):
    """Splits that a subnet can be scored on."""

    val = "val"
    test = "test"


def evaluate(
    file: Annotated[str, typer.Argument(metavar="FRONT.json[:INDEX|knee|best]|SUBNET.json")],
    data: Data = None,
    supernet: SupernetName = None,
    split: Annotated[Split, typer.Option(help="test is for the final report only.")] = Split.val,
    jobs: Jobs = 1,
    device: Device = "auto",
    backend: Backend = "loky",
    scheduler: Scheduler = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no notes.")] = False,
) -> None:
    """Measure a subnet, or every member of a front, on held-out images.

    Each score is stored at once beside the supernet (of the bundled one beside the file), and
    what is stored is not measured again. Of a single subnet every class is shown.
    """
    from qfa_search.front.subnet_files import read_subnets
    from qfa_search.measuring.calls import measure
    from qfa_search.measuring.test_record import RECORD_NAME
    from qfa_search.supernet.files import resolve_supernet

    files = resolve_supernet(supernet)
    read = read_subnets(file, files.space(), files.digest())
    X = read.X
    measured: list[Sample] = []
    started = time.perf_counter()
    with measuring_progress("measuring", quiet) as (on_start, on_sample):

        def advance(sample: Sample) -> None:
            measured.append(sample)
            on_sample(sample)

        found = measure(
            supernet,
            X,
            data=data,
            split=split.value,
            folder=read.path.parent,
            evaluated=read.path,
            jobs=jobs,
            device=device,
            backend=backend,
            scheduler=scheduler,
            on_start=on_start,
            on_sample=advance,
        )
    seconds = time.perf_counter() - started
    if split is Split.test and not quiet:
        record = read.path.with_name(RECORD_NAME)
        typer.echo(f"test images were used: recorded in {record}", err=True)

    import pandas as pd

    from predictors import costs
    from predictors.files import read_metadata
    from qfa_search.images.sources import class_names

    frame = pd.DataFrame(
        {
            f"top1_{split.value}": [e.top1 for e in found],
            "cross_entropy": [e.cross_entropy for e in found],
            "top1_predicted": read.top1_predicted,
        }
    )
    frame = frame.join(costs(files.space(), X)).dropna(axis=1)
    known = class_names(read_metadata(files.weights, "supernet"))
    classes = known or tuple(f"class {i}" for i in range(files.space().n_classes))
    if as_json:
        records = [
            {**row, **_by_class(evaluation, classes)}
            for row, evaluation in zip(frame.to_dict("records"), found, strict=True)
        ]
        typer.echo(json.dumps(records, indent=1))
        return
    if as_csv:
        typer.echo(frame.to_csv(index=False, lineterminator="\n"), nl=False)
        return
    from qfa_search.commands.tables import HEADINGS, number, print_table

    shown = [c for c in frame.columns if c.startswith(("top1", "cross")) or c in HEADINGS]
    rows = [[str(i), *(number(v) for v in row)] for i, row in enumerate(frame[shown].to_numpy())]
    print_table(["index", *shown], rows)
    if len(found) == 1 and found[0].confusion is not None:
        print_table(["class", "top1", "images", "taken for"], _class_rows(classes, found[0]))
    n_images = found[0].n_images
    told = f"{n_images} {split.value} images each"
    if measured:
        told += f", {n_images * len(measured) / seconds:.0f} images/s"
    if len(measured) < len(X):
        told += f"; {len(X) - len(measured)} of {len(X)} were measured before"
    typer.echo(told)


def _by_class(evaluation: Evaluation, classes: Sequence[str]) -> dict[str, object]:
    """Scores of each class as plain data; NaN becomes None."""
    top1 = [None if math.isnan(value) else value for value in evaluation.class_top1]
    confusion = evaluation.confusion
    return {
        "n_images": evaluation.n_images,
        "class_top1": dict(zip(classes, top1, strict=True)),
        "confusion": None if confusion is None else confusion.tolist(),
    }


def _class_rows(classes: Sequence[str], evaluation: Evaluation) -> list[list[str]]:
    """A row for each class that has images: its top-1, and what it is most often taken for."""
    assert evaluation.confusion is not None
    rows = []
    for i, (name, counts) in enumerate(zip(classes, evaluation.confusion, strict=True)):
        if not counts.sum():
            continue
        others = counts.copy()
        others[i] = 0
        wrong = int(others.argmax())
        share = 100 * others[wrong] / counts.sum()
        taken = f"{classes[wrong]} {share:.1f} %" if others[wrong] else ""
        rows.append([name, f"{evaluation.class_top1[i]:.2f}", str(counts.sum()), taken])
    return rows
