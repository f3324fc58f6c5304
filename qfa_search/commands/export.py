"""`qfa-search export`."""

from __future__ import annotations

import shlex
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from qfa_search.commands.options import Data, SupernetName


class Format(StrEnum):
    """Kinds of files that a subnet can be written as."""

    onnx = "onnx"
    qonnx = "qonnx"
    torch = "torch"
    c = "c"
    npz = "npz"


def export(
    subnet: Annotated[
        str,
        typer.Argument(
            metavar="SUBNET", help="FRONT.json:INDEX, FRONT.json:knee, :best, or SUBNET.json."
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where to; FILE.json goes beside it.")],
    supernet: SupernetName = None,
    data: Data = None,
    format: Annotated[
        Format | None, typer.Option(help="Kind of file; by its ending if not given.")
    ] = None,
    opset: Annotated[
        int | None, typer.Option(help="Of ONNX: 25, or 21 for older runtimes.")
    ] = None,
    verify: Annotated[
        int | None,
        typer.Option("--verify", metavar="N", help="Validation images to verify it on."),
    ] = None,
    no_verify: Annotated[
        bool, typer.Option("--no-verify", help="Write the file without running it.")
    ] = False,
) -> None:
    """Write a subnet as a file for other runtimes, proven equal on validation images.

    Weights are packed at their bits. The file is run layer by layer against the network before it
    takes its name; one that computes something else is kept in FILE.unverified, with exit code 1.
    """
    if no_verify and verify is not None:
        raise typer.BadParameter("give --verify N or --no-verify, not both")
    if verify is not None and verify < 1:
        raise typer.BadParameter("--verify needs at least 1 image")

    from predictors.files import check_place, read_metadata
    from qfa_search.deployment.export import export as write
    from qfa_search.deployment.export import places, remove_unfinished
    from qfa_search.deployment.formats import DEFAULT_OPSET, ExportOptions, export_format
    from qfa_search.front.subnet_files import read_subnet
    from qfa_search.images.sources import class_names
    from qfa_search.supernet.files import resolve_supernet

    chosen = export_format(None if format is None else format.value, out)
    if opset is not None and chosen.name != "onnx":
        raise typer.BadParameter(f"--opset is for --format onnx, not for {chosen.name}")
    opset = DEFAULT_OPSET if opset is None else opset
    chosen.check(out, ExportOptions(opset=opset), to_verify=not no_verify)
    remove_unfinished(out, chosen)
    for path in places(out, chosen):
        check_place(path)
    files = resolve_supernet(supernet)
    member = read_subnet(subnet, files.space(), files.digest())
    chosen.check_subnet(files.space(), member)

    from predictors import size_bytes
    from qfa_search.deployment.preprocessing import Preprocessing
    from qfa_search.measuring.scoring import EVALUATION_BATCH
    from qfa_search.measuring.subnets import measure_config, measured_images, measured_network

    started = time.perf_counter()
    metadata = read_metadata(files.weights, "supernet")
    config = measure_config(files.weights, files.data(data))
    network = measured_network(config, member).cpu()
    images = None
    if not no_verify:
        drawn = measured_images(config).drawn(chosen.n_images if verify is None else verify)
        images = drawn.batches(member.resolution, EVALUATION_BATCH)
    done = write(
        network,
        out,
        format=chosen.name,
        opset=opset,
        images=images,
        class_names=class_names(metadata),
        preprocessing=Preprocessing.of_supernet(network.space, metadata),
        origin={"supernet": files.digest(), "supernet_name": files.name},
    )
    size = f"{done.n_bytes} bytes"
    if chosen.name == "onnx":
        size += f", {done.n_bytes / size_bytes(network.space, member):.2f} x size_kb"
    names = ", ".join(str(path) for path in done.files)
    typer.echo(f"{names}: {size}, in {time.perf_counter() - started:.1f} s")
    typer.echo("not verified" if done.verification is None else done.verification.summary())
    if chosen.name == "onnx":
        typer.echo(f"try it: qfa-search predict --model {shlex.quote(str(out))} PHOTO...")
