"""Accuracy of a static network on images."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a network scored.

    Attributes:
        top1: Percent of images whose largest logit is the label's.
        cross_entropy: Mean over images, in nats.
        n_images: Images seen.
    """

    top1: float
    cross_entropy: float
    n_images: int


@torch.inference_mode()
def evaluate(network: nn.Module, loader: Iterable[tuple[Tensor, Tensor]]) -> Evaluation:
    """Top-1 and cross-entropy of a recalibrated static network.

    Args:
        network: In evaluation mode; left as it is.
        loader: Batches of (images, labels) at the network's resolution.

    Raises:
        ValueError: The network is in training mode, or there are no images.
    """
    if network.training:
        raise ValueError("evaluate needs a network in evaluation mode: call network.eval() first")
    device = next(network.parameters()).device
    n_correct, n_images, loss = 0, 0, 0.0
    for images, labels in loader:
        labels = labels.to(device)
        logits = network(images.to(device))
        n_correct += int((logits.argmax(1) == labels).sum())
        loss += float(F.cross_entropy(logits, labels, reduction="sum"))
        n_images += len(labels)
    if n_images == 0:
        raise ValueError("evaluate needs at least one batch of images, got none")
    return Evaluation(100 * n_correct / n_images, loss / n_images, n_images)
