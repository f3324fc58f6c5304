"""What one subnet counts: multiply-accumulates, bit operations, parameters and bytes."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from search_spaces import LayerBits, LayerSpec, SearchSpace, Subnet, layer_specs
from search_spaces.subnet import FLOAT_BITS

MAX_CHARGED_BITS = 8
BITOPS_PER_MAC = 64
"""Bit operations of one 8 x 8 bit multiply-accumulate, the unit of MFLOPs."""


Count = TypeVar("Count", int, NDArray[np.int64])
FLOAT_BYTES = 4
ACTIVATION_QUANTIZER_FLOATS = 2  # step and zero point, the learned offset added to the latter


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


def packed_bytes(n_values: Count, bits: Count | int) -> Count:
    """Bytes of `n_values` values of `bits` bits each, packed, rounded up to whole bytes."""
    return -(-n_values * bits // 8)


def layer_overhead_bytes(layer: LayerSpec, bits: LayerBits | None = None) -> int:
    """Bytes that one layer stores beside its packed weights, float32 values after folding.

    A bias per channel where the layer has a norm or a bias; for quantized weights a scale,
    which is a multiplier per channel where a norm was folded; and two values for the quantizer
    of its input. What is in floating point needs neither.

    Args:
        layer: The layer.
        bits: Bits in place of the layer's own.
    """
    bits = bits or layer.bits
    n_floats = layer.out_channels * (layer.has_norm or layer.has_bias)
    if bits.w_bits != FLOAT_BITS:
        n_floats += layer.out_channels if layer.has_norm else 1
    if bits.a_bits != FLOAT_BITS:
        n_floats += ACTIVATION_QUANTIZER_FLOATS
    return FLOAT_BYTES * n_floats


def layer_size_bytes(layer: LayerSpec) -> int:
    """Bytes of one layer as deployed."""
    return packed_bytes(layer.n_weights, layer.bits.w_bits) + layer_overhead_bytes(layer)


def in_elements(layer: LayerSpec) -> int:
    """Values of the input map of one layer."""
    return layer.in_channels * layer.in_size**2


def out_elements(layer: LayerSpec) -> int:
    """Values of the output map of one layer."""
    return layer.out_channels * layer.out_size**2


def params(space: SearchSpace, subnet: Subnet) -> int:
    """Parameters of `subnet`: weights, biases, norm scales and shifts.

    Kernel transforms and quantizer parameters are not counted.

    Raises:
        ValueError: `subnet` is not a member of `space`.
    """
    return sum(layer.n_params for layer in member_specs(space, subnet))


def size_bytes(space: SearchSpace, subnet: Subnet) -> int:
    """Bytes of `subnet` as deployed: packed weights, and float32 scales and biases.

    Norms are folded, see `layer_overhead_bytes`. Every layer is packed on its own and rounded
    up to whole bytes.

    Raises:
        ValueError: `subnet` is not a member of `space`.
    """
    return sum(layer_size_bytes(layer) for layer in member_specs(space, subnet))


def activation_bytes(space: SearchSpace, subnet: Subnet) -> int:
    """Peak of the bytes of live activations while `subnet` runs on one image.

    Live are the input and the output of the running layer, and the input of the block while a
    block with a residual runs. A tensor has the bit width of the quantizer that reads it; one
    that is (also) read unquantized, by a residual addition, by squeeze-and-excite or by the
    mean pooling, is float32, as an exactly equal network has to hold it. Activation functions,
    additions and gates work in place. The image has the width that the stem reads; the vectors
    inside squeeze-and-excite, one value per channel, are left out.

    Raises:
        ValueError: `subnet` is not a member of `space`.
    """
    layers = member_specs(space, subnet)
    residual = {layer.block for layer in layers if layer.adds_residual}
    gated = {layer.block for layer in layers if layer.kind == "squeeze_excite"}
    chain = [layer for layer in layers if layer.kind != "squeeze_excite"]
    peak = kept = 0
    for before, layer, after in zip([None, *chain], chain, [*chain[1:], None], strict=False):
        block = layer.block
        is_first = before is None or before.block != block
        adds = block in residual
        in_bits = FLOAT_BITS if adds and is_first else layer.bits.a_bits
        is_float = (
            after is None
            or (layer.kind == "depthwise" and block in gated)
            or in_elements(after) < out_elements(layer)  # mean pooling in between
            or (after.block != block and after.block in residual)
        )
        out_bits = FLOAT_BITS if after is None or is_float else after.bits.a_bits
        live = packed_bytes(in_elements(layer), in_bits)
        if is_first:
            kept = live if adds else 0
        else:
            live += kept
        peak = max(peak, live + packed_bytes(out_elements(layer), out_bits))
    return peak
