"""`qfa-search cost`: what given subnets cost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from search_spaces import SearchSpace
    from search_spaces.genome import Genomes


def cost(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="SUBNET.json|FRONT.json|GENES.npy",
            help="A subnet, a front, or an array (n, n_genes) of published gene values or of "
            "choice indices.",
        ),
    ],
    space: Annotated[
        str | None,
        typer.Option(metavar="NAME|FILE", help="Search space; a front brings its own."),
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
) -> None:
    """Print what subnets cost: MACs, bit operations, bytes, activation memory."""
    import search_spaces
    from predictors import costs
    from qfa_search.commands.tables import number, print_table

    wanted = search_spaces.load(space) if space is not None else None
    found, X = _read(file, wanted)
    table = costs(found, X)
    if as_csv:
        typer.echo(table.to_csv(index=False, lineterminator="\n"), nl=False)
        return
    table = table.dropna(axis="columns", how="all")
    print_table(
        ["row", *table.columns],
        [[str(i), *map(number, row)] for i, row in enumerate(table.itertuples(index=False))],
    )


def _read(file: Path, space: SearchSpace | None) -> tuple[SearchSpace, Genomes]:
    """Space and genomes of a file."""
    import numpy as np

    from qfa_search.front.front import ParetoFront
    from search_spaces import Subnet

    if file.suffix == ".npy":
        genes = _array(file)
        space = _given(space)
        if space.layout.contains(genes).all():
            return space, genes
        return space, space.layout.from_published(genes)
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"cannot read {file}: {error.strerror}") from error
    except ValueError as error:
        raise ValueError(f"{file} is neither JSON nor a .npy array: {error}") from error
    if not isinstance(data, dict):
        raise ValueError(f"{file} holds neither a subnet nor a front")
    if "members" in data:
        front = ParetoFront.load(file)
        if space is not None and space != front.space:
            raise ValueError(f"{file} is a front of {front.space.name}, not of {space.name}")
        return front.space, front.X
    space = _given(space)
    try:
        return space, np.stack([space.layout.encode(Subnet.from_dict(data))])
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error


def _array(file: Path) -> Genomes:
    import numpy as np

    try:
        genes = np.load(file, allow_pickle=False)
    except OSError as error:
        raise ValueError(f"cannot read {file}: {error.strerror or error}") from error
    except (ValueError, EOFError) as error:
        raise ValueError(f"{file} is not a .npy array: {error}") from error
    if not np.issubdtype(genes.dtype, np.integer):
        raise ValueError(f"{file} must hold integers, got {genes.dtype}")
    return np.atleast_2d(genes).astype(np.int64)


def _given(space: SearchSpace | None) -> SearchSpace:
    if space is None:
        raise typer.BadParameter("--space is needed for this file", param_hint="--space")
    return space
