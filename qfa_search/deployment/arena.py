"""Where every map of an integer network lies in one block of memory.

Regions start from both ends of the block and grow towards the middle. The chain of a network
alternates between the ends, so that the block is as large as what lives at the same time and no
larger.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from predictors.c_memory import code_words, scratch_words
from qfa_search.deployment.integers import IntegerLayer, IntegerPlan


@dataclass(frozen=True, slots=True)
class Region:
    """Words that are needed from one step to another, both included."""

    words: int
    first: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Offsets of one layer in the arena, in words.

    Attributes:
        source: The value of the layer before.
        codes: Codes made of that value where it is a stream; for a gate, the stream it gates.
        out: The layer's own value.
        scratch: What it needs while it runs.
    """

    source: int
    codes: int
    out: int
    scratch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Arena:
    """The places of all layers, and the size of the block in words."""

    words: int
    layers: tuple[Places, ...]


def plan_arena(plan: IntegerPlan) -> Arena:
    """Places for `plan` in the smallest block.

    A depthwise layer of stride 1 writes over its input, and a residual is added where its stream
    lies. In step 2 i layer i rounds the stream that it reads, in step 2 i + 1 it runs.
    """
    regions: list[Region] = []
    values: list[int] = []  # region of every layer's value
    used: list[tuple[int, int, int, int]] = []

    def new(words: int, first: int, last: int) -> int:
        regions.append(Region(words, first, last))
        return len(regions) - 1

    def needed(region: int, step: int) -> int:
        regions[region] = replace(regions[region], last=max(step, regions[region].last))
        return region

    for i, layer in enumerate(plan.layers):
        spec, step = layer.plan.spec, 2 * i + 1
        after = plan.layers[i + 1] if i + 1 < len(plan.layers) else None
        scratch = new(scratch_words(spec), step, step)
        source = codes = read = values[-1] if values else scratch
        if layer.reads_stream:
            needed(source, step - 1)
            words = code_words(spec.in_channels, spec.in_size, spec.bits.a_bits)
            codes = read = new(words, step - 1, step)
        elif values:
            needed(source, step)
        if layer.plan.gates is not None:
            codes = needed(values[layer.plan.gates], step)
        words = value_words(layer, after)
        if layer.plan.adds is not None:
            out = values[layer.plan.adds]
        elif (
            spec.kind == "depthwise"
            and spec.stride == 1
            and layer.target != "stream"
            and (regions[read].words == words)
        ):
            out = read
        else:
            out = new(words, step, step)
        values.append(needed(out, step))
        used.append((source, codes, out, scratch))
    n_words, offsets = place(regions)
    return Arena(
        words=n_words,
        layers=tuple(
            Places(source=offsets[a], codes=offsets[b], out=offsets[c], scratch=offsets[d])
            for a, b, c, d in used
        ),
    )


def value_words(layer: IntegerLayer, after: IntegerLayer | None) -> int:
    """Words of what `layer` gives to `after`."""
    spec = layer.plan.spec
    if layer.target == "gate":  # the map that it gates
        assert after is not None
        spec = after.plan.spec
        return code_words(spec.in_channels, spec.in_size, spec.bits.a_bits)
    if layer.target == "stream":
        return spec.out_channels * spec.out_size**2
    assert after is not None
    return code_words(spec.out_channels, after.plan.spec.in_size, after.plan.spec.bits.a_bits)


def place(regions: Sequence[Region]) -> tuple[int, list[int]]:
    """The least number of words that holds all regions, and the offset of each.

    Regions are placed in the order that they start, each at the inner end of what lives at
    either end of the block; ends are tried until all fit.
    """
    order = sorted(range(len(regions)), key=lambda i: (regions[i].first, -regions[i].last))
    steps = range(max(region.last for region in regions) + 1)
    n_words = max(
        sum(region.words for region in regions if region.first <= step <= region.last)
        for step in steps
    )
    # Offset from the bottom, or from the top: which end, and the far side of the region.
    placed: list[tuple[int, bool, int]] = []

    def fits(at: int) -> bool:
        if at == len(order):
            return True
        region = regions[order[at]]
        ends = [0, 0]
        for index, is_top, end in placed:
            if regions[index].last >= region.first:
                ends[is_top] = max(ends[is_top], end)
        if sum(ends) + region.words > n_words:
            return False
        for is_top in (False, True):
            placed.append((order[at], is_top, ends[is_top] + region.words))
            if fits(at + 1):
                return True
            placed.pop()
        return False

    while not fits(0):
        n_words += 1
    offsets = [0] * len(regions)
    for index, is_top, end in placed:
        offsets[index] = n_words - end if is_top else end - regions[index].words
    return n_words, offsets
