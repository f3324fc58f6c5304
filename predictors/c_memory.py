"""Bytes of the generated C file: what each layer keeps in flash, and needs in RAM.

Deployment lays out its memory by these functions, so that flash and RAM of a subnet are known
before there is a network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from predictors.counts import member_specs, packed_bytes
from search_spaces import LayerSpec, SearchSpace, Subnet
from search_spaces.subnet import FLOAT_BITS

WORD = 4
UNIT = 8  # channels that a kernel takes at once: pixels are filled up to a multiple
KERNEL_SIZES = (3, 5, 7)
LARGEST_SIDE = 255  # pixels, of images and maps
PACKED_BITS = 4  # codes of at most so many bits lie two in a byte
CODE_WIDTHS = (2, 3, 4, 8)  # that kernels read weights in
STEM_BITS = 16  # of weights that the network has in floating point
RECORD_BYTES = 56  # what describes a layer
CODE_BYTES = {(5, False): 5500, (7, False): 5528, (5, True): 6108, (7, True): 6136}
"""Bytes of machine code by the largest kernel and whether there are gates in the space: what
arm-none-eabi-gcc 12.2 makes of it for a Cortex-M4 at -O2. Other compilers make more or less; all
else is exact."""


@dataclass(frozen=True, slots=True)
class Region:
    """Words that are needed from one step to another, both included."""

    words: int
    first: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerRegions:
    """The regions of one layer, as indices.

    Attributes:
        codes: What it reads: the value of the layer before, or the codes made of that where it is
            a stream; for a gate, the stream that it gates; its own scratch for the first layer.
        out: The layer's own value.
        scratch: What it needs while it runs.
    """

    codes: int
    out: int
    scratch: int


def flash_bytes(space: SearchSpace, subnet: Subnet) -> int:
    """Bytes of flash of `subnet` as a C file: weights, constants and code.

    Raises:
        ValueError: `subnet` is not a member of `space`, or has layers in floating point that
            have no integer form.
    """
    layers = _integer_specs(space, subnet)
    return code_bytes(space) + sum(layer_flash_bytes(layer) for layer in layers)


def ram_bytes(space: SearchSpace, subnet: Subnet) -> int:
    """Bytes of RAM of `subnet` as a C file: its arena; the stack comes on top.

    Raises:
        ValueError: `subnet` is not a member of `space`, or has layers in floating point that
            have no integer form.
    """
    return WORD * peak_words(memory_regions(_integer_specs(space, subnet))[0])


def has_integer_form(layer: LayerSpec) -> bool:
    """Whether the layer can be written in C.

    All but the stem and gates need integers, depthwise kernels are those of `KERNEL_SIZES`, and
    sides are at most `LARGEST_SIDE`.
    """
    if max(layer.in_size, layer.out_size) > LARGEST_SIDE:
        return False
    if layer.kind == "squeeze_excite":
        return True
    if layer.kind == "depthwise" and layer.kernel_size not in KERNEL_SIZES:
        return False
    is_float = layer.bits.w_bits == FLOAT_BITS, layer.bits.a_bits == FLOAT_BITS
    return not any(is_float) or (layer.name == "stem" and all(is_float))


def code_bytes(space: SearchSpace) -> int:
    """Bytes of machine code, the same for all subnets of a space, see `CODE_BYTES`."""
    return CODE_BYTES[largest_kernel(space), has_gates(space)]


def largest_kernel(space: SearchSpace) -> int:
    """5 or 7: the largest kernel that the code has to serve."""
    sizes = {size for stage in space.stages for size in stage.kernel_sizes}
    return max({5} | (sizes & set(KERNEL_SIZES)))


def has_gates(space: SearchSpace) -> bool:
    """Whether any block has squeeze-and-excite."""
    return any(stage.has_se for stage in space.stages)


def layer_flash_bytes(layer: LayerSpec) -> int:
    """Bytes of one layer in flash: packed weights, multipliers and biases, its record."""
    return RECORD_BYTES + WORD * (weight_words(layer) + constant_words(layer))


def words(n_bytes: int) -> int:
    """32-bit words that `n_bytes` take."""
    return -(-n_bytes // WORD)


def stored_bits(w_bits: int) -> int:
    """Bits that a weight takes in the C file: the next width that the kernels read."""
    return next((width for width in CODE_WIDTHS if width >= w_bits), STEM_BITS)


def code_words(channels: int, size: int, bits: int) -> int:
    """Words of a map of codes."""
    return -(-channels // UNIT) * size**2 * (2 if bits > PACKED_BITS else 1)


def weight_words(layer: LayerSpec) -> int:
    """Words of a layer's packed weights."""
    if layer.kind == "squeeze_excite":
        return -(-layer.n_weights // 2)
    w_bits = stored_bits(layer.bits.w_bits)
    if layer.name == "stem":  # rows of an even length
        row = 2 * -(-layer.in_channels * layer.kernel_size // 2)
        return words(layer.out_channels * layer.kernel_size * row * w_bits // 8 + 1)
    if layer.kind == "depthwise":  # read in windows of two bytes
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
    units = -(-layer.in_channels // UNIT)  # weights of two channels
    if layer.has_norm or layer.has_bias:
        return UNIT * units
    return UNIT * units + code_words(layer.in_channels, 1, layer.bits.a_bits)  # a pixel of ones


def memory_regions(layers: Sequence[LayerSpec]) -> tuple[list[Region], list[LayerRegions]]:
    """What lives in RAM, and when.

    In step 2 i layer i rounds the stream that it reads, in step 2 i + 1 it runs. A depthwise
    layer of stride 1 writes over its input, and a residual is added where its stream lies.
    Streams are what a residual addition or a gate reads: int32, all else are codes.

    Args:
        layers: From the walk over a subnet, all with an integer form.
    """
    regions: list[Region] = []
    places: list[LayerRegions] = []
    values: list[int] = []  # region of every layer's value
    block, block_input, gated = "", -1, -1
    kept = _block_inputs(layers)

    def new(n_words: int, first: int) -> int:
        regions.append(Region(n_words, first, first))
        return len(regions) - 1

    def needed(region: int, step: int) -> int:
        regions[region] = replace(regions[region], last=max(step, regions[region].last))
        return region

    for i, layer in enumerate(layers):
        step = 2 * i + 1
        after = layers[i + 1] if i + 1 < len(layers) else None
        is_gate = layer.kind == "squeeze_excite"
        if not is_gate and layer.block != block:
            block, block_input = layer.block, i - 1
        scratch = new(scratch_words(layer), step)
        source = codes = read = values[-1] if values else scratch
        reads_stream = i > 0 and not is_gate and gives_stream(layers, i - 1, kept)
        if reads_stream:
            needed(source, step - 1)
            n_words = code_words(layer.in_channels, layer.in_size, layer.bits.a_bits)
            codes = read = needed(new(n_words, step - 1), step)
        elif values:
            needed(source, step)
        if is_gate and layer.name.endswith("reduce"):
            gated = i - 1
        elif is_gate:
            codes = needed(values[gated], step)
        is_stream = gives_stream(layers, i, kept)
        if is_stream:
            n_words = layer.out_channels * layer.out_size**2
        else:
            assert after is not None
            n_words = code_words(after.in_channels, after.in_size, after.bits.a_bits)
        in_place = layer.kind == "depthwise" and layer.stride == 1 and not is_stream
        if layer.adds_residual:
            out = values[block_input]
        elif in_place and regions[read].words == n_words:
            out = read
        else:
            out = new(n_words, step)
        values.append(needed(out, step))
        places.append(LayerRegions(codes=codes, out=out, scratch=scratch))
    return regions, places


def gives_stream(layers: Sequence[LayerSpec], i: int, kept: frozenset[int]) -> bool:
    """Whether the value of layer `i` is a stream, not the codes that the next one reads."""
    layer = layers[i]
    if layer.kind == "squeeze_excite":
        return layer.name.endswith("reduce")
    is_last = i + 1 == len(layers)
    return is_last or i in kept or layer.adds_residual or layers[i + 1].kind == "squeeze_excite"


def peak_words(regions: Sequence[Region]) -> int:
    """The most words that live in one step."""
    n_steps = max(region.last for region in regions) + 1
    live = [0] * n_steps
    for region in regions:
        for step in range(region.first, region.last + 1):
            live[step] += region.words
    return max(live)


def _block_inputs(layers: Sequence[LayerSpec]) -> frozenset[int]:
    """Layers whose value a residual addition reads."""
    block, block_input, kept = "", -1, set()
    for i, layer in enumerate(layers):
        if layer.kind != "squeeze_excite" and layer.block != block:
            block, block_input = layer.block, i - 1
        if layer.adds_residual:
            kept.add(block_input)
    return frozenset(kept)


def _integer_specs(space: SearchSpace, subnet: Subnet) -> tuple[LayerSpec, ...]:
    layers = member_specs(space, subnet)
    for layer in layers:
        if not has_integer_form(layer):
            raise ValueError(
                f"{layer.name} has no form in C: it is in floating point, its kernel is none of "
                f"{KERNEL_SIZES}, or its images or maps have more than {LARGEST_SIDE} pixels a side"
            )
    return layers
