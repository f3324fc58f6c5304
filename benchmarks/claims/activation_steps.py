"""Supernets whose activations have learned steps (LSQ) in place of BatchQuant.

A seam of the elastic layer is enough: the input is quantized here, and the layer is then asked
to leave it as it is. The input of the stem stays with BatchQuant: the released code does not
quantize it at all, so that no variant should lose there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn

from qfa_search.quantizers.functional import SMALLEST_STEP, integer_range, lsq
from qfa_search.supernet.elastic import ElasticLayer
from qfa_search.supernet.extract import StaticLayer, StaticNetwork, extract
from qfa_search.supernet.mobilenet_v3 import Supernet, key
from search_spaces import LayerBits, LayerSpec, SearchSpace, Subnet
from search_spaces.subnet import FLOAT_BITS


@dataclass(frozen=True, slots=True)
class StepRule:
    """How the step of an activation quantizer starts and learns.

    Attributes:
        starts_from_data: At 2 mean|x| / sqrt(qmax) of the first batch that it sees; else at 1.
        scales_gradient: By 1 / sqrt(n qmax), n the elements of one image's activation; else not.

    References:
        Esser et al., Learned Step Size Quantization, ICLR 2020.
    """

    starts_from_data: bool
    scales_gradient: bool


LSQ_RULE = StepRule(starts_from_data=True, scales_gradient=True)
RELEASED_RULE = StepRule(starts_from_data=False, scales_gradient=False)


def quantize_by_step(
    x: Tensor, step: Tensor, *, bits: int, signed: bool, scales_gradient: bool
) -> Tensor:
    """Activations on the grid of a learned step, without zero point.

    With a = |step|: u = x / a, y = a round(clamp(u, qmin, qmax)). The gradient passes where
    qmin < u < qmax; that of the step is sign(step) gamma sum g (q - u [inside]), gamma being
    1 / sqrt(n qmax) or 1.

    Args:
        x: `(N, ...)`.
        step: Learned scalar.
        bits: Bit width.
        signed: Whether the grid has negative levels.
        scales_gradient: Whether gamma is below 1; n are the elements of one image.
    """
    n_elements = x[0].numel()
    if not scales_gradient:
        n_elements = 1
        step = _with_gradient_times(step, math.sqrt(integer_range(bits, signed=signed)[1]))
    return lsq(x, step, bits=bits, n_elements=n_elements, signed=signed)


def first_step(x: Tensor, *, bits: int, signed: bool) -> Tensor:
    """Step to start from, 2 mean|x| / sqrt(qmax), a scalar above 0."""
    qmax = integer_range(bits, signed=signed)[1]
    return (2 * x.detach().abs().mean() / math.sqrt(qmax)).clamp(min=SMALLEST_STEP)


class LearnedStepLayer(ElasticLayer):
    """An elastic layer with a table of learned steps for its input, as BatchQuant's tables.

    The tables of BatchQuant stay, unused, so that `extract` finds them.
    """

    has_started: Tensor

    def __init__(
        self,
        largest: LayerSpec,
        kernel_sizes: Sequence[int],
        w_bit_widths: Sequence[int],
        a_bit_widths: Sequence[int],
        rule: StepRule,
    ) -> None:
        """Steps of 1 that wait for their first batch if the rule says so."""
        super().__init__(largest, kernel_sizes, w_bit_widths, a_bit_widths)
        self.rule = rule
        if self.a_bit_widths:
            table = len(self.kernel_sizes), len(self.a_bit_widths)
            self.input_step = nn.Parameter(torch.ones(table))
            # A buffer: a training that is taken up again must not start its steps anew.
            self.register_buffer("has_started", torch.zeros(table, dtype=torch.bool))

    def forward(self, x: Tensor, spec: LayerSpec) -> Tensor:
        """The layer that `spec` describes, without the residual addition."""
        if has_learned_step(spec):
            x = self.quantize_input(x, spec)
            spec = replace(spec, bits=LayerBits(spec.bits.w_bits, FLOAT_BITS))
        return super().forward(x, spec)

    def quantize_input(self, x: Tensor, spec: LayerSpec) -> Tensor:
        """`x` on the grid of the active step."""
        bits, signed = spec.bits.a_bits, spec.has_signed_input
        at = self.a_index(spec)
        if self.rule.starts_from_data and not self.has_started[at]:
            with torch.no_grad():
                self.input_step[at] = first_step(x, bits=bits, signed=signed)
                self.has_started[at] = True
        return quantize_by_step(
            x,
            self.input_step[at],
            bits=bits,
            signed=signed,
            scales_gradient=self.rule.scales_gradient,
        )


def learned_step_supernet(space: SearchSpace, rule: StepRule) -> Supernet:
    """A supernet with learned activation steps, random weights from torch's global generator."""
    return Supernet(space, partial(LearnedStepLayer, rule=rule))


class FixedStep(nn.Module):
    """The input quantizer of a static layer: a learned step as it is."""

    def __init__(self, step: Tensor, *, bits: int, signed: bool) -> None:
        """Keep a copy of the step."""
        super().__init__()
        self.step: Tensor
        self.register_buffer("step", step.detach().clone())
        self.bits = bits
        self.signed = signed

    def forward(self, x: Tensor) -> Tensor:
        """`x` on the grid, same shape."""
        return quantize_by_step(
            x, self.step, bits=self.bits, signed=self.signed, scales_gradient=False
        )


def has_learned_step(spec: LayerSpec) -> bool:
    """Whether the input of a layer is quantized by a learned step here."""
    return spec.bits.a_bits <= 8 and spec.name != "stem"


def static_network(supernet: Supernet, subnet: Subnet) -> StaticNetwork:
    """`subnet` of a supernet of any variant as a static network, not yet recalibrated.

    Recalibration sets the statistics of norms and BatchQuants; learned steps stay.
    """
    network = extract(supernet, subnet)
    for spec in network.specs:
        source, target = supernet.layer(spec), network.layers[key(spec)]
        if isinstance(source, LearnedStepLayer) and has_learned_step(spec):
            assert isinstance(target, StaticLayer)
            bits = spec.bits.a_bits
            step = FixedStep(
                source.input_step[source.a_index(spec)],
                bits=bits,
                signed=spec.has_signed_input,
            )
            target.add_module("input_quantizer", step)
    return network.eval()


def _with_gradient_times(x: Tensor, factor: float) -> Tensor:
    """`x`, whose gradient is multiplied by `factor` on its way back."""
    y = x.clone()
    if y.requires_grad:
        y.register_hook(lambda gradient: factor * gradient)  # type: ignore[no-untyped-call]
    return y
