"""Accuracy of a static network on images."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qfa_search.errors import MeasurementError
from qfa_search.measuring.result import Evaluation
from qfa_search.supernet.recalibrate import has_statistics


class Score:
    """Top-1, cross-entropy and confusion, gathered batch by batch."""

    def __init__(self) -> None:
        """Start without any image."""
        self._confusion = np.zeros((0, 0), dtype=np.int64)
        self._loss = 0.0

    def add(self, logits: Tensor, labels: Tensor) -> None:
        """Count a batch: logits `(n, n_classes)`, labels `(n,)`.

        Raises:
            MeasurementError: A logit is not a finite number.
        """
        if logits.dtype == torch.float16:
            logits = logits.float()
        if not torch.isfinite(logits).all():
            raise MeasurementError(
                "the network has no accuracy: its logits are not finite numbers (NaN or "
                "infinite); its weights or statistics are broken, train the supernet anew"
            )
        n_classes = logits.shape[1]
        if not len(self._confusion):
            self._confusion = np.zeros((n_classes, n_classes), dtype=np.int64)
        pairs = torch.bincount(labels * n_classes + logits.argmax(1), minlength=n_classes**2)
        self._confusion += pairs.cpu().numpy().reshape(n_classes, n_classes)
        self._loss += float(F.cross_entropy(logits, labels, reduction="sum"))

    def result(self) -> Evaluation:
        """The scores over all batches.

        Raises:
            ValueError: There was no batch.
        """
        n = int(self._confusion.sum())
        if n == 0:
            raise ValueError("evaluate needs at least one batch of images, got none")
        return Evaluation(
            top1=100 * int(self._confusion.trace()) / n,
            cross_entropy=self._loss / n,
            n_images=n,
            confusion=self._confusion,
        )


@torch.inference_mode()
def evaluate(network: nn.Module, loader: Iterable[tuple[Tensor, Tensor]]) -> Evaluation:
    """Top-1 and cross-entropy of a recalibrated static network.

    Args:
        network: In evaluation mode; left as it is.
        loader: Batches of (images, labels) at the network's resolution.

    Raises:
        ValueError: The network is in training mode or was never recalibrated, or there are no
            images.
        MeasurementError: Its logits are not finite numbers.
    """
    if network.training:
        raise ValueError("evaluate needs a network in evaluation mode: call network.eval() first")
    if not has_statistics(network):
        raise ValueError(
            "evaluate needs a network with statistics of its own, this one was never "
            "recalibrated: call qfa_search.recalibrate(network, loader) first, or take "
            "qfa_search.network(supernet, subnet)"
        )
    device = next(network.parameters()).device
    score = Score()
    for images, labels in loader:
        score.add(network(images.to(device)), labels.to(device))
    return score.result()
