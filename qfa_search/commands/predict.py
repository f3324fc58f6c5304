"""`qfa-search predict`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from qfa_search.commands.options import AsJson, Data, SupernetName
from qfa_search.images.names import printable


def predict(
    arguments: Annotated[
        list[str],
        typer.Argument(
            metavar="[SUBNET] PHOTO...",
            help="SUBNET as for export; left out with --model.",
            show_default=False,
        ),
    ],
    supernet: SupernetName = None,
    data: Data = None,
    model: Annotated[
        Path | None, typer.Option(metavar="FILE.onnx", help="An exported file, in place of both.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Classes to print for each photo.")] = 3,
    as_json: AsJson = False,
) -> None:
    """Name what is on photos, by a subnet of a supernet or by an exported ONNX file."""
    from qfa_search.deployment.classifier import Classifier
    from qfa_search.errors import DataError

    photos = arguments if model is not None else arguments[1:]
    if not photos:
        raise typer.BadParameter("give at least one photo after the subnet")
    if model is not None and (supernet is not None or data is not None):
        raise typer.BadParameter("--model needs neither --supernet nor --data")
    missing = [name for name in photos if not Path(name).is_file()]
    if missing:
        raise DataError(f"no photo at {missing[0]}")
    if model is not None:
        classifier = Classifier.from_onnx(model)
    else:
        from qfa_search.front.networks import network

        found = network(supernet, arguments[0], data=data)
        classifier = Classifier.from_network(found, supernet)
    listed, n_unreadable = [], 0
    for name in dict.fromkeys(photos):
        try:
            ranked = classifier.classify(name)[:top]
        except DataError as error:
            typer.echo(printable(f"error: {error}"), err=True)
            n_unreadable += 1
            continue
        listed.append(
            {"photo": name, "classes": [{"name": of, "probability": p} for of, p in ranked]}
        )
        if not as_json:
            shares = ", ".join(f"{of} {100 * share:.1f} %" for of, share in ranked)
            typer.echo(printable(f"{name}: {shares}"))
    if as_json:
        typer.echo(json.dumps(listed, indent=1))
    if n_unreadable:
        raise typer.Exit(1)
