"""The published QFA checkpoint: what each of its keys is here, and the released script's defect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

import search_spaces
from qfa_search.errors import CheckpointMismatchError
from qfa_search.published.files import PUBLISHED_SPACE
from qfa_search.supernet.elastic import ElasticLayer
from qfa_search.supernet.mobilenet_v3 import Supernet, key
from search_spaces import LayerSpec, SearchSpace, Subnet, layer_specs

PUBLISHED_BITS = (2, 3, 4, 8)  # the quantizers that every published layer carries

NEVER_USED = "the layer never runs at this bit width"
SCRATCH = "scratch of the last batch, overwritten before it is read"
COUNTER = "a counter that the published code never counts up"
_BLOCK_LAYERS = {
    "expand": "inverted_bottleneck.conv",
    "depthwise": "depth_conv.conv",
    "se.reduce": "depth_conv.se.fc.reduce",
    "se.expand": "depth_conv.se.fc.expand",
    "project": "point_linear.conv",
}
_OTHER_LAYERS = {
    "stem": "first_conv.conv",
    "final_expand": "final_expand_layer.conv",
    "feature_mix": "feature_mix_layer.conv",
    "classifier": "classifier.linear",
}
_QUANTIZER_TABLES = (
    ("w", "scale", "weight_scale"),
    ("a", "scale", "input_alpha"),
    ("a", "offset", "input_offset"),
    ("a", "observer.running_min", "running_min"),
    ("a", "observer.running_max", "running_max"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedKey:
    """One entry of the published state: where it goes, or why it is left out.

    Attributes:
        name: The published key.
        shape: Its shape; None for scratch, which may be empty or a scalar.
        target: Name in the state of our `Supernet`; empty for an entry that is left out.
        index: Place in the quantizer table `target`; None where it is the whole tensor.
        ignored: Why it is left out; empty for an entry that is used.
    """

    name: str
    shape: tuple[int, ...] | None
    target: str = ""
    index: tuple[int, int] | None = None
    ignored: str = ""


def published_keys(supernet: Supernet) -> tuple[PublishedKey, ...]:
    """Every key of the published layout for the space of `supernet`."""
    space = supernet.space
    return tuple(
        entry
        for spec in layer_specs(space, space.largest())
        for entry in _layer_keys(_published_name(space, spec.name), spec, supernet.layer(spec))
    )


@torch.no_grad()
def import_published_supernet(state_dict: Mapping[str, Tensor]) -> Supernet:
    """The published supernet as one of ours, with its running statistics.

    Args:
        state_dict: State of the published network, width 1.2, 1000 classes.

    Raises:
        CheckpointMismatchError: A key is missing, unknown, of another shape or not a number.
    """
    supernet = Supernet(search_spaces.load(PUBLISHED_SPACE))
    entries = published_keys(supernet)
    _check(entries, state_dict)
    state = supernet.state_dict()
    unset = set(state)
    for entry in entries:
        if entry.ignored:
            continue
        target = state[entry.target]
        unset.discard(entry.target)
        value = state_dict[entry.name]
        if entry.index is None:
            target.copy_(value)
        else:
            target[entry.index] = value.reshape(()).to(target.dtype)
    assert not unset, f"nothing published goes to {sorted(unset)}"
    return supernet


def as_released(space: SearchSpace, subnet: Subnet) -> Subnet:
    """The subnet that the released evaluation script really runs when asked for `subnet`.

    It hands the depthwise bits to the quantizers of the largest kernel size, the last one that
    a fresh model has used. Depthwise layers of searchable blocks with a smaller kernel run at
    the bits they start with, the highest.
    """
    highest = space.uniform_bits[-1]
    stages = tuple(
        tuple(
            block
            if block.kernel_size == max(stage.kernel_sizes)
            else replace(block, depthwise=highest)
            for block in blocks
        )
        for stage, blocks in zip(space.stages, subnet.stages, strict=True)
    )
    return replace(subnet, stages=stages)


def _published_name(space: SearchSpace, name: str) -> str:
    if name in _OTHER_LAYERS:
        return _OTHER_LAYERS[name]
    if name.startswith("first_block."):
        number, layer = 0, name.removeprefix("first_block.")
    else:
        _, stage, position, layer = name.split(".", 3)
        before = sum(s.n_blocks for s in space.stages[: int(stage)])
        number = 1 + before + int(position)
    return f"blocks.{number}.mobile_inverted_conv.{_BLOCK_LAYERS[layer]}"


def _layer_keys(published: str, spec: LayerSpec, layer: ElasticLayer) -> Iterator[PublishedKey]:
    ours = f"layers.{key(spec)}"
    inner = {"squeeze_excite": "", "linear": ".linear"}.get(spec.kind, ".conv")
    whole = {f"{inner}.weight": "weight"}
    if layer.bias is not None:
        whole[f"{inner}.bias"] = "bias"
    if spec.has_norm:
        whole |= {f".{name}": name for name in ("gamma", "beta", "running_mean", "running_var")}
        yield PublishedKey(name=f"{published}.num_batches_tracked", shape=(), ignored=COUNTER)
    sizes = layer.kernel_sizes
    for i, (large, small) in enumerate(zip(sizes[:0:-1], sizes[-2::-1], strict=True)):
        whole[f".{large}to{small}_matrix"] = f"transforms.{i}"
    state = layer.state_dict()
    for theirs, mine in whole.items():
        shape = tuple(state[mine].shape)
        yield PublishedKey(name=published + theirs, shape=shape, target=f"{ours}.{mine}")
    if spec.kind != "squeeze_excite":
        yield from _quantizer_keys(published, ours, spec, layer)


def _quantizer_keys(
    published: str, ours: str, spec: LayerSpec, layer: ElasticLayer
) -> Iterator[PublishedKey]:
    for row, kernel_size in enumerate(layer.kernel_sizes):
        kind = f"quantizers.{kernel_size}" if spec.kind == "depthwise" else "quantizer"
        for bits in PUBLISHED_BITS:
            sets = {side: f"{published}.{side}_{kind}.quantizers.{bits}" for side in "wa"}
            for side, name, table in _QUANTIZER_TABLES:
                theirs = f"{sets[side]}.{name}"
                widths = layer.w_bit_widths if side == "w" else layer.a_bit_widths
                if bits in widths:
                    yield PublishedKey(
                        name=theirs,
                        shape=(1,),
                        target=f"{ours}.{table}",
                        index=(row, widths.index(bits)),
                    )
                else:
                    yield PublishedKey(name=theirs, shape=(1,), ignored=NEVER_USED)
            observer = f"{sets['a']}.observer"
            for name in ("min_val", "max_val"):
                yield PublishedKey(name=f"{observer}.{name}", shape=None, ignored=SCRATCH)
            counter = f"{observer}.num_batches_tracked"
            yield PublishedKey(name=counter, shape=(), ignored=COUNTER)


def _check(entries: tuple[PublishedKey, ...], state_dict: Mapping[str, Tensor]) -> None:
    expected = {entry.name for entry in entries}
    for what, names in (
        ("lacks", sorted(expected - set(state_dict))),
        ("has the unknown key", sorted(set(state_dict) - expected)),
    ):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise CheckpointMismatchError(
                f"the checkpoint {what} {names[0]}{more}: expected the {len(expected)} keys of "
                "the published supernet of width 1.2"
            )
    for entry in entries:
        value = state_dict[entry.name]
        if not isinstance(value, Tensor):
            raise CheckpointMismatchError(
                f"{entry.name} of the checkpoint must be a tensor, got {type(value).__name__}"
            )
        shape = tuple(value.shape)
        if shape != entry.shape if entry.shape is not None else value.numel() > 1:
            wanted = entry.shape if entry.shape is not None else "empty or a scalar"
            raise CheckpointMismatchError(
                f"{entry.name} of the checkpoint has shape {shape}, expected {wanted}"
            )
        if not entry.ignored and not value.is_floating_point():
            raise CheckpointMismatchError(
                f"{entry.name} of the checkpoint has type {value.dtype}, expected floating point"
            )
        if not entry.ignored and not bool(torch.isfinite(value).all()):
            raise CheckpointMismatchError(f"{entry.name} of the checkpoint is not finite")
