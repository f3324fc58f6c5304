"""BatchQuant: the activation quantizer of one bit width in a static network."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from qfa_search.quantizers.functional import batch_range, batchquant


class BatchQuant(nn.Module):
    """Fake-quantizes its input to `bits` bits.

    In training mode the range comes from the batch, in evaluation mode from `running_min` and
    `running_max`, which only recalibration writes.
    """

    def __init__(self, bits: int, *, signed: bool = False) -> None:
        """Start with the range as it is: alpha 0, offset 0, and an empty running range."""
        super().__init__()
        self.bits = bits
        self.signed = signed
        self.alpha = nn.Parameter(torch.zeros(()))
        self.offset = nn.Parameter(torch.zeros(()))
        self.running_min: Tensor
        self.running_max: Tensor
        self.register_buffer("running_min", torch.zeros(()))
        self.register_buffer("running_max", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """`x` on the grid, same shape."""
        xmin, xmax = batch_range(x) if self.training else (self.running_min, self.running_max)
        return batchquant(
            x, self.alpha, self.offset, xmin, xmax, bits=self.bits, signed=self.signed
        )

    def extra_repr(self) -> str:
        """Bits and sign, for `print(network)`."""
        return f"bits={self.bits}, signed={self.signed}"
