"""The training recipe as one frozen value."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """How a supernet is trained; every field is stored with the result.

    Attributes:
        float_epochs: Epochs of the largest network in floating point; it becomes the teacher
            and the starting weights.
        epochs: Epochs of the quantized supernet.
        float_bits_share: First share of those epochs in which 32 bits is one more choice.
        batch_size: Images per step and process.
        n_random: Random subnets per step beside the largest and the smallest.
        learning_rate: Peak of AdamW's rate in the quantized phase.
        float_learning_rate: Peak in the float phase.
        scale_rate_factor: Rate of weight steps over the rate of everything else.
        warmup_steps: Steps of linear rise; a cosine to zero follows.
        weight_decay: On convolution and classifier weights only.
        teacher_share: Weight of the teacher's soft labels in the loss; the rest is the labels'.
        label_smoothing: Of the label loss.
        clip_norm: Largest norm of the gradient.
        shift_pixels: Images are moved by up to so many pixels each way.
        flip: Whether half of the images are mirrored.
        seed: Of weights, image order, augmentation and subnets.
    """

    float_epochs: float = 3.0
    epochs: float = 7.0
    float_bits_share: float = 0.2
    batch_size: int = 64
    n_random: int = 2
    learning_rate: float = 2e-3
    float_learning_rate: float = 2e-3
    scale_rate_factor: float = 0.1
    warmup_steps: int = 100
    weight_decay: float = 1e-4
    teacher_share: float = 0.5
    label_smoothing: float = 0.0
    clip_norm: float = 2.0
    shift_pixels: int = 2
    flip: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the values; a ValueError names the first wrong one."""
        for name in ("float_epochs", "epochs", "learning_rate", "float_learning_rate", "clip_norm"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} must be a positive number, got {value}")
        for name in ("float_bits_share", "teacher_share", "label_smoothing"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be between 0 and 1, got {getattr(self, name)}")
        for name, least in (("batch_size", 2), ("n_random", 0), ("shift_pixels", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
