"""Quantizer arithmetic as pure functions of tensors, with the gradients of the papers.

One scale and one zero point per tensor. Rounding is half to even everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

SMALLEST_STEP = 2.0**-23
BINARY = (-1, 1)  # the two codes of 1-bit weights, whose range of integers has a 0 and no 1
REGISTER_FLOATS = 32  # what torch reduces at once, a power of two


def integer_range(bits: int, *, signed: bool) -> tuple[int, int]:
    """(qmin, qmax) of `bits` wide integers."""
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)


def weight_range(bits: int) -> tuple[int, int]:
    """(qmin, qmax) of the codes of weights: signed integers, and -1 and 1 at 1 bit.

    Two's complement has -1 and 0 there, which would leave no positive weight. -1 and 1 are also
    codes of 2 bits, as which files store them.

    References:
        Rastegari et al., XNOR-Net, ECCV 2016 (weights as a scale times their sign).
    """
    return BINARY if bits == 1 else integer_range(bits, signed=True)


def batch_range(x: Tensor) -> tuple[Tensor, Tensor]:
    """The (xmin, xmax) that BatchQuant sees in a batch, two scalars without gradient.

    The extremes of every channel over batch and space, then their mean over channels.

    Args:
        x: `(N, C, H, W)` or `(N, C)`.

    References:
        Bai et al., BatchQuant, NeurIPS 2021.
    """
    x = in_full_precision(x.detach())
    if _memory_format(x) is torch.channels_last:
        rows = _full_rows(x)
        low, high = (e.view(-1, x.shape[1]) for e in (rows.amin(0), rows.amax(0)))
        return low.amin(0).mean(), high.amax(0).mean()
    dims = (0, 2, 3) if x.dim() == 4 else (0,)
    return x.amin(dims).mean(), x.amax(dims).mean()


def _full_rows(x: Tensor) -> Tensor:
    """A channels-last `x` as rows of some pixels each, that fill vector registers.

    Over rows of any other length torch's extremes take up to fifty times as long on a CPU.
    """
    channels = x.shape[1]
    pixels = REGISTER_FLOATS // math.gcd(channels, REGISTER_FLOATS)
    if (x.numel() // channels) % pixels:
        pixels = 1
    return x.permute(0, 2, 3, 1).reshape(-1, pixels * channels)


def quantization_grid(xmin: float, xmax: float, *, bits: int, signed: bool) -> tuple[float, float]:
    """Step and integer zero point of the grid that covers [xmin, xmax] and 0.

    The step is rounded to float32. An empty range (all zeros) gives step 1 and zero point 0. What
    is not a number stays none, so that the loss shows it.
    """
    qmin, qmax = integer_range(bits, signed=signed)
    lo, hi = min(xmin, 0.0), max(xmax, 0.0)
    if lo == hi:
        return 1.0, 0.0
    step = max((hi - lo) / (qmax - qmin), SMALLEST_STEP)
    zero_point = min(max(float(qmin - np.rint(lo / step)), qmin), qmax)
    return float(np.float32(step)), float(zero_point)


def grid_on_device(xmin: Tensor, xmax: Tensor, *, bits: int, signed: bool) -> tuple[Tensor, Tensor]:
    """`quantization_grid` as float64 scalars on the device of the range, which nobody waits for."""
    qmin, qmax = integer_range(bits, signed=signed)
    lo, hi = xmin.double().clamp(max=0), xmax.double().clamp(min=0)
    is_empty = lo == hi
    step = ((hi - lo) / (qmax - qmin)).clamp(min=SMALLEST_STEP)
    zero_point = (qmin - (lo / step).round()).clamp(qmin, qmax)
    rounded = step.float().double()
    return torch.where(is_empty, 1.0, rounded), torch.where(is_empty, 0.0, zero_point)


def in_full_precision(x: Tensor) -> Tensor:
    """`x` in float32 if autocast made it half: half precision is too coarse for 8-bit levels."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def is_recorded() -> bool:
    """Whether what runs now is being exported, compiled or traced."""
    is_traced: bool = torch.jit.is_tracing()  # type: ignore[no-untyped-call, attr-defined]
    return is_traced or torch.compiler.is_compiling()


def leaves_gradients_out() -> bool:
    """Whether what runs now has no gradients; a recorded program has none."""
    return not torch.is_grad_enabled() or is_recorded()


def range_multiplier(alpha: Tensor) -> Tensor:
    """BatchQuant's learned factor on the range, log2(1 + 2^alpha): positive, 1 at alpha = 0."""
    return torch.nn.functional.softplus(alpha, beta=math.log(2))


def batchquant(
    x: Tensor,
    alpha: Tensor,
    offset: Tensor,
    xmin: Tensor,
    xmax: Tensor,
    *,
    bits: int,
    signed: bool = False,
) -> Tensor:
    """Fake-quantize activations on a grid set by batch statistics and two learned scalars.

        u = x m / s + z + o,  q = round(clamp(u, qmin, qmax)),  y = (q - z - o) s / m

    with m = `range_multiplier(alpha)`, o = `offset`, and step s and zero point z from the
    range. No gradient flows through s and z.

    Args:
        x: Activations of any shape.
        alpha: Learned scalar, 0 leaves the range as it is.
        offset: Learned scalar in units of steps, not rounded.
        xmin: Lower end of the range, from `batch_range` or recalibrated.
        xmax: Upper end of the range.
        bits: Bit width; 32 returns `x`.
        signed: Shifts the integer grid, not the result.

    References:
        Bai et al., BatchQuant, NeurIPS 2021.
    """
    x = in_full_precision(x)
    y: Tensor = _BatchQuant.apply(x, range_multiplier(alpha), offset, xmin, xmax, bits, signed)
    return y


@dataclass(frozen=True, slots=True)
class Constants:
    """A grid as the numbers of `batchquant`: u = x `gain` + `shift`, y = (q - `shift`) `level`.

    Attributes:
        gain: m / s.
        shift: z + o.
        level: s / m.
        qmin: Lowest integer.
        qmax: Highest integer.
    """

    gain: float
    shift: float
    level: float
    qmin: int
    qmax: int

    def quantize(self, x: Tensor) -> Tensor:
        """`x` on the grid: four passes over one tensor, without any gradient."""
        y = torch.add(x.new_full((), self.shift), x, alpha=self.gain)
        return y.clamp_(self.qmin, self.qmax).round_().sub_(self.shift).mul_(self.level)


def constants(
    multiplier: Tensor, offset: Tensor, xmin: Tensor, xmax: Tensor, *, bits: int, signed: bool
) -> Constants:
    """The grid of `batchquant` as numbers, in one transfer from the device."""
    m, o, low, high = torch.stack((multiplier, offset, xmin, xmax)).tolist()
    step, zero_point = quantization_grid(low, high, bits=bits, signed=signed)
    qmin, qmax = integer_range(bits, signed=signed)
    level = step / m if m else math.inf
    gain, shift, level = map(_as_float32, (m / step, zero_point + o, level))
    return Constants(gain, shift, level, qmin, qmax)


def _as_float32(value: float) -> float:
    """`value`, infinite where float32 has no such number, which torch would refuse."""
    is_too_large = abs(value) > torch.finfo(torch.float32).max
    return math.copysign(math.inf, value) if is_too_large else value


def lsq(
    weight: Tensor, scale: Tensor, *, bits: int, n_elements: int, signed: bool = True
) -> Tensor:
    """Fake-quantize weights with a learned step size (LSQ).

    At 1 bit a weight becomes plus or minus the step, 0 plus; gradients are those of the other
    widths, with rounding passed straight through between the two levels.

    Args:
        weight: Weights of any shape; may be the active slice of a larger tensor.
        scale: Learned scalar; its absolute value is the step.
        bits: Bit width.
        n_elements: Elements of the whole tensor, for the gradient scale 1 / sqrt(n qmax).
        signed: Whether the grid has negative levels.

    References:
        Esser et al., Learned Step Size Quantization, ICLR 2020.
    """
    qmin, qmax = weight_range(bits) if signed else integer_range(bits, signed=False)
    if leaves_gradients_out():
        step = scale.abs()
        return _nearest(weight / step, qmin, qmax) * step
    y: Tensor = _LSQ.apply(weight, scale, qmin, qmax, 1 / math.sqrt(n_elements * qmax))
    return y


def lsq_initial_scale(weight: Tensor, *, bits: int) -> Tensor:
    """Step size to start from, a scalar.

    2 mean|w| / sqrt(qmax) (Esser et al., ICLR 2020); at 1 bit mean|w|, which leaves the smallest
    squared error (Rastegari et al., ECCV 2016).
    """
    mean = weight.detach().abs().mean()
    return mean if bits == 1 else 2 * mean / math.sqrt(weight_range(bits)[1])


def _nearest(u: Tensor, qmin: int, qmax: int) -> Tensor:
    """The code next to each `u`, in [qmin, qmax]; 1 for a 0 between the two binary ones."""
    if (qmin, qmax) == BINARY:
        return u.clamp(-1, 0.5).floor_().mul_(2).add_(1)
    return u.clamp(qmin, qmax).round_()


class _BatchQuant(torch.autograd.Function):
    """The equation of `batchquant`; gradients pass inside the grid, ends included.

    On activations every operation is a pass over memory. On a CPU the scalars are Python numbers,
    with which the forward takes four passes over one tensor; on another device they stay there, so
    that nothing waits for it. The backward works on `x` itself, so that u need not be kept: the
    bounds of the grid are moved to the scale of `x` instead.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        multiplier: Tensor,
        offset: Tensor,
        xmin: Tensor,
        xmax: Tensor,
        bits: int,
        signed: bool,
    ) -> Tensor:
        qmin, qmax = integer_range(bits, signed=signed)
        if _is_read_at_no_cost(x):
            grid = constants(multiplier, offset, xmin, xmax, bits=bits, signed=signed)
            level, shift = grid.level, grid.shift
            ctx.grid = level, (qmin - shift) * level, (qmax - shift) * level
            y = grid.quantize(x)
        else:
            step, zero_point = grid_on_device(xmin, xmax, bits=bits, signed=signed)
            m = multiplier.double()
            sizes, shifts = step / m, zero_point + offset.double()
            ctx.grid = sizes, (qmin - shifts) * sizes, (qmax - shifts) * sizes
            own, gain, size = (t.to(x.dtype) for t in (shifts, m / step, sizes))
            y = torch.addcmul(own, x, gain).clamp_(qmin, qmax).round_().sub_(own).mul_(size)
        ctx.save_for_backward(x, y, multiplier, offset)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, y, multiplier, offset = ctx.saved_tensors
        level, lowest, highest = ctx.grid
        layout = _memory_format(x)
        g, v, w = _vectors(layout, grad, x, y)
        where = _where_inside if isinstance(lowest, float) else _where_inside_on_device
        inner = where(g, v, lowest, highest)
        grad_multiplier = (torch.dot(inner, v) - torch.dot(g, w)) / multiplier
        grad_offset = ((inner.sum() - g.sum()) * level).to(offset.dtype)
        grad_x = _shaped(inner, x, layout)
        return grad_x, grad_multiplier, grad_offset, None, None, None, None


def _is_read_at_no_cost(x: Tensor) -> bool:
    """Whether Python may look at scalars beside `x` without waiting for a device."""
    return x.device.type == "cpu"


def _where_inside(grad: Tensor, x: Tensor, lowest: float, highest: float) -> Tensor:
    """`grad` where lowest <= x <= highest, else 0, in one pass.

    hardtanh's backward leaves its bounds out, so they are moved outwards by rounding errors: the
    exact zeros that ReLU makes lie on a bound and must pass.
    """
    info = torch.finfo(x.dtype)
    slack = 2 * info.eps
    result: Tensor = torch.ops.aten.hardtanh_backward(
        grad,
        x,
        lowest - slack * abs(lowest) - info.tiny,
        highest + slack * abs(highest) + info.tiny,
    )
    return result


def _where_inside_on_device(grad: Tensor, x: Tensor, lowest: Tensor, highest: Tensor) -> Tensor:
    """`_where_inside` for bounds that nobody waits for."""
    info = torch.finfo(x.dtype)
    slack = 2 * info.eps
    least = lowest - slack * lowest.abs() - info.tiny
    greatest = highest + slack * highest.abs() + info.tiny
    return torch.where((least.to(x.dtype) < x) & (x < greatest.to(x.dtype)), grad, 0)


class _LSQ(torch.autograd.Function):
    """The equation of `lsq`; gradients pass strictly inside the grid."""

    @staticmethod
    def forward(
        ctx: Any, weight: Tensor, scale: Tensor, qmin: int, qmax: int, grad_scale: float
    ) -> Tensor:
        step = scale.abs()
        u = weight / step
        q = _nearest(u, qmin, qmax)
        ctx.save_for_backward(u, q, scale)
        ctx.bounds = qmin, qmax, grad_scale
        return q * step

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        u, q, scale = ctx.saved_tensors
        qmin, qmax, grad_scale = ctx.bounds
        # hardtanh's backward leaves its bounds out, as the paper does.
        layout = _memory_format(u)
        g, v, w = _vectors(layout, grad, u, q)
        inner = torch.ops.aten.hardtanh_backward(g, v, qmin, qmax)
        grad_scalar = torch.dot(g, w) - torch.dot(inner, v)
        grad_weight = _shaped(inner, u, layout)
        return grad_weight, scale.sign() * grad_scale * grad_scalar, None, None, None


def _memory_format(x: Tensor) -> torch.memory_format:
    """Channels-last if `x` lies in memory so, else torch's default."""
    is_last = x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if is_last else torch.contiguous_format


def _vectors(layout: torch.memory_format, *tensors: Tensor) -> Iterator[Tensor]:
    """Tensors as vectors in the order of `layout`, copied only where they lie otherwise.

    Elementwise operations and sums are faster on vectors than on four dimensions.
    """
    for x in tensors:
        yield x.contiguous(memory_format=layout).as_strided((x.numel(),), (1,))


def _shaped(vector: Tensor, like: Tensor, layout: torch.memory_format) -> Tensor:
    """A vector of `_vectors` in the shape of `like`."""
    if layout is torch.contiguous_format:
        return vector.view(like.shape)
    n, channels, height, width = like.shape
    return vector.view(n, height, width, channels).permute(0, 3, 1, 2)
