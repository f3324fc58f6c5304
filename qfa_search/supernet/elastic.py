"""The elastic layers: take the slice that a LayerSpec asks for, then run the plain operation.

An elastic layer always normalizes and quantizes with the statistics of the batch at hand. Its
running statistics are only carried: an imported supernet brings them, `extract` takes them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qfa_search.quantizers.functional import (
    batch_range,
    batchquant,
    in_full_precision,
    lsq,
    lsq_initial_scale,
)
from qfa_search.supernet.depthwise import depthwise_conv2d
from search_spaces import LayerSpec

NORM_EPS = 1e-5


def activate(x: Tensor, activation: str) -> Tensor:
    """`x` after "none", "relu" (which overwrites `x`), "hswish" or "hsigmoid"."""
    if activation == "relu":
        return F.relu(x, inplace=True)
    if activation == "hswish":
        return F.hardswish(x)
    if activation == "hsigmoid":
        return F.hardsigmoid(x)
    return x


class ElasticLayer(nn.Module):
    """A convolution or linear layer whose first channels serve every width.

    Quantizer parameters stand in tables, a row for each kernel size and a column for each bit
    width of weights or of activations: nothing is shared between bit widths.

    Attributes:
        weight: `(max_out, max_in / groups, k, k)`, for a linear layer `(out, in)`.
        transforms: Matrices that make each smaller kernel from the centre of the next larger
            one, the largest first.
    """

    running_mean: Tensor
    running_var: Tensor
    running_min: Tensor
    running_max: Tensor

    def __init__(
        self,
        largest: LayerSpec,
        kernel_sizes: Sequence[int],
        w_bit_widths: Sequence[int],
        a_bit_widths: Sequence[int],
    ) -> None:
        """Make room for the widest slice, random weights and neutral quantizers."""
        super().__init__()
        self.kind = largest.kind
        self.kernel_sizes = tuple(sorted(kernel_sizes))
        self.w_bit_widths = tuple(w_bit_widths)
        self.a_bit_widths = tuple(a_bit_widths)
        channels = largest.out_channels, largest.in_channels // largest.groups
        kernel = (largest.kernel_size,) * 2 if largest.kind != "linear" else ()
        self.weight = nn.Parameter(torch.empty(*channels, *kernel))
        nn.init.kaiming_normal_(self.weight, mode="fan_out" if largest.groups == 1 else "fan_in")
        self.bias = nn.Parameter(torch.zeros(channels[0])) if largest.has_bias else None
        if largest.has_norm:
            self.gamma = nn.Parameter(torch.ones(channels[0]))
            self.beta = nn.Parameter(torch.zeros(channels[0]))
            self.register_buffer("running_mean", torch.zeros(channels[0]))
            self.register_buffer("running_var", torch.ones(channels[0]))
        self.transforms = nn.ParameterList(
            torch.eye(small**2) for small in reversed(self.kernel_sizes[:-1])
        )
        rows = len(self.kernel_sizes)
        if self.w_bit_widths:
            self.weight_scale = nn.Parameter(torch.ones(rows, len(self.w_bit_widths)))
        if self.a_bit_widths:
            table = rows, len(self.a_bit_widths)
            self.input_alpha = nn.Parameter(torch.zeros(table))
            self.input_offset = nn.Parameter(torch.zeros(table))
            self.register_buffer("running_min", torch.zeros(table))
            self.register_buffer("running_max", torch.zeros(table))

    @torch.no_grad()
    def reset_weight_scales(self) -> None:
        """Set every weight step from the weights as they are."""
        if not self.w_bit_widths:
            return
        for i, kernel_size in enumerate(self.kernel_sizes):
            weight = self.kernel(kernel_size)
            for j, bits in enumerate(self.w_bit_widths):
                self.weight_scale[i, j] = lsq_initial_scale(weight, bits=bits)

    def kernel(self, kernel_size: int) -> Tensor:
        """Weights of all channels at one kernel size, made by the kernel transforms."""
        weight: Tensor = self.weight
        with torch.autocast(weight.device.type, enabled=False):  # every size in full precision
            return self._transformed(weight, kernel_size)

    def _transformed(self, weight: Tensor, kernel_size: int) -> Tensor:
        for matrix, size in zip(self.transforms, self.kernel_sizes[-2::-1], strict=True):
            if weight.shape[-1] == kernel_size:
                break
            edge = (weight.shape[-1] - size) // 2
            centre = weight[..., edge : edge + size, edge : edge + size]
            weight = F.linear(centre.flatten(-2), matrix).view_as(centre)
        return weight

    def w_index(self, spec: LayerSpec) -> tuple[int, int]:
        """Row and column of the weight quantizer of `spec` in its table."""
        return self.kernel_sizes.index(spec.kernel_size), self.w_bit_widths.index(spec.bits.w_bits)

    def a_index(self, spec: LayerSpec) -> tuple[int, int]:
        """Row and column of the input quantizer of `spec` in its tables."""
        return self.kernel_sizes.index(spec.kernel_size), self.a_bit_widths.index(spec.bits.a_bits)

    def norm_parameters(self, spec: LayerSpec) -> tuple[Tensor, Tensor]:
        """Factor and shift of the norm, `(out_channels,)` each."""
        return self.gamma[: spec.out_channels], self.beta[: spec.out_channels]

    def columns(self, tensor: str) -> tuple[int, ...]:
        """Bit widths that the columns of a tensor of this name stand for; none if no table."""
        if tensor == "weight_scale":
            return self.w_bit_widths
        is_table = tensor in ("input_alpha", "input_offset", "running_min", "running_max")
        return self.a_bit_widths if is_table else ()

    def forward(self, x: Tensor, spec: LayerSpec) -> Tensor:
        """The layer that `spec` describes, without the residual addition.

        Args:
            x: `(N, in_channels, H, W)`; a linear layer takes `(N, in_channels)`.
            spec: Active widths, kernel size and bits; 32 bits skip the quantizer.
        """
        weight = self.kernel(spec.kernel_size)
        n_elements = weight.numel()
        weight = weight[: spec.out_channels, : spec.in_channels // spec.groups]
        if spec.bits.a_bits <= 8:
            at = self.a_index(spec)
            x = in_full_precision(x)
            x = batchquant(
                x,
                self.input_alpha[at],
                self.input_offset[at],
                *batch_range(x),
                bits=spec.bits.a_bits,
                signed=spec.has_signed_input,
            )
        if spec.bits.w_bits <= 8:
            at = self.w_index(spec)
            weight = lsq(
                weight, self.weight_scale[at], bits=spec.bits.w_bits, n_elements=n_elements
            )
        bias = self.bias[: spec.out_channels] if self.bias is not None else None
        if spec.kind == "linear":
            return F.linear(x, weight, bias)
        if spec.kind == "depthwise":
            x = depthwise_conv2d(x, weight, spec.stride)
        else:
            x = F.conv2d(x, weight, bias, spec.stride, spec.kernel_size // 2, groups=spec.groups)
        if spec.has_norm:
            gamma, beta = self.norm_parameters(spec)
            x = F.batch_norm(x, None, None, gamma, beta, training=True, eps=NORM_EPS)
        return activate(x, spec.activation)
