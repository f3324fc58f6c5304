"""Accuracy of a static network on images."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LARGEST_CONFUSION = 100  # classes; beyond it, thousands of results would fill the memory


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a network scored.

    Attributes:
        top1: Percent of images whose largest logit is the label's.
        cross_entropy: Mean over images, in nats.
        n_images: Images seen.
        class_top1: Top-1 of the images of each class, NaN for a class without any.
        confusion: Images by their class (rows) and the class they were given (columns); empty
            for more than 100 classes.
    """

    top1: float
    cross_entropy: float
    n_images: int
    class_top1: tuple[float, ...] = field(default=(), compare=False)
    confusion: tuple[tuple[int, ...], ...] = field(default=(), compare=False)


class Score:
    """Top-1 and cross-entropy, gathered batch by batch."""

    def __init__(self) -> None:
        """Start without any image."""
        self._confusion, self._loss = torch.zeros(0, 0, dtype=torch.int64), 0.0

    def add(self, logits: Tensor, labels: Tensor) -> None:
        """Count a batch: logits `(n, n_classes)`, labels `(n,)`."""
        if logits.dtype == torch.float16:
            logits = logits.float()
        n_classes = logits.shape[1]
        if not len(self._confusion):
            self._confusion = torch.zeros(n_classes, n_classes, dtype=torch.int64)
        pairs = labels * n_classes + logits.argmax(1)
        counts = torch.bincount(pairs, minlength=n_classes**2).cpu()
        self._confusion = self._confusion + counts.view(n_classes, n_classes)
        self._loss += float(F.cross_entropy(logits, labels, reduction="sum"))

    def result(self) -> Evaluation:
        """The scores over all batches.

        Raises:
            ValueError: There was no batch.
        """
        n = int(self._confusion.sum())
        if n == 0:
            raise ValueError("evaluate needs at least one batch of images, got none")
        n_right = self._confusion.diagonal()
        by_class = 100 * n_right.double() / self._confusion.sum(1).double()
        is_small = len(self._confusion) <= LARGEST_CONFUSION
        rows = self._confusion.tolist() if is_small else []
        return Evaluation(
            top1=100 * int(n_right.sum()) / n,
            cross_entropy=self._loss / n,
            n_images=n,
            class_top1=tuple(by_class.tolist()),
            confusion=tuple(map(tuple, rows)),
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
