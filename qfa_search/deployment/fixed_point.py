"""The interpreter of an integer plan: numpy integers, any number of images, exact.

It defines what generated code computes. Sums of products are taken by floating-point matrix
products where all values stay below 2^24 or 2^53, which makes them exact in any order.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qfa_search.deployment.integers import (
    GATE_BITS,
    STREAM_BITS,
    STREAM_LIMIT,
    ZERO_BITS,
    IntegerLayer,
    IntegerPlan,
    Integers,
    StreamGrid,
)

BATCH = 64
SIXTH = round(2**30 / 6)  # 1/6 with 30 fraction bits


def fixed_point_logits(plan: IntegerPlan, images: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Logits of uint8 images, with `STREAM_BITS` fraction bits.

    Args:
        plan: The network.
        images: `(n, R, R, channels)` or, for one channel, `(n, R, R)`.

    Returns:
        int32 `(n, n_classes)`.

    Raises:
        ValueError: Images of another shape or type.
    """
    side, channels = plan.plan.resolution, plan.plan.space.input_channels
    if images.shape == (len(images), side, side) and channels == 1:
        images = images[..., None]
    if images.shape != (len(images), side, side, channels) or images.dtype != np.uint8:
        raise ValueError(
            f"expected uint8 images of shape (n, {side}, {side}, {channels}), got "
            f"{images.dtype} {images.shape}"
        )
    parts = [_run(plan, images[i : i + BATCH]) for i in range(0, len(images), BATCH)]
    return np.concatenate([np.empty((0, plan.plan.space.n_classes), np.int32), *parts])


def _run(plan: IntegerPlan, images: NDArray[np.uint8]) -> NDArray[np.int32]:
    value: Integers = images.astype(np.int64)
    streams: dict[int, Integers] = {}
    gated = value
    for i, layer in enumerate(plan.layers):
        after = plan.layers[i + 1] if i + 1 < len(plan.layers) else None
        if layer.plan.spec.kind == "squeeze_excite":
            if layer.plan.pools_input:
                gated, value = value, pooled(plan.layers[i - 1], value)
            value = _gate_values(layer, value)
            if layer.target == "gate":
                assert after is not None
                assert after.grid is not None
                gate = gate_of(value)
                value = codes_of(after.grid, (gated * gate + (1 << (GATE_BITS - 1))) >> GATE_BITS)
            continue
        if layer.pixels is not None:
            grid = layer.pixels
            value = np.clip((value * grid.m + grid.b) >> grid.shift, grid.lowest, grid.highest)
        elif layer.reads_stream:
            assert layer.grid is not None
            value = codes_of(layer.grid, value)
        value = _layer_values(layer, value)
        if layer.target == "codes":
            value = np.clip(value, layer.lowest, layer.top)
            continue
        value = activated(layer.plan.spec.activation, value)
        if layer.adds:
            assert layer.plan.adds is not None
            value = clamp(value + streams[layer.plan.adds])
        if layer.target == "stream":
            streams[i] = value
            continue
        assert after is not None
        assert after.grid is not None
        if layer.target == "pooled":
            value = pooled(layer, value)
        value = codes_of(after.grid, value)
    return value.reshape(len(images), -1).astype(np.int32)


def codes_of(grid: StreamGrid, stream: Integers) -> Integers:
    """Codes of a stream."""
    codes: Integers = np.clip((stream * grid.k + grid.t) >> grid.shift, 0, grid.top)
    return codes


def clamp(stream: Integers) -> Integers:
    """`stream` within +-`STREAM_LIMIT`."""
    within: Integers = np.clip(stream, -STREAM_LIMIT, STREAM_LIMIT)
    return within


def pooled(layer: IntegerLayer, stream: Integers) -> Integers:
    """Sums of a stream `(n, h, w, c)` over its map, shifted to fit 32 bits."""
    sums: Integers = stream.sum((1, 2), keepdims=True)
    return sums >> layer.pool_shift


def gate_of(stream: Integers) -> Integers:
    """`clamp(x + 3, 0, 6) / 6` of a stream, with `GATE_BITS` fraction bits."""
    shifted = np.clip(stream + (3 << STREAM_BITS), 0, 6 << STREAM_BITS)
    return (shifted * SIXTH) >> (30 + STREAM_BITS - GATE_BITS)


def activated(activation: str, stream: Integers) -> Integers:
    """A stream after "none", "relu" or "hswish"."""
    if activation == "relu":
        return np.maximum(stream, 0)
    if activation == "hswish":
        return (stream * gate_of(stream) + (1 << (GATE_BITS - 1))) >> GATE_BITS
    return stream


def _gate_values(layer: IntegerLayer, value: Integers) -> Integers:
    weights = layer.weights.reshape(len(layer.weights), -1)
    sums = value.reshape(len(value), -1) @ weights.T
    stream = clamp((sums >> layer.shift) + layer.b)
    if layer.plan.spec.activation == "relu":
        stream = np.maximum(stream, 0)
    return stream.reshape(len(value), 1, 1, -1)


def _layer_values(layer: IntegerLayer, codes: Integers) -> Integers:
    """The v of every output, `(n, h, w, out)`; streams are clamped."""
    spec, padding = layer.plan.spec, layer.plan.padding
    miss: Integers | None = None
    if spec.kernel_size == 1:
        acc = _products(
            layer,
            codes.reshape(*codes.shape[:-1], -1),
            layer.weights.reshape(len(layer.weights), -1),
        )
    else:
        around = ((0, 0), (padding, padding), (padding, padding), (0, 0))
        acc = _convolved(layer, np.pad(codes, around, constant_values=layer.zero_code))
        if layer.zero:
            outside = np.pad(np.zeros_like(codes[:1]), around, constant_values=1)
            miss = _convolved(layer, outside)
    moved = (layer.zero * layer.m) >> (ZERO_BITS - layer.acc_shift)
    bias = layer.b << layer.bias_shift
    if not layer.has_own_constants:
        bias = bias + layer.weights.reshape(len(layer.weights), -1).sum(1) * moved
    v = (acc << layer.acc_shift) * layer.m + bias
    if miss is not None:
        v += miss * moved
    v >>= layer.shift
    return v if layer.target == "codes" else clamp(v)


def _convolved(layer: IntegerLayer, padded: Integers) -> Integers:
    spec, size = layer.plan.spec, layer.plan.spec.out_size
    k, stride = spec.kernel_size, spec.stride
    last = (size - 1) * stride + 1
    taps = [
        padded[:, i : i + last : stride, j : j + last : stride] for i in range(k) for j in range(k)
    ]
    if spec.kind == "depthwise":
        weights = layer.weights.reshape(spec.out_channels, -1)
        acc = np.zeros(taps[0].shape, dtype=np.int32)
        for at, tap in enumerate(taps):
            acc += tap.astype(np.int32) * weights[:, at].astype(np.int32)
        return acc.astype(np.int64)
    # Patches channel by channel, as the weights lie.
    patches = np.stack(taps, axis=-1).reshape(*taps[0].shape[:3], -1)
    return _products(layer, patches, layer.weights.reshape(spec.out_channels, -1))


def _products(layer: IntegerLayer, codes: Integers, weights: Integers) -> Integers:
    largest = int(np.abs(weights).sum(1).max()) * max(1, int(np.abs(codes).max(initial=0)))
    kind = np.float32 if largest < 1 << 24 else np.float64
    flat = codes.reshape(-1, codes.shape[-1]).astype(kind)
    sums: Integers = (flat @ weights.T.astype(kind)).astype(np.int64)
    return sums.reshape(*codes.shape[:-1], len(weights))
