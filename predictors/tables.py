"""Per-layer numbers of a whole space, tabulated once from the walk over its layers.

Every subnet with the same resolution has its blocks at the same map sizes and widths, so that
the numbers of a layer depend on resolution, kernel size and expand ratio only. A few hundred
homogeneous subnets (the same choice in every block) therefore hold every layer of a space.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search_spaces import LayerBits, LayerSpec, SearchSpace, layer_specs
from search_spaces.genome import BITS_PER_BLOCK, Genomes
from search_spaces.subnet import FLOAT_BITS

Counts = NDArray[Any]

BLOCK_LAYERS = ("expand", "depthwise", "project")
END_LAYERS = (
    "first_block.depthwise",
    "first_block.project",
    "final_expand",
    "feature_mix",
)
FIXED_LAYERS = ("stem", "classifier")
CHUNK = 2048  # genomes at a time: the intermediate arrays stay in the cache


@dataclass(frozen=True)
class LayerTable:
    """One number per layer of a space, for every choice.

    `n_shapes` counts resolution x kernel x expand choices, in this order; stages with fewer
    choices than others repeat their last one.

    Attributes:
        blocks: Layers whose bits are genes, `(n_shapes, n_blocks, 3)`, in `BLOCK_LAYERS` order.
        block_fixed: The other layers of each block, summed, `(n_shapes, n_blocks)`.
        ends: The layers in `END_LAYERS`, `(n_resolutions, 4)`.
        fixed: Stem and classifier, `(n_resolutions, 2)`.
    """

    blocks: Counts
    block_fixed: Counts
    ends: Counts
    fixed: Counts

    def summed(self) -> tuple[Counts, Counts]:
        """Whole blocks `(n_shapes, n_blocks)` and all other layers `(n_resolutions,)`."""
        return (
            self.blocks.sum(axis=2) + self.block_fixed,
            self.ends.sum(axis=1) + self.fixed.sum(axis=1),
        )


@dataclass(frozen=True)
class Decoded:
    """Genomes in the form that tables are read with.

    Attributes:
        w_bit_choices: Bit widths for weights, (32,) in floating point.
        a_bit_choices: Bit widths for activations, likewise.
        resolution: Choice index, `(n,)`.
        shape: Row of each block in a table seen as `(n_shapes * n_blocks, ...)`, `(n, n_blocks)`.
        n_rows: Number of such rows.
        active: Which blocks exist, `(n, n_blocks)`.
        depth: Depth of every stage, a value, `(n, n_stages)`.
        bits: Choices of weight and activation bits of the layers of every block,
            `(n, n_blocks, 3, 2)`.
        end_bits: The same of the layers in `END_LAYERS`, `(n, 4, 2)`.
    """

    w_bit_choices: tuple[int, ...]
    a_bit_choices: tuple[int, ...]
    resolution: Counts
    shape: Counts
    n_rows: int
    active: NDArray[np.bool_]
    depth: Counts
    bits: Counts
    end_bits: Counts

    @cached_property
    def a_bits(self) -> Counts:
        """Activation bits of the layers of every block, `(n, n_blocks, 3)`."""
        return np.array(self.a_bit_choices)[self.bits[..., 1]]

    @property
    def end_a_bits(self) -> Counts:
        """Activation bits of the layers in `END_LAYERS`, `(n, 4)`."""
        return np.array(self.a_bit_choices)[self.end_bits[..., 1]]

    @cached_property
    def present(self) -> Counts:
        """`shape`, and one more row, `n_rows`, for blocks that do not exist."""
        return np.where(self.active, self.shape, self.n_rows)

    @cached_property
    def layers(self) -> Counts:
        """Entry of every layer of a block in a `BitTable`, `(n, 3 * n_blocks)`."""
        n_a, n_layers = len(self.a_bit_choices), len(BLOCK_LAYERS)
        n_pairs = len(self.w_bit_choices) * n_a
        entry = self.bits[..., 0] * n_a
        entry += self.bits[..., 1]
        entry += np.arange(n_layers) * n_pairs
        entry += (self.shape * (n_layers * n_pairs))[..., None]
        np.copyto(entry, self.n_rows * n_layers * n_pairs, where=~self.active[..., None])
        return entry.reshape(len(entry), n_layers * self.shape.shape[1])

    @cached_property
    def ends(self) -> Counts:
        """Entry of every layer in `END_LAYERS` in a `BitTable`, `(n, 4)`."""
        n_w, n_a = len(self.w_bit_choices), len(self.a_bit_choices)
        layer = self.resolution[:, None] * len(END_LAYERS) + np.arange(len(END_LAYERS))
        return (layer * n_w + self.end_bits[..., 0]) * n_a + self.end_bits[..., 1]


@dataclass(frozen=True)
class BitTable:
    """One number per layer of a space, for every choice, bits included; sums are look-ups.

    Attributes:
        layers: Layers whose bits are genes, flat: shape, block, layer, weight and activation
            bits; a 0 at the end stands for blocks that do not exist.
        shapes: The other layers of each block, summed, flat: shape, block; a 0 at the end.
        ends: The layers in `END_LAYERS`, flat: resolution, layer, weight and activation bits.
        fixed: Stem and classifier, summed, `(n_resolutions,)`.
    """

    layers: Counts
    shapes: Counts
    ends: Counts
    fixed: Counts

    @classmethod
    def of(cls, table: LayerTable, by_bits: Callable[[Counts], Counts]) -> BitTable:
        """The table of a number that depends on bits.

        Args:
            table: Its `blocks` and `ends` are what `by_bits` takes, the others are final.
            by_bits: From `(..., 1, 1)` to `(..., n_w_bits, n_a_bits)`.
        """
        return cls(
            layers=with_zero(by_bits(table.blocks[..., None, None]).reshape(-1)),
            shapes=with_zero(table.block_fixed.reshape(-1)),
            ends=by_bits(table.ends[..., None, None]).reshape(-1),
            fixed=table.fixed.sum(axis=1),
        )

    def __add__(self, other: BitTable) -> BitTable:
        """The table of the sums."""
        return BitTable(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def total(self, genomes: Decoded) -> Counts:
        """Sum over all layers of every genome, `(n,)`."""
        total = self.layers.take(genomes.layers).sum(axis=1)
        total += self.shapes.take(genomes.present).sum(axis=1)
        total += self.ends.take(genomes.ends).sum(axis=1)
        total += self.fixed.take(genomes.resolution)
        return np.asarray(total)


def chunks(rows: Counts) -> Iterator[Counts]:
    """`rows` in parts of at most `CHUNK`, views; one empty part of no rows."""
    return (rows[start : start + CHUNK] for start in range(0, max(1, len(rows)), CHUNK))


def with_zero(rows: Counts) -> Counts:
    """`rows`, `(n, ...)`, and one of zeros after them."""
    return np.concatenate([rows, np.zeros((1, *rows.shape[1:]), dtype=rows.dtype)])


def shape_sizes(space: SearchSpace) -> tuple[int, int, int]:
    """Number of resolutions, and the most kernel sizes and expand ratios of a stage."""
    return (
        len(space.resolutions),
        max(len(stage.kernel_sizes) for stage in space.stages),
        max(len(stage.expand_ratios) for stage in space.stages),
    )


def block_names(space: SearchSpace) -> list[str]:
    """Path of every searchable block, in the order of the genes."""
    return [
        f"stages.{s}.{j}" for s, stage in enumerate(space.stages) for j in range(stage.n_blocks)
    ]


def bit_choices(space: SearchSpace) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Bit widths for weights and for activations, (32,) in floating point."""
    return space.w_bit_choices or (FLOAT_BITS,), space.a_bit_choices or (FLOAT_BITS,)


def bit_pairs(space: SearchSpace) -> list[LayerBits]:
    """Bits of a layer in the order of a `BitTable`: by weights, then by activations."""
    w_bit_choices, a_bit_choices = bit_choices(space)
    return [LayerBits(w, a) for w in w_bit_choices for a in a_bit_choices]


def _homogeneous(space: SearchSpace) -> Iterator[dict[str, LayerSpec]]:
    """Layers by name of the deepest subnets with one kernel and expand choice, shape by shape."""
    layout = space.layout
    x = layout.highest()
    kernel, expand = layout.groups["kernel_size"], layout.groups["expand_ratio"]
    for r, k, e in np.ndindex(shape_sizes(space)):
        x[layout.groups["resolution"]] = r
        x[kernel] = np.minimum(k, layout.n_choices[kernel] - 1)
        x[expand] = np.minimum(e, layout.n_choices[expand] - 1)
        yield {layer.name: layer for layer in layer_specs(space, layout.decode(x))}


@lru_cache(maxsize=16)
def layer_variants(space: SearchSpace) -> tuple[dict[str, LayerSpec], ...]:
    """Layers by name of a few hundred subnets that hold every layer of a space, bits aside."""
    return tuple(_homogeneous(space))


@lru_cache(maxsize=16)
def _arranged(space: SearchSpace) -> tuple[list[LayerSpec], list[list[LayerSpec]], list[LayerSpec]]:
    """The variants in the order of a `LayerTable`: of blocks, their gates, all others."""
    walks, names = layer_variants(space), block_names(space)
    gates = [[f"{b}.se.{side}" for side in ("reduce", "expand")] for b in names]
    by_resolution = walks[:: len(walks) // len(space.resolutions)]
    return (
        [w[f"{b}.{x}"] for w in walks for b in names for x in BLOCK_LAYERS],
        [[w[x] for x in gate if x in w] for w in walks for gate in gates],
        [w[x] for w in by_resolution for x in (*END_LAYERS, *FIXED_LAYERS)],
    )


def tabulate(space: SearchSpace, measure: Callable[[LayerSpec], float]) -> LayerTable:
    """`measure` of every layer of `space`, as integers where it returns integers."""
    blocks, gates, others = _arranged(space)
    shape = len(layer_variants(space)), space.layout.n_blocks
    rows = np.array([measure(x) for x in others]).reshape(len(space.resolutions), -1)
    return LayerTable(
        blocks=np.array([measure(x) for x in blocks]).reshape(*shape, len(BLOCK_LAYERS)),
        block_fixed=np.array([sum(measure(x) for x in gate) for gate in gates]).reshape(shape),
        ends=rows[:, : len(END_LAYERS)],
        fixed=rows[:, len(END_LAYERS) :],
    )


def decode(space: SearchSpace, X: Genomes) -> Decoded:
    """`X`, a checked batch, taken apart; silent genes are read like any other."""
    layout = space.layout
    _, n_kernels, n_expands = shape_sizes(space)
    n, n_blocks = len(X), layout.n_blocks
    resolution = layout.group(X, "resolution")[:, 0]
    shape = layout.group(X, "kernel_size") * n_expands + layout.group(X, "expand_ratio")
    shape += resolution[:, None] * (n_kernels * n_expands)
    # Rows of a table seen as (n_shapes * n_blocks, ...).
    shape *= n_blocks
    shape += np.arange(n_blocks)
    depth = layout.depths(X)
    active = ~layout.skipped_blocks(depth)
    if not layout.is_float:
        # The first block has no expansion: its first two genes are silent.
        first = layout.group(X, "first_block_bits")[:, 2:]
        bits = layout.group(X, "block_bits").reshape(n, n_blocks, BITS_PER_BLOCK // 2, 2)
        ends = np.concatenate([first, layout.group(X, "head_bits")], axis=1)
    else:
        bits = np.zeros((n, n_blocks, len(BLOCK_LAYERS), 2), dtype=np.int64)
        ends = np.zeros((n, 2 * len(END_LAYERS)), dtype=np.int64)
    w_bit_choices, a_bit_choices = bit_choices(space)
    return Decoded(
        w_bit_choices=w_bit_choices,
        a_bit_choices=a_bit_choices,
        resolution=resolution,
        shape=shape,
        n_rows=math.prod(shape_sizes(space)) * n_blocks,
        active=active,
        depth=depth,
        bits=bits,
        end_bits=ends.reshape(n, len(END_LAYERS), 2),
    )
