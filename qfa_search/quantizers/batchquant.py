"""BatchQuant: the activation quantizer of one bit width in a static network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from qfa_search.quantizers.functional import (
    Constants,
    batch_range,
    batchquant,
    constants,
    in_full_precision,
    is_recorded,
    leaves_gradients_out,
    range_multiplier,
)


class BatchQuant(nn.Module):
    """Fake-quantizes its input to `bits` bits.

    In training mode the range comes from the batch, in evaluation mode from `running_min` and
    `running_max`, which only recalibration writes.

    In evaluation mode its grid is constant, so that a network of such quantizers can be exported,
    traced and compiled. The numbers follow what is written to parameters and buffers; before an
    export, `eval()` makes sure of that.
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
        self._grid: Constants
        self._made_of: tuple[int, ...]
        self._freeze()

    def forward(self, x: Tensor) -> Tensor:
        """`x` on the grid, same shape."""
        if not self.training and leaves_gradients_out():
            if not is_recorded() and self._made_of != self._versions():
                self._freeze()
            return self._grid.quantize(in_full_precision(x))
        xmin, xmax = batch_range(x) if self.training else (self.running_min, self.running_max)
        return batchquant(
            x, self.alpha, self.offset, xmin, xmax, bits=self.bits, signed=self.signed
        )

    @torch.no_grad()
    def set_range(self, xmin: Tensor, xmax: Tensor) -> None:
        """Write the running range."""
        self.running_min.copy_(xmin)
        self.running_max.copy_(xmax)
        self._freeze()

    def train(self, mode: bool = True) -> BatchQuant:
        """As any module; evaluation mode begins with the grid of what is stored."""
        super().train(mode)
        if not mode:
            self._freeze()
        return self

    def extra_repr(self) -> str:
        """Bits and sign, for `print(network)`."""
        return f"bits={self.bits}, signed={self.signed}"

    @torch.no_grad()
    def _freeze(self) -> None:
        if self.alpha.is_meta:
            return
        self._grid = constants(
            range_multiplier(self.alpha),
            self.offset,
            self.running_min,
            self.running_max,
            bits=self.bits,
            signed=self.signed,
        )
        self._made_of = self._versions()

    def _versions(self) -> tuple[int, ...]:
        """How often each of the numbers behind the grid was written."""
        numbers = (self.alpha, self.offset, self.running_min, self.running_max)
        return tuple(-1 if x.is_inference() else x._version for x in numbers)

    # To another device or precision.
    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> BatchQuant:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self._freeze()
        return self

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._freeze()
