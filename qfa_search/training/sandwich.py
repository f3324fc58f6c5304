"""Which subnets a training step runs: the largest, the smallest and random ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from search_spaces import FLOAT, BlockChoice, LayerBits, SearchSpace, Subnet
from search_spaces.subnet import FLOAT_BITS


def sandwich(
    space: SearchSpace, rng: np.random.Generator, *, n_random: int, float_bits: bool
) -> list[Subnet]:
    """Subnets of one step, the largest first.

    Largest and smallest architecture run at the same bits throughout (`uniform_bits`), drawn anew
    each time, the lowest twice as often as any other: they learn slowest. Random subnets draw
    architecture, resolution and the bits of every layer.

    Args:
        space: Space to draw from.
        rng: Source of randomness.
        n_random: How many random subnets.
        float_bits: Whether 32 bits is one more choice for every layer and side.

    References:
        Yu et al., Universally Slimmable Networks, ICCV 2019 (the sandwich rule).
    """
    bits, drawn_from = space.uniform_bits, space
    if float_bits:
        bits, drawn_from = tuple(dict.fromkeys((*bits, FLOAT))), with_float_bits(space)
    weighted = bits[0], *bits
    largest, smallest = (
        with_uniform_bits(subnet, weighted[rng.integers(len(weighted))])
        for subnet in (space.largest(), space.smallest())
    )
    return [largest, smallest, *(drawn_from.sample(rng) for _ in range(n_random))]


def with_float_bits(space: SearchSpace) -> SearchSpace:
    """`space` with floating point as one more choice of every layer and side that has others."""
    if space.layout.is_float:
        return space
    w_bit_choices, a_bit_choices = (
        tuple(sorted({*choices, FLOAT_BITS}))
        for choices in (space.w_bit_choices, space.a_bit_choices)
    )
    return replace(space, w_bit_choices=w_bit_choices, a_bit_choices=a_bit_choices)


def with_uniform_bits(subnet: Subnet, bits: LayerBits) -> Subnet:
    """The architecture of `subnet` with every layer at `bits`."""
    return Subnet(
        subnet.resolution,
        (bits, bits),
        tuple(
            tuple(
                BlockChoice(block.kernel_size, block.expand_ratio, bits, bits, bits)
                for block in stage
            )
            for stage in subnet.stages
        ),
        (bits, bits),
    )
