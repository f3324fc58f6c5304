"""A supernet whose norms have parameters of their own for each bit width of the input."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from qfa_search.supernet.elastic import ElasticLayer
from qfa_search.supernet.mobilenet_v3 import Supernet
from search_spaces import LayerSpec, SearchSpace


class BitNormLayer(ElasticLayer):
    """An elastic layer with a factor and a shift of the norm for each bit width of its input."""

    def __init__(
        self,
        largest: LayerSpec,
        kernel_sizes: Sequence[int],
        w_bit_widths: Sequence[int],
        a_bit_widths: Sequence[int],
    ) -> None:
        """Start as the layer with one norm."""
        super().__init__(largest, kernel_sizes, w_bit_widths, a_bit_widths)
        self.has_bit_norm = largest.has_norm and bool(self.a_bit_widths)
        if self.has_bit_norm:
            table = len(self.a_bit_widths), largest.out_channels
            self.bit_gamma = nn.Parameter(torch.ones(table))
            self.bit_beta = nn.Parameter(torch.zeros(table))

    def norm_parameters(self, spec: LayerSpec) -> tuple[Tensor, Tensor]:
        """The shared ones, changed by those of the input's bit width; 32 bits share alone."""
        gamma, beta = super().norm_parameters(spec)
        if not self.has_bit_norm or spec.bits.a_bits > 8:
            return gamma, beta
        column, out = self.a_index(spec)[1], spec.out_channels
        return gamma * self.bit_gamma[column, :out], beta + self.bit_beta[column, :out]


def bit_norm_supernet(space: SearchSpace) -> Supernet:
    """A supernet with norms per bit width, random weights from torch's global generator."""
    return Supernet(space, BitNormLayer)
