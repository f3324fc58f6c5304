"""`qfa-search cost`: what given subnets cost."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from qfa_search.commands.options import AsCsv, AsJson


def cost(
    file: Annotated[
        str,
        typer.Argument(
            metavar="SUBNET.json|FRONT.json[:MEMBER]|GENES.npy",
            help="A subnet (once-for-all's JSON too), a front or its member (an index, knee or "
            "best), or an array (n, n_genes) of published gene values or of choice indices.",
        ),
    ],
    space: Annotated[
        str | None,
        typer.Option(metavar="NAME|FILE", help="Search space; a front brings its own."),
    ] = None,
    as_csv: AsCsv = False,
    as_json: AsJson = False,
) -> None:
    """Print what subnets cost: MACs, bit operations, bytes, activation memory."""
    import search_spaces
    from predictors import costs
    from qfa_search.commands.tables import number, print_table
    from qfa_search.front.subnet_files import MissingSpaceError, read_subnets
    from qfa_search.images.names import printable

    wanted = search_spaces.load(space) if space is not None else None
    try:
        read = read_subnets(file, wanted)
    except MissingSpaceError as error:
        raise typer.BadParameter(printable(str(error))) from None
    table = costs(read.space, read.X)
    if as_json:
        known = table.dropna(axis="columns", how="all").astype(object)
        rows = known.where(known.notna(), None).to_dict("records")
        typer.echo(json.dumps(rows, indent=1, allow_nan=False))
        return
    if as_csv:
        typer.echo(table.to_csv(index=False, lineterminator="\n"), nl=False)
        return
    table = table.dropna(axis="columns", how="all")
    print_table(
        ["row", *table.columns],
        [[str(i), *map(number, row)] for i, row in enumerate(table.itertuples(index=False))],
    )
