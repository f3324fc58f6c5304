"""Layers of published CIFAR-10 networks, so that our cost model counts them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Literal

from predictors.counts import BITOPS_PER_MAC, layer_bitops
from search_spaces import LayerBits, LayerSpec

Ends = Literal["8", "image", "same"]
SIDE, CLASSES = 32, 10
AS_GIVEN = LayerBits(8, 8)


def layers(network: str) -> tuple[LayerSpec, ...]:
    """Convolutions and linear layers of a network, all at 8 bits, first and last at the ends.

    Raises:
        ValueError: A network that is not written down here.
    """
    if network in ("resnet-20", "resnet-56"):
        return tuple(_resnet(int(network.partition("-")[2]) // 6, (16, 32, 64)))
    if network == "resnet-8":
        return tuple(_resnet(1, (16, 32, 64)))
    if network == "cnv":  # convolutions without padding, pooled by halves after every second
        widths, sides = (64, 64, 128, 128, 256, 256), (30, 28, 12, 10, 3, 1)
        return tuple(_plain(widths, sides, (256, 512, 512, CLASSES)))
    if network == "vgg-small":
        widths, sides = (128, 128, 256, 256, 512, 512), (32, 32, 16, 16, 8, 8)
        return tuple(_plain(widths, sides, (512 * 4 * 4, CLASSES)))
    raise ValueError(f"unknown network {network!r}")


def mflops(network: str, w_bits: int, a_bits: int, ends: Ends) -> float:
    """Millions of 8-bit-equivalent multiply-accumulates of a network at some bit widths.

    Args:
        network: One that `layers` knows.
        w_bits: Of weights.
        a_bits: Of activations.
        ends: "8" for first and last layer at 8 bits, "image" for an 8-bit image, "same" for no
            exception.
    """
    found = layers(network)
    inner = LayerBits(w_bits, a_bits)
    first = last = inner
    if ends == "8":
        first = last = LayerBits(8, 8)
    elif ends == "image":
        first = LayerBits(w_bits, 8)
    bits = [first, *[inner] * (len(found) - 2), last]
    counted = (replace(layer, bits=b) for layer, b in zip(found, bits, strict=True))
    return sum(map(layer_bitops, counted)) / BITOPS_PER_MAC / 1e6


def _resnet(n_blocks: int, widths: Sequence[int]) -> Iterator[LayerSpec]:
    """Stages of pairs of 3x3 convolutions, a 1x1 convolution beside the first of a wider one."""
    width, side = widths[0], SIDE
    yield _convolution("stem", 3, width, 3, side)
    for s, out in enumerate(widths):
        side = side // 2 if s else side
        for b in range(n_blocks):
            name = f"{s}.{b}"
            yield _convolution(f"{name}.first", width, out, 3, side)
            yield _convolution(f"{name}.second", out, out, 3, side)
            if width != out:
                yield _convolution(f"{name}.beside", width, out, 1, side)
            width = out
    yield _linear("classifier", width, CLASSES)


def _plain(
    widths: Sequence[int], sides: Sequence[int], features: Sequence[int]
) -> Iterator[LayerSpec]:
    before = 3
    for i, (width, side) in enumerate(zip(widths, sides, strict=True)):
        yield _convolution(f"convolution.{i}", before, width, 3, side)
        before = width
    for i, (inside, out) in enumerate(pairwise(features)):
        yield _linear(f"linear.{i}", inside, out)


def _convolution(name: str, inside: int, out: int, kernel_size: int, side: int) -> LayerSpec:
    return LayerSpec(
        name=name,
        block=name,
        kind="conv",
        in_channels=inside,
        out_channels=out,
        kernel_size=kernel_size,
        in_size=side,
        out_size=side,
        bits=AS_GIVEN,
    )


def _linear(name: str, inside: int, out: int) -> LayerSpec:
    return LayerSpec(
        name=name,
        block=name,
        kind="linear",
        in_channels=inside,
        out_channels=out,
        kernel_size=1,
        in_size=1,
        out_size=1,
        bits=AS_GIVEN,
    )
