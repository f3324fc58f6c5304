"""Costs of many genomes at once: exact counts from tables that the layer walk fills."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from predictors import c_costs
from predictors.counts import (
    BITOPS_PER_MAC,
    charged_bits,
    in_elements,
    layer_bitops,
    layer_overhead_bytes,
    layer_size_bytes,
    out_elements,
    packed_bytes,
)
from predictors.published_costs import published_table
from predictors.tables import (
    BitTable,
    Counts,
    Decoded,
    bit_choices,
    bit_pairs,
    chunks,
    decode,
    tabulate,
    with_zero,
)
from search_spaces import SearchSpace
from search_spaces.subnet import FLOAT_BITS

if TYPE_CHECKING:
    import pandas as pd

Column = NDArray[Any]


def costs(space: SearchSpace, X: ArrayLike, columns: Iterable[str] | None = None) -> pd.DataFrame:
    """Costs of every genome as a table, one row per genome.

    Args:
        space: Space of the genomes.
        X: Genomes `(n, n_genes)`, canonical or not: silent genes have no effect.
        columns: Which of `COST_COLUMNS`, in which order; all by default.

    Returns:
        A data frame with the columns

        - `macs`: multiply-accumulates, a count;
        - `bitops`: sum of macs * w_bits * a_bits, floating point as 8 x 8, a count;
        - `gbitops`: the same in 1e9;
        - `mflops`: `bitops / 64 / 1e6`;
        - `published_mflops`: the published look-up table's number, NaN for spaces without one;
        - `params`: weights, biases, norm scales and shifts, a count;
        - `size_kb`: packed weights and float32 scales and biases, in 1000 bytes;
        - `activation_kb`: peak of live activations, in 1000 bytes;
        - `flash_kb`: weights, constants and code of the C file, in 1000 bytes, NaN where a layer
          in floating point has no integer form;
        - `ram_kb`: the arena of the C file, in 1000 bytes, NaN likewise.

    Raises:
        ValueError: `X` is no batch of genomes of `space`, or a column is unknown.

    Example:
        >>> import search_spaces
        >>> space = search_spaces.load("fashion-mnist")
        >>> table = costs(space, space.layout.lowest()[None], ["macs", "mflops"])
        >>> list(table.columns)
        ['macs', 'mflops']
    """
    import pandas as pd

    return pd.DataFrame(cost_arrays(space, X, columns))


def cost_arrays(
    space: SearchSpace, X: ArrayLike, columns: Iterable[str] | None = None
) -> dict[str, Column]:
    """The columns of `costs` as arrays `(n,)` by name, computing only those asked for."""
    names = tuple(COST_COLUMNS if columns is None else columns)
    unknown = [name for name in names if name not in COST_COLUMNS]
    if unknown:
        raise ValueError(f"unknown cost columns {unknown}; known are {', '.join(COST_COLUMNS)}")
    genomes = space.layout.check(X)
    # Columns that are multiples of one count share it.
    counts = {_COLUMNS[name][0] for name in names}
    parts = []
    for part in chunks(genomes):
        chunk = decode(space, part)
        parts.append({count: _COUNTS[count](space, chunk) for count in counts})
    whole = {count: np.concatenate([part[count] for part in parts]) for count in counts}
    return {name: _in_unit(whole[_COLUMNS[name][0]], _COLUMNS[name][1]) for name in names}


def _in_unit(count: Column, unit: float | None) -> Column:
    return count if unit is None else count / unit


def _macs(space: SearchSpace, genomes: Decoded) -> Column:
    return _sum(*_summed_table(space, "macs"), genomes)


def _params(space: SearchSpace, genomes: Decoded) -> Column:
    return _sum(*_summed_table(space, "n_params"), genomes)


def _bitops(space: SearchSpace, genomes: Decoded) -> Column:
    return _bitops_table(space).total(genomes)


def _published(space: SearchSpace, genomes: Decoded) -> Column:
    if space.table_widths is None:
        return np.full(len(genomes.shape), np.nan)
    return _published_table(space).total(genomes)


def _size(space: SearchSpace, genomes: Decoded) -> Column:
    return _size_table(space).total(genomes)


def _activation(space: SearchSpace, genomes: Decoded) -> Column:
    """Peak live bytes; the rules are those of `size.activation_bytes`."""
    table = _activation_tables(space)
    r, a_bits, end_bits = genomes.resolution, genomes.a_bits, genomes.end_a_bits
    # Bits of the tensor that each block reads first; after the last block final expansion reads.
    reads = np.where(table.adds, FLOAT_BITS, a_bits[..., 0])
    reads = np.concatenate([reads, end_bits[:, 2:3]], axis=1)
    position, stage = space.layout.block_position, space.layout.block_stage
    is_last = position + 1 == genomes.depth[:, stage]
    next_reads = np.where(is_last, reads[:, table.next_stage], reads[:, 1:])

    # Before and after each of three layers; 0 in blocks that do not exist.
    size = table.block_elements.take(genomes.present, axis=0)
    entry = packed_bytes(size[..., 0], reads[:, :-1])
    hidden = packed_bytes(size[..., 1], a_bits[..., 1])
    gate = packed_bytes(size[..., 2], np.where(table.gated, FLOAT_BITS, a_bits[..., 2]))
    result = packed_bytes(size[..., 2], a_bits[..., 2]) + packed_bytes(size[..., 3], next_reads)
    kept = np.where(table.adds, entry, 0)
    live = np.maximum(entry + hidden, kept + np.maximum(hidden + gate, result))
    peak = live.max(axis=1)

    into, out = table.end_in[r], table.end_out[r]
    image = packed_bytes(into[:, 0], FLOAT_BITS)  # the first block always adds its input
    first = packed_bytes(out[:, 0], end_bits[:, 1])
    second = packed_bytes(into[:, 1], end_bits[:, 1]) + packed_bytes(out[:, 1], reads[:, 0])
    pooled = np.where(out[:, 2] > into[:, 3], FLOAT_BITS, end_bits[:, 3])
    last = packed_bytes(into[:, 2], end_bits[:, 2]) + packed_bytes(out[:, 2], pooled)
    mix = packed_bytes(into[:, 3], end_bits[:, 3])
    mix = mix + packed_bytes(out[:, 3], space.classifier_bits)
    ends = [image + first, image + second, last, mix, table.fixed[r]]
    return np.asarray(np.maximum(peak, np.max(ends, axis=0)))


def _sum(blocks: Counts, others: Counts, genomes: Decoded) -> Counts:
    return np.asarray(blocks.take(genomes.present).sum(axis=1) + others.take(genomes.resolution))


@lru_cache(maxsize=64)
def _summed_table(space: SearchSpace, number: str) -> tuple[Counts, Counts]:
    blocks, others = tabulate(space, attrgetter(number)).summed()
    return with_zero(blocks.reshape(-1)), others


def _charged_products(space: SearchSpace) -> Counts:
    """Weight times activation bits that a layer is charged for, `(n_w_bits, n_a_bits)`."""
    charged = [charged_bits(np.array(choices)) for choices in bit_choices(space)]
    return np.multiply.outer(*charged)


@lru_cache(maxsize=16)
def _bitops_table(space: SearchSpace) -> BitTable:
    counts, weighted = tabulate(space, attrgetter("macs")), tabulate(space, layer_bitops)
    table = replace(counts, block_fixed=weighted.block_fixed, fixed=weighted.fixed)
    return BitTable.of(table, lambda macs: macs * _charged_products(space))


@lru_cache(maxsize=16)
def _published_table(space: SearchSpace) -> BitTable:
    return BitTable.of(published_table(space), lambda count: count * _charged_products(space))


@lru_cache(maxsize=16)
def _size_table(space: SearchSpace) -> BitTable:
    """Packed weights and the bytes beside them, which differ between quantized or not."""
    w_choices, a_choices = (np.array(choices) for choices in bit_choices(space))
    own = tabulate(space, layer_size_bytes)
    weights = replace(
        tabulate(space, attrgetter("n_weights")), block_fixed=own.block_fixed, fixed=own.fixed
    )
    in_bits = np.broadcast_to(w_choices[:, None], (len(w_choices), len(a_choices)))
    table = BitTable.of(weights, lambda n_weights: packed_bytes(n_weights, in_bits))
    kinds = {
        (pair.w_bits == FLOAT_BITS, pair.a_bits == FLOAT_BITS): pair for pair in bit_pairs(space)
    }
    for (w_float, a_float), bits in kinds.items():
        beside = tabulate(space, partial(layer_overhead_bytes, bits=bits))
        beside = replace(beside, block_fixed=0 * own.block_fixed, fixed=0 * own.fixed)
        applies = np.logical_and.outer(
            (w_choices == FLOAT_BITS) == w_float, (a_choices == FLOAT_BITS) == a_float
        )
        table += BitTable.of(beside, partial(np.multiply, applies))
    return table


@dataclass(frozen=True)
class _ActivationTables:
    """Values of every tensor of a space, and how blocks keep them.

    Attributes:
        block_elements: Tensors around the three layers, `(n_shapes * n_blocks + 1, 4)`, the
            last row of zeros.
        end_in: Input values of the layers in `END_LAYERS`, `(n_resolutions, 4)`.
        end_out: Output values of the same.
        fixed: Live bytes of stem or classifier, whichever are more, `(n_resolutions,)`.
        adds: Which blocks add their input, `(n_blocks,)`.
        gated: Which blocks have squeeze-and-excite, `(n_blocks,)`.
        next_stage: First block of the following stage, `(n_blocks,)`.
    """

    block_elements: Counts
    end_in: Counts
    end_out: Counts
    fixed: Counts
    adds: NDArray[np.bool_]
    gated: NDArray[np.bool_]
    next_stage: Counts


@lru_cache(maxsize=16)
def _activation_tables(space: SearchSpace) -> _ActivationTables:
    into, out = tabulate(space, in_elements), tabulate(space, out_elements)
    elements = np.concatenate([into.blocks, out.blocks[..., -1:]], axis=2)
    adds = tabulate(space, lambda layer: int(layer.adds_residual)).blocks[0, :, -1] > 0
    gated = tabulate(space, lambda _: 1).block_fixed[0] > 0
    stage = space.layout.block_stage
    # The stem reads the image at its own width and writes what the first block adds; the
    # classifier writes logits.
    widths = (space.stem_bits, space.classifier_bits)
    fixed = packed_bytes(into.fixed, np.array(widths)) + packed_bytes(out.fixed, FLOAT_BITS)
    return _ActivationTables(
        block_elements=with_zero(elements.reshape(-1, elements.shape[2])),
        end_in=into.ends,
        end_out=out.ends,
        fixed=fixed.max(axis=1),
        adds=adds,
        gated=gated,
        next_stage=np.searchsorted(stage, stage, side="right"),
    )


_COUNTS: dict[str, Callable[[SearchSpace, Decoded], Column]] = {
    "macs": _macs,
    "bitops": _bitops,
    "published": _published,
    "params": _params,
    "size": _size,
    "activation": _activation,
    "flash": c_costs.flash,
    "ram": c_costs.ram,
}
# Which count a column shows, and in which unit (None: as it is, an integer).
_COLUMNS: dict[str, tuple[str, float | None]] = {
    "macs": ("macs", None),
    "bitops": ("bitops", None),
    "gbitops": ("bitops", 1e9),
    "mflops": ("bitops", BITOPS_PER_MAC * 1e6),
    "published_mflops": ("published", BITOPS_PER_MAC * 1e6),
    "params": ("params", None),
    "size_kb": ("size", 1e3),
    "activation_kb": ("activation", 1e3),
    "flash_kb": ("flash", 1e3),
    "ram_kb": ("ram", 1e3),
}
COST_COLUMNS = tuple(_COLUMNS)
