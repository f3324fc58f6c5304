"""Where every map of an integer network lies in one block of memory.

Regions start from both ends of the block and grow towards the middle. The chain of a network
alternates between the ends, so that the block is as large as what lives at the same time and no
larger.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from predictors.c_memory import LayerRegions, Region, memory_regions, peak_words
from search_spaces import LayerSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Arena:
    """The block of memory.

    Attributes:
        words: Its size.
        layers: Offsets of each layer's regions, in words.
    """

    words: int
    layers: tuple[LayerRegions, ...]


def plan_arena(layers: Sequence[LayerSpec]) -> Arena:
    """Places for a network of these layers in the smallest block."""
    regions, used = memory_regions(layers)
    n_words, offsets = place(regions)
    return Arena(
        words=n_words,
        layers=tuple(
            LayerRegions(
                codes=offsets[layer.codes],
                out=offsets[layer.out],
                scratch=offsets[layer.scratch],
            )
            for layer in used
        ),
    )


def place(regions: Sequence[Region]) -> tuple[int, list[int]]:
    """The least number of words that holds all regions, and the offset of each.

    Regions are placed in the order that they start, each at the inner end of what lives at
    either end of the block; ends are tried until all fit.
    """
    order = sorted(range(len(regions)), key=lambda i: (regions[i].first, -regions[i].last))
    n_words = peak_words(regions)
    placed: list[tuple[int, bool, int]] = []  # region, whether at the top, its inner end

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
