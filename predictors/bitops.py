"""Multiply-accumulates and bit operations of one subnet: arithmetic on its layers."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from search_spaces import LayerSpec, SearchSpace, Subnet, layer_specs

MAX_CHARGED_BITS = 8
BITOPS_PER_MAC = 64
"""Bit operations of one 8 x 8 bit multiply-accumulate, the unit of MFLOPs."""

Count = TypeVar("Count", int, NDArray[np.int64])


def member_specs(space: SearchSpace, subnet: Subnet) -> tuple[LayerSpec, ...]:
    """The layers of `subnet`.

    Raises:
        ValueError: `subnet` is not a member of `space`; the message names the gene.
    """
    space.layout.encode(subnet)
    return layer_specs(space, subnet)


def charged_bits(bits: Count) -> Count:
    """The width that a layer is charged for: floating point (32) counts as 8 bits."""
    if isinstance(bits, int):
        return min(bits, MAX_CHARGED_BITS)
    return np.minimum(bits, MAX_CHARGED_BITS)


def layer_bitops(layer: LayerSpec) -> int:
    """Bit operations of one layer, a count."""
    bits = layer.bits
    return layer.macs * charged_bits(bits.w_bits) * charged_bits(bits.a_bits)


def macs(space: SearchSpace, subnet: Subnet) -> int:
    """Multiply-accumulates of one forward pass of `subnet`.

    Counts the convolutions, the two 1x1 convolutions of squeeze-and-excite, and the
    classifier, at the widths and map sizes that the network really has.

    Args:
        space: Space that `subnet` was drawn from.
        subnet: Architecture; its bit widths have no effect.

    Returns:
        Multiply-accumulates for batch size 1, a count (not millions).

    Raises:
        ValueError: `subnet` is not a member of `space`.

    Example:
        >>> import search_spaces
        >>> space = search_spaces.load("fashion-mnist")
        >>> macs(space, space.smallest()) < macs(space, space.largest())
        True
    """
    return sum(layer.macs for layer in member_specs(space, subnet))


def bitops(space: SearchSpace, subnet: Subnet) -> int:
    """Bit operations of one forward pass of `subnet`.

    Sums macs * w_bits * a_bits over the convolutions and the classifier. Batch norm is
    folded and costs nothing; layers kept in floating point (squeeze-and-excite, a float stem)
    count as 8 x 8 bits.

    Args:
        space: Space that `subnet` was drawn from.
        subnet: Architecture and bit widths.

    Returns:
        Bit operations for batch size 1, a count (not millions).

    Raises:
        ValueError: `subnet` is not a member of `space`.

    References:
        Bai et al., BatchQuant: Quantized-for-all Architecture Search with Robust Quantizer,
        NeurIPS 2021, https://arxiv.org/abs/2105.08952
    """
    return sum(layer_bitops(layer) for layer in member_specs(space, subnet))


def mflops(space: SearchSpace, subnet: Subnet) -> float:
    """Millions of 8 x 8 bit multiply-accumulates: `bitops / 64 / 1e6`.

    Raises:
        ValueError: `subnet` is not a member of `space`.
    """
    return bitops(space, subnet) / BITOPS_PER_MAC / 1e6
