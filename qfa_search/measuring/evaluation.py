"""Accuracy of a static network on images."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

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
        class_top1: Top-1 of the images of each class, NaN for a class without any.
    """

    top1: float
    cross_entropy: float
    n_images: int
    class_top1: tuple[float, ...] = field(default=(), compare=False)


class Score:
    """Top-1 and cross-entropy, gathered batch by batch."""

    def __init__(self) -> None:
        """Start without any image."""
        self._n_correct, self._n_images, self._loss = torch.zeros(0), torch.zeros(0), 0.0

    def add(self, logits: Tensor, labels: Tensor) -> None:
        """Count a batch: logits `(n, n_classes)`, labels `(n,)`."""
        if logits.dtype == torch.float16:
            logits = logits.float()
        n_classes = logits.shape[1]
        if not len(self._n_images):
            self._n_correct = self._n_images = torch.zeros(n_classes, dtype=torch.int64)
        hits = labels[logits.argmax(1) == labels]
        self._n_correct = self._n_correct + torch.bincount(hits, minlength=n_classes).cpu()
        self._n_images = self._n_images + torch.bincount(labels, minlength=n_classes).cpu()
        self._loss += float(F.cross_entropy(logits, labels, reduction="sum"))

    def result(self) -> Evaluation:
        """The scores over all batches.

        Raises:
            ValueError: There was no batch.
        """
        n = int(self._n_images.sum())
        if n == 0:
            raise ValueError("evaluate needs at least one batch of images, got none")
        by_class = 100 * self._n_correct.double() / self._n_images.double()
        return Evaluation(
            top1=100 * int(self._n_correct.sum()) / n,
            cross_entropy=self._loss / n,
            n_images=n,
            class_top1=tuple(by_class.tolist()),
        )


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
    score = Score()
    for images, labels in loader:
        score.add(network(images.to(device)), labels.to(device))
    return score.result()
