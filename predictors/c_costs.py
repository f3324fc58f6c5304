"""Flash and RAM of the generated C file for many genomes at once; the rules are `c_memory`'s."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache, reduce

import numpy as np
from numpy.typing import NDArray

from predictors.c_memory import (
    LARGEST_SIDE,
    PACKED_BITS,
    UNIT,
    WORD,
    code_bytes,
    has_integer_form,
    layer_flash_bytes,
    scratch_words,
)
from predictors.tables import BitTable, Counts, Decoded, LayerTable, bit_pairs, tabulate, with_zero
from search_spaces import LayerBits, LayerSpec, SearchSpace
from search_spaces.arrays import Floats
from search_spaces.subnet import FLOAT_BITS


def flash(space: SearchSpace, genomes: Decoded) -> Floats:
    """Bytes of flash of every genome, `(n,)`; NaN where a layer has no integer form."""
    return np.asarray(_flash_table(space).total(genomes) + code_bytes(space), dtype=np.float64)


def ram(space: SearchSpace, genomes: Decoded) -> Floats:
    """Bytes of RAM of every genome, `(n,)`; NaN where a layer has no integer form."""
    table = _ram_table(space)
    r, a_bits, end_bits = genomes.resolution, genomes.a_bits, genomes.end_a_bits
    layout = space.layout
    position, stage = layout.block_position, layout.block_stage
    is_last = position + 1 == genomes.depth[:, stage]
    adds = table.adds

    # What the next layer that exists reads: its bits, and whether it is a stream that it reads.
    reads = np.concatenate([a_bits[..., 0], end_bits[:, 2:3]], axis=1)
    next_bits = np.where(is_last, reads[:, table.next_stage], reads[:, 1:])
    adds_or_end = np.append(adds, False)
    next_adds = np.where(is_last, adds_or_end[table.next_stage], adds_or_end[1:])
    # The first block always adds its input. Before the first block of a stage comes the last one
    # that exists of the stage before.
    last_adds = adds[table.first_block + genomes.depth - 1]  # (n, n_stages)
    before_stage = np.concatenate([np.ones((len(r), 1), dtype=bool), last_adds[:, :-1]], axis=1)
    before_adds = np.where(position == 0, before_stage[:, stage], np.append(True, adds)[:-1])
    from_stream = adds | before_adds

    column = {name: sizes.take(genomes.present) for name, sizes in table.block_sizes.items()}
    entry = column["entry"] * _per_pixel(a_bits[..., 0])
    hidden = column["hidden"] * _per_pixel(a_bits[..., 1])
    filtered = column["filtered"] * _per_pixel(a_bits[..., 2])
    kept = np.where(adds, column["entry_stream"], 0)
    result = np.where(next_adds, column["result_stream"], column["result"] * _per_pixel(next_bits))
    in_place = table.has_stride_1 & (hidden == filtered)
    gate = column["filtered_stream"]
    steps = (
        np.where(from_stream, column["entry_stream"] + entry, 0),
        kept + entry + hidden + column["expand_scratch"],
        kept
        + hidden
        + np.where(table.gated, gate, np.where(in_place, 0, filtered))
        + column["depthwise_scratch"],
        np.where(
            table.gated,
            kept + gate + column["squeezed"] + column["gate_scratch"] + filtered,
            0,
        ),
        kept + filtered + np.where(adds, 0, result) + column["project_scratch"],
    )
    peak = np.where(genomes.active, reduce(np.maximum, steps), 0).max(axis=1)

    end = {name: sizes.take(r) for name, sizes in table.ends.items()}
    stem = end["stem_stream"]
    first = end["first"] * _per_pixel(end_bits[:, 0])
    second = end["first"] * _per_pixel(end_bits[:, 1])
    expand = end["expand"] * _per_pixel(end_bits[:, 2])
    mix = end["mix"] * _per_pixel(end_bits[:, 3])
    mix_scratch = end["mix_scratch"] + mix  # a pixel of ones
    classes = end["classifier"] * _per_pixel(np.array(space.classifier_bits))
    others = (
        stem + end["stem_scratch"],
        stem + first + np.where(first == second, 0, second) + end["depthwise_scratch"],
        stem + second + end["project_scratch"],
        np.where(last_adds[:, -1], end["expand_stream"] + expand, 0),
        expand + mix + end["expand_scratch"],
        mix + classes + mix_scratch,
        classes + end["classes"] + end["classifier_scratch"],
    )
    words = np.maximum(peak, reduce(np.maximum, others)).astype(np.float64)
    return np.where(_has_float(space, genomes), np.nan, WORD * words)


def _per_pixel(bits: Counts) -> Counts:
    """Words of one unit of channels of one pixel."""
    return 1 + (bits > PACKED_BITS)


def _has_float(space: SearchSpace, genomes: Decoded) -> NDArray[np.bool_]:
    """Which genomes have a layer without an integer form."""
    return np.isnan(_flash_table(space).total(genomes))


@lru_cache(maxsize=16)
def _flash_table(space: SearchSpace) -> BitTable:
    # Of activation bits it only matters whether they are integers.
    kinds = {(bits.w_bits, bits.a_bits == FLOAT_BITS): bits for bits in bit_pairs(space)}
    known = {kind: _flash_by_layer(space, bits) for kind, bits in kinds.items()}
    pairs = [known[bits.w_bits, bits.a_bits == FLOAT_BITS] for bits in bit_pairs(space)]
    own = _flash_by_layer(space, None)
    return BitTable(
        layers=with_zero(np.stack([pair.blocks for pair in pairs], axis=-1).reshape(-1)),
        shapes=with_zero(own.block_fixed.reshape(-1)),
        ends=np.stack([pair.ends for pair in pairs], axis=-1).reshape(-1),
        fixed=own.fixed.sum(axis=1),
    )


def _flash_by_layer(space: SearchSpace, bits: LayerBits | None) -> LayerTable:
    """Bytes of every layer at `bits`, or at its own; NaN where it has no integer form."""
    known: dict[tuple[str, int, int, int, bool], float] = {}

    def measure(layer: LayerSpec) -> float:
        # Of the layers of a space these alone decide; maps that have a form take no flash.
        weights = layer.name, layer.in_channels, layer.out_channels, layer.kernel_size
        key = (*weights, max(layer.in_size, layer.out_size) > LARGEST_SIDE)
        if key not in known:
            layer = layer if bits is None else replace(layer, bits=bits)
            known[key] = float(layer_flash_bytes(layer)) if has_integer_form(layer) else np.nan
        return known[key]

    return tabulate(space, measure)


@dataclass(frozen=True)
class _RamTable:
    """Words of every value of a space, codes of up to 4 bits.

    Attributes:
        block_sizes: By name, of every block, `(n_shapes * n_blocks + 1,)`, the last one 0.
        ends: By name, of all other layers at every resolution, `(n_resolutions,)`.
        adds: Which blocks add their input, `(n_blocks,)`.
        gated: Which blocks have squeeze-and-excite, `(n_blocks,)`.
        has_stride_1: Of which blocks the map keeps its size, `(n_blocks,)`.
        next_stage: First block of the following stage, `(n_blocks,)`.
        first_block: First block of each stage, `(n_stages,)`.
    """

    block_sizes: dict[str, Counts]
    ends: dict[str, Counts]
    adds: NDArray[np.bool_]
    gated: NDArray[np.bool_]
    has_stride_1: NDArray[np.bool_]
    next_stage: Counts
    first_block: Counts


@lru_cache(maxsize=16)
def _ram_table(space: SearchSpace) -> _RamTable:
    def in_units(layer: LayerSpec) -> int:
        return -(-layer.in_channels // UNIT) * layer.in_size**2

    def in_stream(layer: LayerSpec) -> int:
        return layer.in_channels * layer.in_size**2

    def out_units(layer: LayerSpec) -> int:
        return -(-layer.out_channels // UNIT) * layer.out_size**2

    def out_stream(layer: LayerSpec) -> int:
        return layer.out_channels * layer.out_size**2

    def scratch(layer: LayerSpec) -> int:
        """Without the pixel of ones, which depends on bits."""
        if layer.name == "feature_mix":
            return UNIT * -(-layer.in_channels // UNIT)
        return scratch_words(layer)

    units, streams = tabulate(space, in_units), tabulate(space, in_stream)
    outs, out_streams = tabulate(space, out_units), tabulate(space, out_stream)
    extra = tabulate(space, scratch)
    # Of the two layers of a gate, the words of the squeezed vector; scratch is a word a channel.
    squeezed = tabulate(
        space, lambda layer: layer.out_channels if layer.name.endswith("se.reduce") else 0
    ).block_fixed
    sizes = {
        "entry": units.blocks[..., 0],
        "entry_stream": streams.blocks[..., 0],
        "hidden": units.blocks[..., 1],
        "filtered": units.blocks[..., 2],
        "filtered_stream": streams.blocks[..., 2],
        "squeezed": squeezed,
        "result": outs.blocks[..., 2],
        "result_stream": out_streams.blocks[..., 2],
        "expand_scratch": extra.blocks[..., 0],
        "depthwise_scratch": extra.blocks[..., 1],
        "gate_scratch": extra.block_fixed // 2,
        "project_scratch": extra.blocks[..., 2],
    }
    # Columns of ends: first_block.depthwise, its projection, final_expand, feature_mix; of fixed:
    # stem, classifier.
    ends = {
        "stem_stream": out_streams.fixed[:, 0],
        "stem_scratch": extra.fixed[:, 0],
        "first": units.ends[:, 0],
        "depthwise_scratch": extra.ends[:, 0],
        "project_scratch": extra.ends[:, 1],
        "expand": units.ends[:, 2],
        "expand_stream": streams.ends[:, 2],
        "expand_scratch": extra.ends[:, 2],
        "mix": units.ends[:, 3],
        "mix_scratch": extra.ends[:, 3],
        "classifier": units.fixed[:, 1],
        "classes": out_streams.fixed[:, 1],
        "classifier_scratch": extra.fixed[:, 1],
    }
    stage = space.layout.block_stage
    adds = tabulate(space, lambda layer: int(layer.adds_residual)).blocks[0, :, -1] > 0
    return _RamTable(
        block_sizes={n: with_zero(v.reshape(-1)) for n, v in sizes.items()},
        ends=ends,
        adds=adds,
        gated=tabulate(space, lambda _: 1).block_fixed[0] > 0,
        has_stride_1=tabulate(space, lambda layer: int(layer.stride == 1)).blocks[0, :, 1] > 0,
        next_stage=np.searchsorted(stage, stage, side="right"),
        first_block=np.searchsorted(stage, np.arange(len(space.stages))),
    )
