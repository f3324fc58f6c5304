"""`qfa-search spaces`: the built-in search spaces."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from qfa_search.commands.options import AsCsv, AsJson


def spaces(
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="[FILE.toml]...", help="Spaces of your own.")
    ] = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """List the built-in search spaces: genes, size and the range of costs."""
    import numpy as np

    import search_spaces
    from predictors import cost_arrays
    from qfa_search.commands.tables import number, print_table

    rows: list[dict[str, Any]] = []
    for name in [*search_spaces.BUILT_IN, *map(str, files or [])]:
        space = search_spaces.load(name)
        layout = space.layout
        ends = cost_arrays(space, np.stack([layout.lowest(), layout.highest()]))
        row = {
            "name": space.name,
            "n_genes": layout.n_genes,
            "log10_size": space.log10_size(),
            "resolutions": [space.resolutions[0], space.resolutions[-1]],
            "w_bits": list(space.w_bit_choices),
            "a_bits": list(space.a_bit_choices),
        }
        for column in ("mflops", "published_mflops", "size_kb", "activation_kb"):
            low, high = (float(value) for value in ends[column])
            row[column] = None if low != low else [low, high]
        rows.append(row)
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
        return
    if as_csv:
        import pandas as pd

        flat = [
            {
                f"{name}{end}": value
                for name, values in row.items()
                for end, value in _flat(name, values)
            }
            for row in rows
        ]
        typer.echo(pd.DataFrame(flat).to_csv(index=False, lineterminator="\n"), nl=False)
        return
    print_table(
        ["space", "genes", "log10\nsize", "resolution", "w / a bits", "MFLOPs", "size KB"],
        [
            [
                row["name"],
                str(row["n_genes"]),
                f"{row['log10_size']:.1f}",
                f"{row['resolutions'][0]}-{row['resolutions'][1]}",
                _bits_in_words(row["w_bits"], row["a_bits"]),
                "-".join(number(v) for v in row["mflops"]),
                "-".join(number(v) for v in row["size_kb"]),
            ]
            for row in rows
        ],
    )
    typer.echo(
        "log10 size: of the number of different subnets, counted on canonical genomes. Genes "
        "without effect\n(those of blocks beyond a stage's depth, expansion bits of the first "
        "block) count once."
    )


def _bits_in_words(w_bits: list[int], a_bits: list[int]) -> str:
    """Choices for both sides, or those for weights before those for activations."""
    sides = [", ".join(map(str, bits)) or "float" for bits in (w_bits, a_bits)]
    return sides[0] if w_bits == a_bits else " / ".join(sides)


def _flat(name: str, values: Any) -> list[tuple[str, Any]]:
    """A value as one column, a range, known or not, as two."""
    if name in ("w_bits", "a_bits"):
        return [("", " ".join(map(str, values)))]
    if values is None:
        values = [None]
    if isinstance(values, list):
        return [("_low", values[0]), ("_high", values[-1])]
    return [("", values)]
