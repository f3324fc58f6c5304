"""A network plan in fixed point: what a processor without floating point computes, exactly.

Two kinds of values lie between layers. Codes are what the next layer reads, unsigned and at most
8 bits wide. A stream is an int32 with `STREAM_BITS` fraction bits; residuals, gates and
activations other than ReLU need it. Per output channel c of a layer, over input codes q that are
counted from 0 and padded with the zero code:

    acc = sum W_c q
    v   = (acc 2^l m_c + b_c 2^j + miss (f m_c 2^l)) >> s        floor, in 64 bits

where miss is the sum of the weights on padding and f the fraction of the grid's zero (plan.py).
With the next layer's grid folded into m and b, and s = 32, v is its code after clamping; else v
is a stream. `fixed_point.py` runs this, and what it gives is what every generated file gives.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from predictors.c_memory import LARGEST_SIDE, stored_bits
from qfa_search.deployment.plan import InputGrid, LayerPlan, NetworkPlan
from qfa_search.errors import ExportError
from search_spaces.arrays import Floats

STREAM_BITS = 20
STREAM_LIMIT = (1 << 30) - 1  # streams are clamped to it, so that the sum of two fits
ZERO_BITS = 22  # fraction bits of a grid's zero
CODE_SHIFT = 32  # codes are the upper word of a 64-bit sum
PIXEL_BITS = 13  # fraction bits of the pixels that a stem in floating point reads
GATE_BITS = 26
LARGEST = 2**31 - 1

Target = Literal["codes", "activated", "pooled", "stream", "gate"]
Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamGrid:
    """How a stream becomes codes: `clamp((v k + t) >> shift, 0, top)`, shift at least 32.

    Attributes:
        k: Codes per unit of the stream, below 2^31.
        t: The code of a real 0 and one half, 64 bits.
        shift: Fraction bits of both.
        top: The largest code.
    """

    k: int
    t: int
    shift: int
    top: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PixelGrid:
    """How pixels become what the stem reads: `clamp((p m_c + b_c) >> shift, lowest, highest)`.

    Attributes:
        m: Per image channel.
        b: Per image channel, one half included.
        shift: Fraction bits of both; everything fits 32 bits.
        lowest: Lower end.
        highest: Upper end.
    """

    m: Integers
    b: Integers
    shift: int
    lowest: int
    highest: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class IntegerLayer:
    """One layer in fixed point; the symbols are those of the module's docstring.

    Attributes:
        plan: The layer that it computes.
        weights: W, integers in the shape of the plan's codes; 16 bits wide where the network has
            floating point.
        w_bits: Bits that a weight is stored with.
        m: Multipliers `(out,)`, or one for all channels `(1,)`.
        b: Biases in the same shape, 32 bits.
        acc_shift: l.
        bias_shift: j.
        shift: s; for a gate's layers that of the sum alone.
        zero_code: Code that pads.
        zero: f with `ZERO_BITS` fraction bits. Where one bias serves all channels it is minus
            the whole zero, and is multiplied by the sum of all weights of the channel.
        reads_stream: Whether its codes have to be made from a stream first.
        grid: That rounding, also of a stream that never leaves the layer before; None for the
            stem and for gates.
        pixels: What the stem does to its image.
        target: What it gives: codes; codes by way of a stream, its activation and the next
            layer's grid ("activated"), the same from the stream's mean over the map ("pooled");
            a stream; or a gate, which turns the stream that was pooled into codes.
        lowest: Lower end of codes, above 0 where ReLU cuts.
        top: Upper end of codes.
        pool_shift: By how much a sum over the map is shifted to fit 32 bits.
        adds: Whether a stream is added to its own.
    """

    plan: LayerPlan
    weights: Integers
    w_bits: int
    m: Integers
    b: Integers
    acc_shift: int
    bias_shift: int
    shift: int
    zero_code: int
    zero: int
    reads_stream: bool
    grid: StreamGrid | None
    pixels: PixelGrid | None
    target: Target
    lowest: int
    top: int
    pool_shift: int
    adds: bool

    @property
    def has_own_constants(self) -> bool:
        """Whether every channel has its own multiplier and bias."""
        return self.plan.spec.has_norm or self.plan.spec.has_bias


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class IntegerPlan:
    """A network in fixed point, from uint8 pixels to logits with `STREAM_BITS` fraction bits."""

    plan: NetworkPlan
    layers: tuple[IntegerLayer, ...]


def integer_plan(plan: NetworkPlan) -> IntegerPlan:
    """`plan` in fixed point.

    Raises:
        ExportError: Pixel mean and deviation are unknown, a layer is in floating point that has
            no integer form, or a constant is too large for 32 bits.
    """
    for name, values in (("mean", plan.mean), ("std", plan.std)):
        if values is None:
            raise ExportError(
                f"integers start from pixels: give preprocessing=..., with the {name} that images "
                "were normalized with"
            )
    for spec in (layer.spec for layer in plan.layers):
        if max(spec.in_size, spec.out_size) > LARGEST_SIDE:
            raise ExportError(
                f"{spec.name} has maps of {max(spec.in_size, spec.out_size)} pixels a side, and "
                f"integers have a form up to {LARGEST_SIDE}: choose a lower resolution"
            )
    kept = {layer.adds for layer in plan.layers if layer.adds is not None}
    layers: list[IntegerLayer] = []
    for i, layer in enumerate(plan.layers):
        before = layers[-1] if layers else None
        after = plan.layers[i + 1] if i + 1 < len(plan.layers) else None
        target = _target(layer, after, is_kept=i in kept)
        build = _gate_layer if layer.spec.kind == "squeeze_excite" else _layer
        layers.append(build(plan, layer, before, after, target))
    return IntegerPlan(plan=plan, layers=tuple(layers))


def _target(layer: LayerPlan, after: LayerPlan | None, *, is_kept: bool) -> Target:
    if layer.gates is not None:
        return "gate"
    if after is None or is_kept or layer.adds is not None or layer.spec.kind == "squeeze_excite":
        return "stream"
    if after.spec.kind == "squeeze_excite":
        return "stream"
    if after.pools_input:
        return "pooled"
    return "activated" if layer.spec.activation == "hswish" else "codes"


def _layer(
    plan: NetworkPlan,
    layer: LayerPlan,
    before: IntegerLayer | None,
    after: LayerPlan | None,
    target: Target,
) -> IntegerLayer:
    spec, grid = layer.spec, layer.grid
    is_stem = spec.name == "stem"
    if layer.codes is None or grid is None:
        if not is_stem or grid is not None:
            raise ExportError(
                f"{spec.name} computes in floating point, and integers only have a form for the "
                "stem and for squeeze-and-excite: choose 8 bits or fewer"
            )
        weights, unit = _stem_weights(layer)
        w_bits, zero_code, zero = 16, 0, 0.0
        bias = layer.bias
    else:
        weights, w_bits = layer.codes.astype(np.int64), stored_bits(spec.bits.w_bits)
        unit = grid.scale * layer.output_scale
        zero_code, zero = grid.zero_code, grid.fraction
        bias = layer.bias_counting_from(0.0)
    has_own = spec.has_norm or spec.has_bias
    if not has_own:
        assert grid is not None
        unit, bias, zero = unit[:1], np.zeros(1), -grid.zero
    elif layer.padding == 0:
        zero = 0.0
    assert after is None or target == "stream" or after.grid is not None
    to_grid = None if after is None else after.grid
    widest = (1 << 15) if grid is None else grid.top
    bound = int(np.abs(weights).reshape(len(weights), -1).sum(1).max()) * widest
    if target == "codes":
        assert to_grid is not None
        scale, offset, shift = unit * to_grid.multiplier, bias * to_grid.multiplier, CODE_SHIFT
        offset = offset + to_grid.zero
        acc_shift = max(0, CODE_SHIFT - 31 + _exponent(scale))
    else:
        scale, offset = unit * 2.0**STREAM_BITS, bias * 2.0**STREAM_BITS
        acc_shift, shift = 0, min(40, 31 - _exponent(scale))
    m = _rounded(scale * 2.0 ** (shift - acc_shift))
    b = (offset + 0.5) * 2.0**shift
    bias_shift = max(0, _exponent(b) - 31)
    sum_bound = (bound << acc_shift) * int(np.abs(m).max()) + int(np.abs(b).max())
    if shift < 1 or bound << acc_shift > LARGEST or sum_bound >= 1 << 62:
        raise ExportError(
            f"the outputs of {spec.name} are too large for 32 bits: recalibrate the network on "
            "images like those it was trained on"
        )
    is_relu = spec.activation == "relu" and to_grid is not None
    return IntegerLayer(
        plan=layer,
        weights=weights,
        w_bits=w_bits,
        m=m,
        b=_rounded(b / 2.0**bias_shift),
        acc_shift=acc_shift,
        bias_shift=bias_shift,
        shift=shift,
        zero_code=zero_code,
        zero=round(zero * 2**ZERO_BITS),
        reads_stream=before is not None and before.target == "stream",
        grid=None if before is None or grid is None else _stream_grid(layer, grid, before),
        pixels=_pixel_grid(plan, grid) if is_stem else None,
        target=target,
        lowest=_code_of_zero(to_grid) if is_relu and target == "codes" else 0,
        top=to_grid.top if to_grid is not None and target != "stream" else 0,
        pool_shift=_pool_shift(spec.out_size),
        adds=layer.adds is not None,
    )


def _gate_layer(
    plan: NetworkPlan,
    layer: LayerPlan,
    before: IntegerLayer | None,
    after: LayerPlan | None,
    target: Target,
) -> IntegerLayer:
    """A layer of squeeze-and-excite: weights of 16 bits, scaled by one power of two."""
    assert layer.weights is not None
    assert before is not None
    weights = layer.weights.astype(np.float64)
    if layer.pools_input:  # its input is the sum over the map, shifted
        weights = weights * _pooled_unit(before)
    shift = min(30, 15 - _exponent(weights))
    values = np.clip(np.rint(weights * 2.0**shift), -(1 << 15), (1 << 15) - 1).astype(np.int64)
    to_grid = None if after is None or target != "gate" else after.grid
    return IntegerLayer(
        plan=layer,
        weights=values,
        w_bits=16,
        m=np.zeros(0, dtype=np.int64),
        b=_rounded(layer.bias * 2.0**STREAM_BITS),
        acc_shift=0,
        bias_shift=0,
        shift=shift,
        zero_code=0,
        zero=0,
        reads_stream=False,
        grid=None,
        pixels=None,
        target=target,
        lowest=0,
        top=0 if to_grid is None else to_grid.top,
        pool_shift=0,
        adds=False,
    )


def _stem_weights(layer: LayerPlan) -> tuple[Integers, Floats]:
    """Weights of 16 bits whose sums over 16-bit pixels fit 32 bits, and what one is worth."""
    assert layer.weights is not None
    weights = layer.weights.astype(np.float64)
    rows = np.abs(weights).reshape(len(weights), -1)
    room = (LARGEST >> 15) - rows.shape[1]  # rounding may add one half to each
    step = np.maximum(np.maximum(rows.max(1) / ((1 << 15) - 1), rows.sum(1) / room), 1e-30)
    values = np.rint(weights / step.reshape(-1, 1, 1, 1)).astype(np.int64)
    return values, step * layer.gain * 2.0**-PIXEL_BITS


def _stream_grid(layer: LayerPlan, grid: InputGrid, before: IntegerLayer) -> StreamGrid:
    scale = grid.multiplier * 2.0**-STREAM_BITS
    if layer.pools_input:
        scale *= _pooled_unit(before)
    shift = min(50, 31 - math.frexp(scale)[1])
    if shift < CODE_SHIFT:
        raise ExportError(f"the input step of {layer.name} is {grid.scale:g}, far too small")
    return StreamGrid(
        k=min(round(scale * 2.0**shift), LARGEST),
        t=round((grid.zero + 0.5) * 2.0**shift),
        shift=shift,
        top=grid.top,
    )


def _pooled_unit(before: IntegerLayer) -> float:
    """What a sum over the map, shifted to fit 32 bits, is worth as a mean."""
    return float(2**before.pool_shift / before.plan.spec.out_size**2)


def _pixel_grid(plan: NetworkPlan, grid: InputGrid | None) -> PixelGrid:
    mean, std = np.array(plan.mean), np.array(plan.std)
    multiplier, zero = (2.0**PIXEL_BITS, 0.0) if grid is None else (grid.multiplier, grid.zero)
    scale, offset = multiplier / (255 * std), zero - multiplier * mean / std
    largest = np.maximum(np.abs(offset), np.abs(offset + 255 * scale)) + 255 * scale
    shift = min(24, 30 - _exponent(largest))
    if shift < 0:
        raise ExportError("the grid of the image is far too fine: recalibrate the network")
    return PixelGrid(
        m=_rounded(scale * 2.0**shift),
        b=_rounded((offset + 0.5) * 2.0**shift),
        shift=shift,
        lowest=-(1 << 15) + 1 if grid is None else 0,
        highest=(1 << 15) - 1 if grid is None else grid.top,
    )


def _code_of_zero(grid: InputGrid | None) -> int:
    assert grid is not None
    return int(np.rint(np.clip(grid.zero, 0, grid.top)))


def _pool_shift(size: int) -> int:
    return (size * size - 1).bit_length()


def _exponent(values: Floats) -> int:
    """The least e with all |values| below 2^e, after rounding to 31 bits."""
    largest = float(np.abs(values).max(initial=0.0))
    if largest == 0:
        return 0
    mantissa, exponent = math.frexp(largest)
    return exponent + (mantissa >= 1 - 2.0**-31)


def _rounded(values: Floats) -> Integers:
    return np.rint(values).astype(np.int64)
