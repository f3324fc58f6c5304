"""Muon: gradients of matrices are made orthogonal, so that every direction is learned alike.

A short training gains most by it: the few directions that dominate a gradient no longer set the
pace of all others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

MOMENTUM = 0.95
RATE_FACTOR = 10.0  # of the rate that everything else has: a step has norm 1 in each direction
# Of x <- a x + b x^3 + c x^5 on singular values, which brings all of them near 1 in five steps.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
N_STEPS = 5
SMALLEST_NORM = 1e-7


class Muon(torch.optim.AdamW):
    """AdamW, except for the groups that say `is_orthogonal`: those take Muon's steps.

    The weights of such a group are matrices, `out_channels` by the rest.

    References:
        Jordan et al., Muon: An optimizer for hidden layers in neural networks, 2024.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """One step of all groups; gradients of the orthogonal ones are used up."""
        for group in self.param_groups:
            if group.get("is_orthogonal"):
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        rate, decay = group["lr"], group["weight_decay"]
                        self._move(parameter, parameter.grad, rate, decay)
                        parameter.grad = None  # AdamW leaves out what has none
        return super().step(closure)

    def _move(self, parameter: Tensor, gradient: Tensor, rate: float, weight_decay: float) -> None:
        state = self.state[parameter]
        if not state:  # under AdamW's names, whose loading of states asks for both
            state |= {"step": torch.zeros(()), "exp_avg": torch.zeros_like(parameter)}
        mean = state["exp_avg"].lerp_(gradient, 1 - MOMENTUM)
        matrix = orthogonalized(gradient.lerp(mean, MOMENTUM).flatten(1))
        rows, columns = matrix.shape
        parameter.mul_(1 - rate * weight_decay)
        scale = max(1.0, rows / columns) ** 0.5
        parameter.add_(matrix.reshape(parameter.shape), alpha=-rate * scale)


def orthogonalized(matrix: Tensor) -> Tensor:
    """A matrix with the singular vectors of `matrix` and all singular values near 1.

    Those above 0.3 % of the norm end between 0.68 and 1.21, smaller ones below.

    References:
        Jordan et al., 2024 (the quintic Newton-Schulz iteration).
    """
    a, b, c = COEFFICIENTS
    x = matrix / (matrix.norm() + SMALLEST_NORM)
    is_tall = x.shape[0] > x.shape[1]
    x = x.T if is_tall else x
    for _ in range(N_STEPS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    result: Tensor = x.T if is_tall else x
    return result
