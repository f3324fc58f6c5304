"""Architectures as plain data: the places of a space, and what stands at each in every subnet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from search_spaces import SearchSpace, Subnet
from search_spaces.subnet import BlockChoice, LayerBits

BLOCK_LAYERS = ("expand", "depthwise", "project")
ABSENT = -1

Choice = tuple[int, ...]


def places(space: SearchSpace) -> list[dict[str, Any]]:
    """Every place of a network where layers may stand, in the order they run.

    Returns:
        For each place its name, its stage (0 outside the stages), the names of its layers, its
        output channels and its stride.
    """
    head = (("final expand", space.final_expand_width), ("feature mix", space.feature_mix_width))
    rows: list[tuple[str, int, Sequence[str], int, int]] = [
        ("stem", 0, ("stem",), space.stem_width, space.stem_stride),
        ("first block", 0, BLOCK_LAYERS[1:], space.stem_width, 1),
    ]
    for s, stage in enumerate(space.stages):
        for j in range(stage.n_blocks):
            stride = stage.stride if j == 0 else 1
            rows.append((f"block {s + 1}.{j + 1}", s + 1, BLOCK_LAYERS, stage.width, stride))
    rows += [(name, 0, (name,), width, 1) for name, width in head]
    rows.append(("classifier", 0, ("classifier",), space.n_classes, 1))
    keys = ("name", "stage", "layers", "width", "stride")
    return [dict(zip(keys, row, strict=True)) for row in rows]


def choices(space: SearchSpace, subnet: Subnet) -> list[Choice | None]:
    """What stands at each of the `places`: None for a block that the subnet does not have.

    A choice is the kernel size and the expand ratio (0 where there is none), then the bits of
    weights and activations of each layer.
    """
    return list(_choices(space, subnet))


def encoded(space: SearchSpace, subnets: Sequence[Subnet]) -> dict[str, Any]:
    """Many architectures in little room: `choices` are written once and then named by index.

    Returns:
        `places`, all different `choices`, and for each of `subnets` its `resolution` and, in
        `blocks`, the index of the choice at each place, -1 where there is no block.
    """
    index: dict[Choice, int] = {}
    blocks = [
        [
            ABSENT if choice is None else index.setdefault(choice, len(index))
            for choice in choices(space, subnet)
        ]
        for subnet in subnets
    ]
    return {
        "places": places(space),
        "choices": list(index),
        "resolution": [subnet.resolution for subnet in subnets],
        "blocks": blocks,
    }


def _choices(space: SearchSpace, subnet: Subnet) -> Iterator[Choice | None]:
    yield 3, 0, space.stem_bits, space.stem_bits
    yield 3, 0, *_flat(subnet.first_block)
    for spec, stage in zip(space.stages, subnet.stages, strict=True):
        blocks: list[BlockChoice | None] = [*stage, *[None] * (spec.n_blocks - len(stage))]
        for block in blocks:
            if block is None:
                yield None
                continue
            layers = (block.expand, block.depthwise, block.project)
            yield block.kernel_size, block.expand_ratio, *_flat(layers)
    for bits in subnet.head:
        yield 1, 0, bits.w_bits, bits.a_bits
    yield 1, 0, space.classifier_bits, space.classifier_bits


def _flat(layers: Sequence[LayerBits]) -> Iterator[int]:
    for bits in layers:
        yield bits.w_bits
        yield bits.a_bits
