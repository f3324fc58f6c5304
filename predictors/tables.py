"""Per-layer numbers of a whole space, tabulated once from the walk over its layers.

Every subnet with the same resolution has its blocks at the same map sizes and widths, so that
the numbers of a layer depend on resolution, kernel size and expand ratio only. A few hundred
homogeneous subnets (the same choice in every block) therefore hold every layer of a space.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search_spaces import LayerSpec, SearchSpace, layer_specs
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
        resolution: Choice index, `(n,)`.
        shape: Row of each block in `LayerTable.blocks`, `(n, n_blocks)`.
        active: Which blocks exist, `(n, n_blocks)`.
        depth: Depth of every stage, a value, `(n, n_stages)`.
        w_bits: Weight bits of the layers of every block, `(n, n_blocks, 3)`.
        a_bits: Activation bits of the same.
        end_w_bits: Weight bits of the layers in `END_LAYERS`, `(n, 4)`.
        end_a_bits: Activation bits of the same.
    """

    resolution: Counts
    shape: Counts
    active: NDArray[np.bool_]
    depth: Counts
    w_bits: Counts
    a_bits: Counts
    end_w_bits: Counts
    end_a_bits: Counts


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
def _walks(space: SearchSpace) -> tuple[dict[str, LayerSpec], ...]:
    return tuple(_homogeneous(space))


def tabulate(space: SearchSpace, measure: Callable[[LayerSpec], float]) -> LayerTable:
    """`measure` of every layer of `space`, as integers where it returns integers."""
    walks, names = _walks(space), block_names(space)
    squeezes = [[f"{b}.se.{side}" for side in ("reduce", "expand")] for b in names]
    by_resolution = walks[:: len(walks) // len(space.resolutions)]
    return LayerTable(
        blocks=np.array(
            [[[measure(w[f"{b}.{x}"]) for x in BLOCK_LAYERS] for b in names] for w in walks]
        ),
        block_fixed=np.array(
            [[sum(measure(w[x]) for x in se if x in w) for se in squeezes] for w in walks]
        ),
        ends=np.array([[measure(w[x]) for x in END_LAYERS] for w in by_resolution]),
        fixed=np.array([[measure(w[x]) for x in FIXED_LAYERS] for w in by_resolution]),
    )


def stage_depths(space: SearchSpace, X: Genomes) -> Counts:
    """Depth of every stage, a value, `(n, n_stages)`."""
    index = space.layout.group(X, "depth")
    return np.stack([np.array(g.depths)[index[:, s]] for s, g in enumerate(space.stages)], axis=1)


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
    depth = stage_depths(space, X)
    active = layout.block_position < depth[:, layout.block_stage]
    if space.bit_choices:
        choices = np.array(space.bit_choices)
        bits = choices[layout.group(X, "block_bits")]
        bits = bits.reshape(n, n_blocks, BITS_PER_BLOCK // 2, 2)
        # The first block has no expansion: its first two genes are silent.
        first = layout.group(X, "first_block_bits")[:, 2:]
        ends = choices[np.concatenate([first, layout.group(X, "head_bits")], axis=1)]
    else:
        bits = np.broadcast_to(np.int64(FLOAT_BITS), (n, n_blocks, len(BLOCK_LAYERS), 2))
        ends = np.broadcast_to(np.int64(FLOAT_BITS), (n, 2 * len(END_LAYERS)))
    return Decoded(
        resolution=resolution,
        shape=shape,
        active=active,
        depth=depth,
        w_bits=bits[..., 0],
        a_bits=bits[..., 1],
        end_w_bits=ends[:, 0::2],
        end_a_bits=ends[:, 1::2],
    )
