"""`qfa-search show`: one subnet, layer by layer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from qfa_search.commands.options import AsJson


def show(
    subnet: Annotated[
        str,
        typer.Argument(
            metavar="FRONT.json:INDEX|FRONT.json:knee|FRONT.json:best|SUBNET.json",
            help="A member of a front, or a subnet of --space.",
        ),
    ],
    space: Annotated[
        str | None,
        typer.Option(metavar="NAME|FILE", help="Search space; a front brings its own."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="SUBNET.json", help="Write the subnet as a file that all read."),
    ] = None,
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the layers as CSV.")] = False,
) -> None:
    """Show a subnet: every layer with its shape and bits, and what it costs."""
    import search_spaces
    from predictors import COST_COLUMNS, costs
    from predictors.files import check_place, write_text
    from qfa_search.commands.tables import number, print_table
    from qfa_search.front.subnet_files import MissingSpaceError, read_subnets
    from qfa_search.images.names import printable
    from search_spaces import layer_specs

    if out is not None:
        check_place(out)
    wanted = search_spaces.load(space) if space is not None else None
    try:
        read = read_subnets(subnet, wanted)
    except MissingSpaceError as error:
        raise typer.BadParameter(printable(str(error))) from None
    chosen = read.the_only_one()
    row = costs(read.space, read.X).dropna(axis="columns", how="all").to_dict("records")[0]
    if read.front is not None and read.indices is not None:
        member = read.front[int(read.indices[0])]
        row |= {n: value for n, value in member.costs.items() if n not in COST_COLUMNS}
        top1 = {"top1_measured": member.top1_measured, "top1_predicted": member.top1_predicted}
        row = {name: value for name, value in top1.items() if value == value} | row
    layers = [
        {
            "layer": layer.name,
            "kind": layer.kind,
            "in": layer.in_channels,
            "out": layer.out_channels,
            "kernel": layer.kernel_size,
            "stride": layer.stride,
            "size": layer.in_size,
            "w_bits": layer.bits.w_bits,
            "a_bits": layer.bits.a_bits,
            "macs": layer.macs,
        }
        for layer in layer_specs(read.space, chosen)
    ]
    if out is not None:
        write_text(out, json.dumps(chosen.to_dict(), indent=1) + "\n")
    if as_json:
        shown = {"space": read.space.name, "costs": row, "layers": layers}
        typer.echo(json.dumps({**shown, "subnet": chosen.to_dict()}, indent=1, allow_nan=False))
    elif as_csv:
        lines = [list(layers[0]), *(layer.values() for layer in layers)]
        typer.echo("\n".join(",".join(map(str, line)) for line in lines))
    else:
        typer.echo(f"a subnet of {printable(read.space.name)}, {chosen.resolution} px")
        print_table(list(layers[0]), [list(map(str, layer.values())) for layer in layers])
        typer.echo("\n".join(f"{name:16}{number(value)}" for name, value in row.items()))
    if out is not None:
        typer.echo(f"written: {out}", err=True)
