"""A subnet as an immutable value: architecture and bit widths, nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from search_spaces.plain_data import whole_number

FLOAT_BITS = 32


@dataclass(frozen=True, slots=True)
class LayerBits:
    """Bit widths of one layer; 32 stands for floating point."""

    w_bits: int
    a_bits: int

    def __str__(self) -> str:
        """Weights before activations, like 2/8."""
        return f"{self.w_bits}/{self.a_bits}"


FLOAT = LayerBits(FLOAT_BITS, FLOAT_BITS)


@dataclass(frozen=True, slots=True)
class BlockChoice:
    """One inverted-bottleneck block: shape and the bits of its three convolutions."""

    kernel_size: int
    expand_ratio: int
    expand: LayerBits
    depthwise: LayerBits
    project: LayerBits


@dataclass(frozen=True, slots=True)
class Subnet:
    """One point of a search space.

    Attributes:
        resolution: Side of the square input image in pixels.
        first_block: Bits of the depthwise and the projection layer of the block before
            stage 1, which has no expansion and no other choice.
        stages: The blocks that exist, stage by stage; a stage's length is its depth.
        head: Bits of the final expansion and of the feature mix layer.
    """

    resolution: int
    first_block: tuple[LayerBits, LayerBits]
    stages: tuple[tuple[BlockChoice, ...], ...]
    head: tuple[LayerBits, LayerBits]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; `from_dict` reads it back to an equal value."""
        return {
            "resolution": self.resolution,
            "first_block_bits": [_pair(bits) for bits in self.first_block],
            "stages": [
                [
                    {
                        "kernel_size": block.kernel_size,
                        "expand_ratio": block.expand_ratio,
                        "bits": [_pair(b) for b in (block.expand, block.depthwise, block.project)],
                    }
                    for block in stage
                ]
                for stage in self.stages
            ],
            "head_bits": [_pair(bits) for bits in self.head],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Subnet:
        """The subnet that `to_dict` described.

        Raises:
            ValueError: A key is missing or a value has the wrong form.
        """
        try:
            depthwise, project = (_bits(pair) for pair in data["first_block_bits"])
            final_expand, feature_mix = (_bits(pair) for pair in data["head_bits"])
            stages = tuple(tuple(_block(block) for block in stage) for stage in data["stages"])
            resolution = whole_number("resolution", data["resolution"])
        except KeyError as error:
            raise ValueError(f"not a subnet: {error} is missing; {_EXPECTED}") from error
        except (TypeError, ValueError) as error:
            raise ValueError(f"not a subnet: {error}; {_EXPECTED}") from error
        return cls(resolution, (depthwise, project), stages, (final_expand, feature_mix))


_EXPECTED = (
    "expected the keys resolution, first_block_bits, stages and head_bits as written by "
    "Subnet.to_dict"
)


def _pair(bits: LayerBits) -> list[int]:
    return [bits.w_bits, bits.a_bits]


def _bits(pair: Any) -> LayerBits:
    w_bits, a_bits = pair
    return LayerBits(whole_number("bits", w_bits), whole_number("bits", a_bits))


def _block(data: Mapping[str, Any]) -> BlockChoice:
    expand, depthwise, project = (_bits(pair) for pair in data["bits"])
    kernel_size = whole_number("kernel_size", data["kernel_size"])
    expand_ratio = whole_number("expand_ratio", data["expand_ratio"])
    return BlockChoice(kernel_size, expand_ratio, expand, depthwise, project)
