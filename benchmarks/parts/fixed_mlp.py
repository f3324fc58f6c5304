"""A predictor of the published size with random weights that never change."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from predictors import features, n_features
from search_spaces import SearchSpace
from search_spaces.genome import Genomes

N_HIDDEN = 600


class FixedMlp:
    """Three hidden layers of 600; it ranks subnets somehow, at the published cost.

    Attributes:
        space: Space of the genomes.
        weights: One matrix per layer, float32.
    """

    def __init__(self, space: SearchSpace, seed: int = 0) -> None:
        """Draw the weights."""
        self.space = space
        rng = np.random.default_rng(seed)
        sizes = [n_features(space), N_HIDDEN, N_HIDDEN, N_HIDDEN, 1]
        self.weights = [
            rng.normal(0, (2 / n_in) ** 0.5, (n_in, n_out)).astype(np.float32)
            for n_in, n_out in pairwise(sizes)
        ]

    def predict(self, X: Genomes) -> NDArray[np.float32]:
        """Something between minus and plus a few units for genomes `(n, n_genes)`, `(n,)`."""
        hidden = features(self.space, X)
        for weight in self.weights[:-1]:
            hidden = np.maximum(hidden @ weight, 0)
        return np.asarray((hidden @ self.weights[-1])[:, 0])
