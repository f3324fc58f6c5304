"""Latency or instructions of subnets from a table of measured layers."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from io import StringIO
from pathlib import Path
from types import MappingProxyType
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from predictors.files import write_text
from predictors.tables import (
    FIXED_LAYERS,
    BitTable,
    LayerTable,
    bit_pairs,
    chunks,
    decode,
    layer_variants,
    tabulate,
    with_zero,
)
from search_spaces import LayerBits, LayerSpec, SearchSpace
from search_spaces.arrays import Floats
from search_spaces.plain_data import read_text, shown

Unit = Literal["ms", "minstructions"]
"""Milliseconds, or millions of instructions."""
MAX_LISTED = 20  # missing layers in a message


def signature(layer: LayerSpec, bits: LayerBits | None = None) -> str:
    """What a latency depends on, as a string without commas.

    Kind, channels, kernel size, stride, side of the input map and bits, for instance
    `depthwise-96-96-k5-s2-14px-w4a4`; floating point has 32 bits. The map of squeeze-and-excite is
    the one that it pools and gates.

    Args:
        layer: The layer.
        bits: Bits in place of the layer's own.
    """
    bits = bits or layer.bits
    return (
        f"{layer.kind}-{layer.in_channels}-{layer.out_channels}-k{layer.kernel_size}"
        f"-s{layer.stride}-{layer.gated_size or layer.in_size}px-w{bits.w_bits}a{bits.a_bits}"
    )


@dataclass(frozen=True, eq=False)
class LatencyTable:
    """What layers take, by `signature`.

    Attributes:
        values: Of every layer, finite and at least 0.
        unit: Of the values.
    """

    values: Mapping[str, float]
    unit: Unit = "ms"

    def __post_init__(self) -> None:
        """Check the values and keep a copy that nobody changes."""
        if self.unit not in get_args(Unit):
            raise ValueError(f"unit must be one of {', '.join(get_args(Unit))}, got {self.unit!r}")
        if not self.values:
            raise ValueError("a latency table needs at least one layer")
        for name, value in self.values.items():
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(
                    f"latency of {name:.60} must be finite and at least 0, got {value}"
                )
        object.__setattr__(self, "values", MappingProxyType(dict(self.values)))

    @property
    def column(self) -> str:
        """The cost that the table gives: "latency_ms" or "minstructions"."""
        return "latency_ms" if self.unit == "ms" else self.unit

    @classmethod
    def load(cls, path: str | Path) -> LatencyTable:
        """The table in a CSV file with the columns signature and ms, or minstructions.

        Raises:
            ValueError: No such file, another header, a signature twice, or no number; the
                message names the line.
        """
        try:
            rows = list(csv.reader(StringIO(read_text(path, "latency table"))))
        except csv.Error as error:
            raise ValueError(f"{path} is no CSV file: {error}") from error
        unit = next((u for u in get_args(Unit) if rows and rows[0] == ["signature", u]), None)
        if unit is None:
            lines = " or ".join(f"signature,{unit}" for unit in get_args(Unit))
            raise ValueError(f"{path}: the first line must be {lines}")
        values: dict[str, float] = {}
        for line, row in enumerate(rows[1:], start=2):
            if not row:  # an empty line, as editors leave at the end
                continue
            try:
                name, value = row
                number = float(value)
            except ValueError:
                raise ValueError(
                    f"{path}, line {line}: expected a signature and a number, got {shown(row)}"
                ) from None
            if name in values:
                raise ValueError(f"{path}, line {line}: {name:.60} is there twice")
            values[name] = number
        try:
            return cls(values, unit)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error

    def save(self, path: str | Path) -> None:
        """Write the table as a CSV file that `load` reads."""
        lines = [f"{name},{value!r}" for name, value in self.values.items()]
        write_text(path, "\n".join([f"signature,{self.unit}", *lines]) + "\n")


def latency_ms(space: SearchSpace, X: ArrayLike, table: LatencyTable) -> Floats:
    """Milliseconds of every genome, the sum over its layers, `(n,)`.

    Args:
        space: Space of the genomes.
        X: Genomes `(n, n_genes)`; silent genes have no effect.
        table: Measured layers, in milliseconds.

    Raises:
        ValueError: `table` has another unit, or lacks a layer of a genome; the message counts and
            lists all layers of the space that it lacks.
    """
    if table.unit != "ms":
        raise ValueError(f"latency_ms needs a table in ms, and this one is in {table.unit}")
    return table_costs(space, X, table)


def table_costs(space: SearchSpace, X: ArrayLike, table: LatencyTable) -> Floats:
    """`table.column` of every genome, in the table's unit; else as `latency_ms`."""
    genomes = space.layout.check(X)
    parts = []
    for chunk in chunks(genomes):
        parts.append(_tabulate(space, table).total(decode(space, chunk)))
        if np.isnan(parts[-1]).any():
            _raise_missing(space, table)
    return np.concatenate(parts)


@lru_cache(maxsize=8)
def _tabulate(space: SearchSpace, table: LatencyTable) -> BitTable:
    """Values by layer and bits, NaN for unknown ones."""

    def of_pair(bits: LayerBits | None) -> LayerTable:
        return tabulate(space, lambda layer: table.values.get(signature(layer, bits), math.nan))

    pairs, own = [of_pair(bits) for bits in bit_pairs(space)], of_pair(None)
    return BitTable(
        layers=with_zero(np.stack([pair.blocks for pair in pairs], axis=-1).reshape(-1)),
        shapes=with_zero(own.block_fixed.reshape(-1).astype(np.float64)),
        ends=np.stack([pair.ends for pair in pairs], axis=-1).reshape(-1),
        fixed=own.fixed.sum(axis=1),
    )


def needed_layers(space: SearchSpace) -> list[LayerSpec]:
    """A layer for each signature that subnets of `space` can have, sorted by signature."""
    found: dict[str, LayerSpec] = {}
    for layers in layer_variants(space):
        for name, layer in layers.items():
            is_fixed = name in FIXED_LAYERS or layer.kind == "squeeze_excite"
            for bits in [layer.bits] if is_fixed else bit_pairs(space):
                found.setdefault(signature(layer, bits), replace(layer, bits=bits))
    return [found[name] for name in sorted(found)]


def needed_signatures(space: SearchSpace) -> list[str]:
    """The signatures of all layers that subnets of `space` can have, sorted."""
    return [signature(layer) for layer in needed_layers(space)]


def _raise_missing(space: SearchSpace, table: LatencyTable) -> None:
    missing = [name for name in needed_signatures(space) if name not in table.values]
    listed = ", ".join(missing[:MAX_LISTED])
    more = "" if len(missing) <= MAX_LISTED else f" and {len(missing) - MAX_LISTED} more"
    raise ValueError(
        f"the latency table lacks {len(missing)} of the layers of {space.name}: {listed}{more}; "
        "measure them and add a line for each; qfa-search latency --template lists all"
    )
