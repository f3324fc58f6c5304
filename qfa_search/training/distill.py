"""The loss of a student: the teacher's soft labels and the true labels."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def distillation_loss(
    logits: Tensor,
    labels: Tensor,
    teacher_logits: Tensor | None,
    *,
    teacher_share: float,
    label_smoothing: float,
) -> Tensor:
    """Mean loss of a batch, a scalar.

    (1 - t) CE(labels) + t CE(softmax(teacher)), t = `teacher_share`; without a teacher the
    label loss alone.

    References:
        Hinton et al., Distilling the Knowledge in a Neural Network, 2015, at temperature 1.
    """
    label_loss = F.cross_entropy(logits, labels, label_smoothing=label_smoothing)
    if teacher_logits is None:
        return label_loss
    soft_loss = F.cross_entropy(logits, teacher_logits.softmax(1))
    return (1 - teacher_share) * label_loss + teacher_share * soft_loss
