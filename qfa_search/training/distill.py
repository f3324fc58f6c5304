"""The loss of a student: the true labels and the teacher's soft labels."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def distillation_loss(
    logits: Tensor,
    labels: Tensor,
    teacher_logits: Tensor | None,
    *,
    label_weight: float,
    teacher_weight: float,
    label_smoothing: float,
) -> Tensor:
    """Mean loss of a batch, a scalar.

    a CE(labels) + b CE(softmax(teacher)), a = `label_weight` and b = `teacher_weight`; without a
    teacher CE(labels) alone.

    References:
        Hinton et al., Distilling the Knowledge in a Neural Network, 2015, at temperature 1.
    """
    label_loss = F.cross_entropy(logits, labels, label_smoothing=label_smoothing)
    if teacher_logits is None:
        return label_loss
    soft_loss = F.cross_entropy(logits, teacher_logits.softmax(1))
    return label_weight * label_loss + teacher_weight * soft_loss
