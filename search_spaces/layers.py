"""The walk over a subnet's layers, written once.

Costs, extraction, export and reports all read the list that `layer_specs` returns.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from search_spaces.space import SearchSpace
from search_spaces.subnet import FLOAT_BITS, BlockChoice, LayerBits, Subnet

LayerKind = Literal["conv", "depthwise", "squeeze_excite", "linear"]
LayerActivation = Literal["none", "relu", "hswish", "hsigmoid"]


def make_divisible(channels: float) -> int:
    """`channels` rounded to a multiple of 8, at least 8 and never below 90 % of it.

    References:
        Howard et al., Searching for MobileNetV3, ICCV 2019 (the rounding of their released
        networks).
    """
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerSpec:
    """One convolution or linear layer of a subnet, with everything that a cost needs.

    Attributes:
        name: Path of the layer, the same in supernet, extracted network and reports.
        block: Path of the block that the layer is part of; its own name where there is none.
        stage: Index of the stage that the layer is part of; None outside the stages.
        kind: "conv" and "depthwise" are convolutions, "squeeze_excite" one of the two 1x1
            convolutions on pooled features, "linear" the classifier.
        in_channels: Input channels.
        out_channels: Output channels.
        kernel_size: Side of the kernel; padding is half of it, rounded down.
        stride: Stride.
        groups: Convolution groups.
        in_size: Side of the input map in pixels.
        out_size: Side of the output map in pixels.
        bits: Bit widths; 32 for floating point.
        has_norm: Whether batch norm follows.
        has_bias: Whether the layer has a bias of its own.
        activation: What follows last.
        adds_residual: Whether the input of the block is added to the output.
        has_signed_input: Whether the integer grid of the input quantizer has negative codes.
        gated_size: Side of the map that squeeze-and-excite pools and gates; 0 for other layers.
    """

    name: str
    block: str
    stage: int | None = None
    kind: LayerKind
    in_channels: int
    out_channels: int
    kernel_size: int
    in_size: int
    out_size: int
    bits: LayerBits
    stride: int = 1
    groups: int = 1
    has_norm: bool = True
    has_bias: bool = False
    activation: LayerActivation = "none"
    adds_residual: bool = False
    has_signed_input: bool = False
    gated_size: int = 0

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one image."""
        return self.n_weights * self.out_size**2

    @property
    def n_weights(self) -> int:
        """Entries of the weight tensor."""
        return self.out_channels * (self.in_channels // self.groups) * self.kernel_size**2

    @property
    def n_params(self) -> int:
        """Weights, bias, and scale and shift of the norm."""
        return self.n_weights + self.out_channels * (self.has_bias + 2 * self.has_norm)


def layer_specs(space: SearchSpace, subnet: Subnet) -> tuple[LayerSpec, ...]:
    """Every layer of `subnet` in the order it runs.

    Args:
        space: Space that `subnet` was drawn from.
        subnet: Architecture and bit widths.

    Returns:
        Stem, first block, the blocks of every stage, final expansion, feature mix,
        classifier. Maps shrink by `ceil(size / stride)`.
    """
    return tuple(_walk(space, subnet))


def _walk(space: SearchSpace, subnet: Subnet) -> Iterator[LayerSpec]:
    width = space.stem_width
    size = _shrink(subnet.resolution, space.stem_stride)
    yield LayerSpec(
        name="stem",
        block="stem",
        kind="conv",
        in_channels=space.input_channels,
        out_channels=width,
        kernel_size=3,
        stride=space.stem_stride,
        in_size=subnet.resolution,
        out_size=size,
        bits=LayerBits(space.stem_bits, space.stem_bits),
        activation="hswish",
        has_signed_input=True,
    )
    depthwise_bits, project_bits = subnet.first_block
    yield _depthwise("first_block", None, width, 3, 1, size, depthwise_bits, "relu")
    yield _project("first_block", None, width, width, size, project_bits, adds_residual=True)
    for s, (stage, blocks) in enumerate(zip(space.stages, subnet.stages, strict=True)):
        for j, block in enumerate(blocks):
            stride = stage.stride if j == 0 else 1
            yield from _block(
                f"stages.{s}.{j}",
                s,
                block,
                width,
                stage.width,
                stride,
                size,
                stage.activation,
                stage.has_se,
            )
            width, size = stage.width, _shrink(size, stride)
    expand_bits, mix_bits = subnet.head
    expanded, mixed = space.final_expand_width, space.feature_mix_width
    yield _pointwise("final_expand", width, expanded, size, expand_bits, "hswish")
    yield LayerSpec(
        name="feature_mix",
        block="feature_mix",
        kind="conv",
        in_channels=expanded,
        out_channels=mixed,
        kernel_size=1,
        in_size=1,
        out_size=1,
        bits=mix_bits,
        has_norm=False,
        activation="hswish",
    )
    yield LayerSpec(
        name="classifier",
        block="classifier",
        kind="linear",
        in_channels=mixed,
        out_channels=space.n_classes,
        kernel_size=1,
        in_size=1,
        out_size=1,
        bits=LayerBits(space.classifier_bits, space.classifier_bits),
        has_norm=False,
        has_bias=True,
    )


def _block(
    name: str,
    stage: int,
    block: BlockChoice,
    in_width: int,
    out_width: int,
    stride: int,
    size: int,
    activation: LayerActivation,
    has_se: bool,
) -> Iterator[LayerSpec]:
    hidden = make_divisible(in_width * block.expand_ratio)
    out_size = _shrink(size, stride)
    expansion = f"{name}.expand"
    yield _pointwise(
        expansion, in_width, hidden, size, block.expand, activation, block=name, stage=stage
    )
    yield _depthwise(
        name, stage, hidden, block.kernel_size, stride, size, block.depthwise, activation
    )
    if has_se:
        yield from _squeeze_excite(name, stage, hidden, out_size)
    adds_residual = stride == 1 and in_width == out_width
    yield _project(
        name, stage, hidden, out_width, out_size, block.project, adds_residual=adds_residual
    )


def _pointwise(
    name: str,
    width: int,
    out: int,
    size: int,
    bits: LayerBits,
    activation: LayerActivation,
    *,
    block: str | None = None,
    stage: int | None = None,
) -> LayerSpec:
    return LayerSpec(
        name=name,
        block=block or name,
        stage=stage,
        kind="conv",
        in_channels=width,
        out_channels=out,
        kernel_size=1,
        in_size=size,
        out_size=size,
        bits=bits,
        activation=activation,
        has_signed_input=True,
    )


def _depthwise(
    block: str,
    stage: int | None,
    width: int,
    kernel_size: int,
    stride: int,
    size: int,
    bits: LayerBits,
    activation: LayerActivation,
) -> LayerSpec:
    return LayerSpec(
        name=f"{block}.depthwise",
        block=block,
        stage=stage,
        kind="depthwise",
        in_channels=width,
        out_channels=width,
        kernel_size=kernel_size,
        stride=stride,
        groups=width,
        in_size=size,
        out_size=_shrink(size, stride),
        bits=bits,
        activation=activation,
        has_signed_input=block == "first_block",
    )


def _squeeze_excite(block: str, stage: int, width: int, size: int) -> Iterator[LayerSpec]:
    squeezed = make_divisible(width // 4)
    sides: tuple[tuple[str, int, int, LayerActivation], ...] = (
        ("reduce", width, squeezed, "relu"),
        ("expand", squeezed, width, "hsigmoid"),
    )
    for side, in_channels, out_channels, activation in sides:
        yield LayerSpec(
            name=f"{block}.se.{side}",
            block=block,
            stage=stage,
            kind="squeeze_excite",
            in_channels=in_channels,
            out_channels=out_channels,
            kernel_size=1,
            in_size=1,
            out_size=1,
            bits=LayerBits(FLOAT_BITS, FLOAT_BITS),
            has_norm=False,
            has_bias=True,
            activation=activation,
            gated_size=size,
        )


def _project(
    block: str,
    stage: int | None,
    width: int,
    out: int,
    size: int,
    bits: LayerBits,
    *,
    adds_residual: bool,
) -> LayerSpec:
    return LayerSpec(
        name=f"{block}.project",
        block=block,
        stage=stage,
        kind="conv",
        in_channels=width,
        out_channels=out,
        kernel_size=1,
        in_size=size,
        out_size=size,
        bits=bits,
        adds_residual=adds_residual,
    )


def _shrink(size: int, stride: int) -> int:
    return -(-size // stride)
