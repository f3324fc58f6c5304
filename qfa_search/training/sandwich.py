"""Which subnets a training step runs: the largest, the smallest and random ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from search_spaces import BlockChoice, LayerBits, SearchSpace, Subnet
from search_spaces.subnet import FLOAT_BITS


def sandwich(
    space: SearchSpace, rng: np.random.Generator, *, n_random: int, float_bits: bool
) -> list[Subnet]:
    """Subnets of one step, the largest first.

    Largest and smallest architecture run at one bit width throughout, drawn anew each time, the
    lowest twice as often as any other: it learns slowest. Random subnets draw architecture,
    resolution and the bits of every layer.

    Args:
        space: Space to draw from.
        rng: Source of randomness.
        n_random: How many random subnets.
        float_bits: Whether 32 bits is one more choice for every layer and side.

    References:
        Yu et al., Universally Slimmable Networks, ICCV 2019 (the sandwich rule).
    """
    if float_bits and space.bit_choices:
        drawn_from = replace(space, bit_choices=(*space.bit_choices, FLOAT_BITS))
    else:
        drawn_from = space
    bits = drawn_from.bit_choices or (FLOAT_BITS,)
    largest, smallest = (
        with_uniform_bits(subnet, int(rng.choice((min(bits), *bits))))
        for subnet in (space.largest(), space.smallest())
    )
    return [largest, smallest, *(drawn_from.sample(rng) for _ in range(n_random))]


def with_uniform_bits(subnet: Subnet, bits: int) -> Subnet:
    """The architecture of `subnet` with weights and activations of every layer at `bits`."""
    pair = LayerBits(bits, bits)
    return Subnet(
        subnet.resolution,
        (pair, pair),
        tuple(
            tuple(
                BlockChoice(block.kernel_size, block.expand_ratio, pair, pair, pair)
                for block in stage
            )
            for stage in subnet.stages
        ),
        (pair, pair),
    )
