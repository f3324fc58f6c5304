"""Depthwise convolution whose weight gradient is fast on the CPU.

For the weight gradient of a depthwise convolution oneDNN has a fast kernel up to three columns.
Wider ones it computes as a grouped convolution with padded groups, as slowly as everything else
in a training step together. The gradient of the input has no such gap.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

MOST_FAST_COLUMNS = 3


def depthwise_conv2d(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """`F.conv2d` with a group for each channel, half the kernel as padding and no bias.

    Args:
        x: `(N, C, H, W)`.
        weight: `(C, 1, k, k)`, k odd.
        stride: Stride in both directions.
    """
    is_slow = (
        weight.shape[-1] > MOST_FAST_COLUMNS
        and x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and torch.is_grad_enabled()
    )
    if is_slow:
        y: Tensor = _DepthwiseConv2d.apply(x, weight, stride)
        return y
    return F.conv2d(x, weight, None, stride, weight.shape[-1] // 2, groups=len(weight))


class _DepthwiseConv2d(torch.autograd.Function):
    """The plain operation except for the weight's gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride = stride
        return F.conv2d(x, weight, None, stride, weight.shape[-1] // 2, groups=len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        kernel_size, stride = weight.shape[-1], ctx.stride
        grad_x = grad_weight = None
        if ctx.needs_input_grad[0]:
            grad_x = torch.ops.aten.convolution_backward(
                grad, x, weight, None, *_geometry(kernel_size, stride, len(weight)), _ONLY_INPUT
            )[0]
        if ctx.needs_input_grad[1]:
            grad_weight = _weight_gradient(grad, x, kernel_size, stride)
        return grad_x, grad_weight, None


_ONLY_INPUT = (True, False, False)


def _geometry(
    kernel_size: int, stride: int, groups: int
) -> tuple[list[int], list[int], list[int], bool, list[int], int]:
    """Stride, padding, dilation, transposed, output padding and groups, as ATen wants them."""
    return [stride] * 2, [kernel_size // 2] * 2, [1, 1], False, [0, 0], groups


def _weight_gradient(grad: Tensor, x: Tensor, kernel_size: int, stride: int) -> Tensor:
    """Gradient of the weight, `(C, 1, k, k)`, by a forward convolution.

    Tap (i, j) is the sum over output pixels (h, w) of grad[h, w] x[h s + i - p, w s + j - p]:
    the padded input convolved with the gradient as kernel, the stride s as dilation. Each map of
    each image is a channel of its own.
    """
    n, channels = x.shape[:2]
    maps = x.reshape(1, n * channels, *x.shape[2:])
    kernels = grad.reshape(n * channels, 1, *grad.shape[2:])
    taps = F.conv2d(maps, kernels, None, 1, kernel_size // 2, stride, groups=n * channels)
    # A stride that does not divide the map leaves taps beyond the kernel.
    taps = taps[..., :kernel_size, :kernel_size]
    return taps.reshape(n, channels, 1, kernel_size, kernel_size).sum(0)
