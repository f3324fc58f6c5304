"""Quantizer arithmetic as pure functions of tensors, with the gradients of the papers.

One scale and one zero point per tensor. Rounding is half to even everywhere.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

SMALLEST_STEP = 2.0**-23


def integer_range(bits: int, *, signed: bool) -> tuple[int, int]:
    """(qmin, qmax) of `bits` wide integers."""
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)


def batch_range(x: Tensor) -> tuple[Tensor, Tensor]:
    """The (xmin, xmax) that BatchQuant sees in a batch, two scalars without gradient.

    The extremes of every channel over batch and space, then their mean over channels.

    Args:
        x: `(N, C, H, W)` or `(N, C)`.

    References:
        Bai et al., BatchQuant, NeurIPS 2021.
    """
    x = x.detach()
    dims = (0, 2, 3) if x.dim() == 4 else (0,)
    return x.amin(dims).mean(), x.amax(dims).mean()


def quantization_grid(
    xmin: Tensor, xmax: Tensor, *, bits: int, signed: bool
) -> tuple[Tensor, Tensor]:
    """Step and integer zero point of the grid that covers [xmin, xmax] and 0.

    Computed in float64; the step is then rounded to float32. An empty range (all zeros) gives
    step 1 and zero point 0.

    Returns:
        Step and zero point, float64 scalars.
    """
    qmin, qmax = integer_range(bits, signed=signed)
    lo, hi = xmin.double().clamp(max=0), xmax.double().clamp(min=0)
    is_empty = lo == hi
    step = ((hi - lo) / (qmax - qmin)).clamp(min=SMALLEST_STEP)
    zero_point = (qmin - torch.round(lo / step)).clamp(qmin, qmax)
    step = torch.where(is_empty, 1.0, step).float().double()
    return step, torch.where(is_empty, 0.0, zero_point)


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
    qmin, qmax = integer_range(bits, signed=signed)
    step, zero_point = quantization_grid(xmin, xmax, bits=bits, signed=signed)
    if x.dtype == torch.float16:  # autocast; half precision has too few digits for 8-bit levels
        x = x.float()
    y: Tensor = _BatchQuant.apply(
        x, range_multiplier(alpha), offset, step.to(x.dtype), zero_point.to(x.dtype), qmin, qmax
    )
    return y


def lsq(
    weight: Tensor, scale: Tensor, *, bits: int, n_elements: int, signed: bool = True
) -> Tensor:
    """Fake-quantize weights with a learned step size (LSQ).

    Args:
        weight: Weights of any shape; may be the active slice of a larger tensor.
        scale: Learned scalar; its absolute value is the step.
        bits: Bit width.
        n_elements: Elements of the whole tensor, for the gradient scale 1 / sqrt(n qmax).
        signed: Whether the grid has negative levels.

    References:
        Esser et al., Learned Step Size Quantization, ICLR 2020.
    """
    qmin, qmax = integer_range(bits, signed=signed)
    y: Tensor = _LSQ.apply(weight, scale, qmin, qmax, 1 / math.sqrt(n_elements * qmax))
    return y


def lsq_initial_scale(weight: Tensor, *, bits: int) -> Tensor:
    """Step size to start from, 2 mean|w| / sqrt(qmax), a scalar (Esser et al., ICLR 2020)."""
    return 2 * weight.detach().abs().mean() / math.sqrt(integer_range(bits, signed=True)[1])


class _BatchQuant(torch.autograd.Function):
    """The equation of `batchquant` on a given grid; gradients pass inside it, ends included."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        multiplier: Tensor,
        offset: Tensor,
        step: Tensor,
        zero_point: Tensor,
        qmin: int,
        qmax: int,
    ) -> Tensor:
        u = (x * multiplier).div_(step).add_(zero_point).add_(offset)
        y = u.clamp(qmin, qmax).round_()
        y.sub_(zero_point).sub_(offset).mul_(step).div_(multiplier)
        ctx.save_for_backward(u, y, multiplier, offset, step, zero_point)
        ctx.bounds = qmin, qmax
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        u, y, multiplier, offset, step, zero_point = ctx.saved_tensors
        grad_x = _where_inside(grad, u, *ctx.bounds)
        inside_sum = grad_x.sum()
        # Where the gradient passes, x is (u - z - o) s / m.
        x_inner = (_inner(grad_x, u) - (zero_point + offset) * inside_sum) * step / multiplier
        grad_multiplier = (x_inner - _inner(grad, y)) / multiplier
        grad_offset = (inside_sum - grad.sum()) * step / multiplier
        return grad_x, grad_multiplier, grad_offset, None, None, None, None


def _where_inside(grad: Tensor, u: Tensor, qmin: int, qmax: int) -> Tensor:
    """`grad` where qmin <= u <= qmax, else 0, in one pass.

    hardtanh's backward leaves its bounds out, so they are moved to the next number outside:
    the exact zeros that ReLU makes lie on a bound and must pass.
    """
    info = torch.finfo(u.dtype)
    lowest = qmin * (1 + info.eps) if qmin else -info.tiny
    result: Tensor = torch.ops.aten.hardtanh_backward(grad, u, lowest, qmax * (1 + info.eps))
    return result


class _LSQ(torch.autograd.Function):
    """The equation of `lsq`; gradients pass strictly inside the grid."""

    @staticmethod
    def forward(
        ctx: Any, weight: Tensor, scale: Tensor, qmin: int, qmax: int, grad_scale: float
    ) -> Tensor:
        step = scale.abs()
        u = weight / step
        q = u.clamp(qmin, qmax).round_()
        ctx.save_for_backward(u, q, scale)
        ctx.bounds = qmin, qmax, grad_scale
        return q * step

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        u, q, scale = ctx.saved_tensors
        qmin, qmax, grad_scale = ctx.bounds
        inside = (u > qmin) & (u < qmax)
        grad_weight = grad * inside
        grad_scalar = (grad * q).sum() - (grad_weight * u).sum()
        return grad_weight, scale.sign() * grad_scale * grad_scalar, None, None, None


def _inner(a: Tensor, b: Tensor) -> Tensor:
    """Sum of the products, in one pass where both lie in memory alike."""
    for layout in (torch.contiguous_format, torch.channels_last):
        if a.is_contiguous(memory_format=layout) and b.is_contiguous(memory_format=layout):
            return torch.dot(a.as_strided((a.numel(),), (1,)), b.as_strided((b.numel(),), (1,)))
    return (a * b).sum()
