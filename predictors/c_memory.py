"""Bytes of the generated C file: what each layer keeps in flash, and needs in RAM.

Deployment plans with the same numbers, so that flash and RAM of a subnet are known before there
is a network.
"""

from __future__ import annotations

from predictors.counts import packed_bytes
from search_spaces import LayerSpec
from search_spaces.subnet import FLOAT_BITS

WORD = 4
UNIT = 8  # channels that a kernel takes at once: pixels are filled up to a multiple
PACKED_BITS = 4  # codes of at most so many bits lie two in a byte
STEM_BITS, GATE_BITS = 16, 16  # weights that the network has in floating point


def words(n_bytes: int) -> int:
    """32-bit words that `n_bytes` take."""
    return -(-n_bytes // WORD)


def code_words(channels: int, size: int, bits: int) -> int:
    """Words of a map of codes."""
    per_pixel = 1 if bits <= PACKED_BITS else 2
    return -(-channels // UNIT) * per_pixel * size * size


def weight_words(layer: LayerSpec) -> int:
    """Words of a layer's packed weights."""
    if layer.kind == "squeeze_excite":
        return -(-layer.n_weights // 2)
    w_bits = STEM_BITS if layer.bits.w_bits == FLOAT_BITS else layer.bits.w_bits
    if layer.name == "stem":  # rows of an even length
        row = 2 * -(-layer.in_channels * layer.kernel_size // 2)
        return words(layer.out_channels * layer.kernel_size * row * w_bits // 8 + 1)
    if layer.kernel_size > 1:  # read in windows of two bytes
        return words(packed_bytes(layer.n_weights, w_bits) + 1)
    rows = 2 * -(-layer.out_channels // 2)
    columns = UNIT * -(-layer.in_channels // UNIT)
    return words(packed_bytes(rows * columns, w_bits))


def constant_words(layer: LayerSpec) -> int:
    """Words of a layer's multipliers and biases."""
    if layer.kind == "squeeze_excite":
        return layer.out_channels
    if not (layer.has_norm or layer.has_bias):
        return 2
    if layer.name == "stem":
        return 2 * (layer.out_channels + layer.in_channels)
    if layer.kind == "depthwise":
        return 2 * layer.out_channels
    return 4 * -(-layer.out_channels // 2)


def scratch_words(layer: LayerSpec) -> int:
    """Words that a layer needs while it runs, beside its input and output."""
    if layer.name == "stem":  # windows, weights, and three rows of the image, in 16 bits
        row = -(-layer.in_channels * layer.kernel_size // 2)
        image_row = (layer.in_channels * (layer.in_size + 2) + 2) // 2
        return 3 * (row * (layer.out_channels + 2) + image_row)
    if layer.kind == "depthwise":  # a row of 64-bit biases, and one channel in 16 bits
        side = layer.in_size + layer.kernel_size - 1
        return 2 * layer.out_size + words(2 * (side * side + 2))
    if layer.kind == "squeeze_excite":
        return layer.in_channels if layer.name.endswith("reduce") else layer.out_channels
    units = -(-layer.in_channels // UNIT)  # weights of two channels, and a pixel of ones
    ones = (
        0
        if layer.has_norm or layer.has_bias
        else code_words(layer.in_channels, 1, layer.bits.a_bits)
    )
    return UNIT * units + ones
