"""An ensemble of small multi-layer perceptrons, fitted together and evaluated in NumPy."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from search_spaces.arrays import Floats

N_HIDDEN = 32
N_STEPS = 300
BATCH = 1024
LEARNING_RATE = 1e-2
WEIGHT_DECAY = 2.0


@dataclass(frozen=True)
class MlpEnsemble:
    """Perceptrons with two hidden layers and the activation x * sigmoid(x).

    Attributes:
        weights: One array per layer, `(n_members, n_in, n_out)`.
        biases: One array per layer, `(n_members, 1, n_out)`.
        constant: Mean of the targets, added to every output.
        scale: What outputs are multiplied with before.
    """

    weights: tuple[Floats, ...]
    biases: tuple[Floats, ...]
    constant: float
    scale: float

    @property
    def n_members(self) -> int:
        """Number of perceptrons."""
        return len(self.weights[0])

    def predict(self, A: Floats) -> Floats:
        """Output of every member at `A` `(n, d)`, `(n_members, n)`."""
        first, bias = self._prepared
        hidden = _silu(A @ first + bias)
        hidden = hidden.reshape(len(A), self.n_members, self.weights[0].shape[2]).transpose(1, 0, 2)
        last = len(self.weights) - 1
        for layer in range(1, last + 1):
            hidden = hidden @ self.weights[layer]
            hidden += self.biases[layer]
            if layer < last:
                hidden = _silu(hidden)
        return np.asarray(hidden[..., 0] * self.scale + self.constant)

    @cached_property
    def _prepared(self) -> tuple[Floats, Floats]:
        """Weights and biases of all first layers, which share the input, side by side."""
        n_in = self.weights[0].shape[1]
        weights = self.weights[0].transpose(1, 0, 2).reshape(n_in, -1)
        return weights, self.biases[0].reshape(1, -1)


def fit(A: Floats, y: Floats, keeps: NDArray[np.bool_], *, seed: int) -> MlpEnsemble:
    """Fit one perceptron per row of `keeps` to the samples that the row marks.

    Mean squared error, AdamW with strong weight decay on the weights, the learning rate falling
    to 0 on a cosine. All members are trained at once; only their samples and their starting
    weights differ.

    Args:
        A: Inputs `(n, d)`.
        y: Targets `(n,)`.
        keeps: Which samples each member sees, `(n_members, n)`.
        seed: Repeats the result on the same machine.
    """
    import torch
    from torch.nn.functional import silu

    constant, scale = float(y.mean()), float(y.std()) or 1.0
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.from_numpy(np.asarray(A, dtype=np.float32))
    targets = torch.from_numpy(((y - constant) / scale).astype(np.float32))
    kept = torch.from_numpy(keeps.astype(np.float32))
    n_members = len(keeps)
    sizes = [A.shape[1], N_HIDDEN, N_HIDDEN, 1]
    weights, biases = [], []
    for n_in, n_out in pairwise(sizes):
        start = torch.randn(n_members, n_in, n_out, generator=generator) / n_in**0.5
        weights.append(start.requires_grad_())
        biases.append(torch.zeros(n_members, 1, n_out, requires_grad=True))
    optimizer = torch.optim.AdamW(
        [
            {"params": weights, "weight_decay": WEIGHT_DECAY},
            {"params": biases, "weight_decay": 0.0},
        ],
        lr=LEARNING_RATE,
        betas=(0.9, 0.99),
    )
    for step in range(N_STEPS):
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * 0.5 * (1 + np.cos(np.pi * step / N_STEPS))
        x, t, mask = inputs, targets, kept
        if len(y) > BATCH:
            rows = torch.randint(len(y), (BATCH,), generator=generator)
            x, t, mask = inputs[rows], targets[rows], kept[:, rows]
        hidden = x.expand(n_members, -1, -1)
        for layer, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            hidden = torch.baddbmm(bias, silu(hidden) if layer else hidden, weight)
        errors = (hidden[..., 0] - t) ** 2 * mask
        loss = (errors.sum(dim=1) / mask.sum(dim=1).clamp_min(1)).sum()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return MlpEnsemble(
        weights=tuple(w.detach().numpy() for w in weights),
        biases=tuple(b.detach().numpy() for b in biases),
        constant=constant,
        scale=scale,
    )


def _silu(x: Floats) -> Floats:
    """Sigmoid-weighted x, by tanh, which neither overflows nor warns for large arguments."""
    gate = 0.5 * x
    np.tanh(gate, out=gate)
    gate += 1
    gate *= x
    gate *= 0.5
    return gate
