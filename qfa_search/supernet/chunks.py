"""Feature maps of many images in parts, so that memory holds each map once.

A tensor of all images needs room for the input, the output and what is between them of a layer at
once. Parts are given up one by one as what follows from them is made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor


class Chunks:
    """Parts of one tensor, cut along the images. Every operation uses up its operands.

    It has the operations of tensors that `run_layers` asks for.
    """

    def __init__(self, parts: Iterable[Tensor], *, is_kept: bool = False) -> None:
        """Take over `parts`.

        Args:
            parts: Maps `(n_i, channels, height, width)`.
            is_kept: Whether the first use leaves them there for another.
        """
        self.parts: list[Tensor | None] = list(parts)
        self.is_kept = is_kept

    def map(self, function: Callable[[Tensor], Tensor]) -> Chunks:
        """`function` of every part."""
        return Chunks([function(part) for part in self._given_up()])

    @property
    def n_channels(self) -> int:
        """Channels of the maps."""
        (n,) = {part.shape[1] for part in self.parts if part is not None}
        return n

    def channels(self, start: int, stop: int) -> Tensor:
        """Some channels of all parts as a new tensor; the parts stay."""
        return torch.cat([part[:, start:stop] for part in self.parts if part is not None])

    def joined(self) -> Tensor:
        """The parts as one tensor."""
        return torch.cat(list(self._given_up()))

    def flatten(self, start: int) -> Chunks:
        """As of tensors."""
        return self.map(lambda x: x.flatten(start))

    def mean(self, dim: int | tuple[int, ...], keepdim: bool = False) -> Chunks:
        """As of tensors."""
        self.is_kept = True  # a gate is made of the maps that it is for
        return self.map(lambda x: x.mean(dim, keepdim=keepdim))

    def contiguous(self, *, memory_format: torch.memory_format) -> Chunks:
        """As of tensors."""
        return self.map(lambda x: x.contiguous(memory_format=memory_format))

    def __add__(self, other: Chunks) -> Chunks:
        return Chunks([a + b for a, b in self._pairs(other)])

    def __mul__(self, other: Chunks) -> Chunks:
        return Chunks([a * b for a, b in self._pairs(other)])

    def _pairs(self, other: Chunks) -> Iterator[tuple[Tensor, Tensor]]:
        return zip(self._given_up(), other._given_up(), strict=True)

    def _given_up(self) -> Iterator[Tensor]:
        """The parts, each gone when the next one is asked for, unless they are kept."""
        is_kept, self.is_kept = self.is_kept, False
        for i in range(len(self.parts)):
            part = self.parts[i]
            assert part is not None
            if not is_kept:
                self.parts[i] = None
            yield part
            del part
