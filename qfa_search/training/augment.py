"""Random flips and shifts of a batch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def augment(
    images: Tensor, *, shift: int, flip: bool, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Each image moved by up to `shift` pixels each way and mirrored at random.

    Args:
        images: `(N, C, H, W)`; the border is filled with the least value of the batch.
        shift: Largest move in pixels.
        flip: Whether to mirror.
        generator: Source of randomness.

    Returns:
        The images, and which of them are mirrored: bool `(N,)`.
    """
    n, _, height, width = images.shape
    padded = F.pad(images, (shift,) * 4, value=float(images.min()))
    top, left = torch.randint(0, 2 * shift + 1, (2, n, 1), generator=generator)
    columns = torch.arange(width).expand(n, width)
    is_mirrored = torch.zeros(n, dtype=torch.bool)
    if flip:
        is_mirrored = torch.rand(n, generator=generator) < 0.5
        columns = torch.where(is_mirrored[:, None], columns.flip(1), columns)
    rows = (top + torch.arange(height))[:, None, :, None]
    columns = (left + columns)[:, None, None, :]
    image = torch.arange(n).view(n, 1, 1, 1)
    channel = torch.arange(images.shape[1]).view(1, -1, 1, 1)
    return padded[image, channel, rows, columns], is_mirrored
