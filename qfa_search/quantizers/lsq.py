"""LSQ: the weight quantizer of one bit width in a static network."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from qfa_search.quantizers.functional import lsq


class LSQ(nn.Module):
    """Fake-quantizes weights to `bits` signed bits with a learned step."""

    def __init__(self, bits: int) -> None:
        """Start with step 1; the extraction writes the learned one."""
        super().__init__()
        self.bits = bits
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, weight: Tensor) -> Tensor:
        """`weight` on the grid, same shape."""
        return lsq(weight, self.scale, bits=self.bits, n_elements=weight.numel())

    def extra_repr(self) -> str:
        """Bits, for `print(network)`."""
        return f"bits={self.bits}"
