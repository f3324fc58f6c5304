"""Optimizer and learning rate of a training."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from qfa_search.training.config import TrainConfig
from qfa_search.training.muon import RATE_FACTOR, Muon

ADAM_BETAS = (0.9, 0.99)
SGD_MOMENTUM = 0.9
MOST_COLOURS = 4  # channels of images: a layer that has no more is the first one


def make_optimizer(network: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """The recipe's optimizer, which decays weights only, and moves the weight steps slowly.

    Weights are tensors of two and more dimensions that are called so; norms, biases, kernel
    transforms and quantizer parameters are not decayed.
    """
    matrices: list[Tensor] = []
    weights: list[Tensor] = []
    scales: list[Tensor] = []
    others: list[Tensor] = []
    for name, parameter in network.named_parameters():
        if name.endswith("weight") and parameter.dim() > 1:
            is_orthogonal = config.optimizer == "muon" and _is_hidden_convolution(parameter)
            (matrices if is_orthogonal else weights).append(parameter)
        elif name.endswith("weight_scale"):
            scales.append(parameter)
        else:
            others.append(parameter)
    decay = config.weight_decay
    factor = config.adamw_rate_factor if config.optimizer == "muon" else 1.0
    groups = [
        {
            "params": matrices,
            "weight_decay": decay,
            "rate_factor": RATE_FACTOR,
            "is_orthogonal": True,
        },
        {"params": weights, "weight_decay": decay, "rate_factor": factor},
        {"params": others, "weight_decay": 0.0, "rate_factor": factor},
        {"params": scales, "weight_decay": 0.0, "rate_factor": config.scale_rate_factor},
    ]
    groups = [group for group in groups if group["params"]]
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=1.0, momentum=SGD_MOMENTUM, nesterov=True)
    optimizer = Muon if config.optimizer == "muon" else torch.optim.AdamW
    return optimizer(groups, lr=1.0, betas=ADAM_BETAS)


def _is_hidden_convolution(weight: Tensor) -> bool:
    """Whether it mixes channels of feature maps: neither depthwise, nor the stem, nor linear."""
    return weight.dim() == 4 and weight.shape[1] > MOST_COLOURS


def rate_share(step: int, n_steps: int, warmup_steps: int) -> float:
    """Learning rate of a step over its peak: a linear rise, then a cosine to zero."""
    warmup = min(warmup_steps, n_steps // 10)
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, n_steps - warmup)))


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the rate of every group, each by its own factor."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["rate_factor"]
