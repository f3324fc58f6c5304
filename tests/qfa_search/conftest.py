"""A predictor that needs no fitting, and files as training leaves them."""

from __future__ import annotations

import numpy as np
import pytest

import predictors
from predictors import cost_arrays
from qfa_search.front.front import ParetoFront
from search_spaces import SearchSpace


class FormulaPredictor:
    """Accuracy that rises with every choice, each gene by its own amount."""

    def __init__(self, space: SearchSpace, seed: int = 0) -> None:
        self.space = space
        rng = np.random.default_rng(seed)
        self.gain = rng.gamma(1.0, 1.0, space.layout.n_genes)
        self.quirks = rng.normal(0, 0.3, predictors.n_features(space))

    def predict(self, X):
        layout = self.space.layout
        share = np.sqrt(X / np.maximum(layout.n_choices - 1, 1)) * ~layout.silent(X)
        quality = (share * self.gain).sum(axis=1) / self.gain.sum()
        quirks = predictors.features(self.space, X).astype(np.float64) @ self.quirks
        return 70 + 20 * (1 - np.exp(-3 * quality)) + 0.3 * quirks


class SpreadPredictor(FormulaPredictor):
    """One that also knows how sure it is, and how good."""

    report = {"kendall_tau": 0.9, "n_samples": 100}  # noqa: RUF012

    def predict_with_spread(self, X):
        return self.predict(X), np.full(len(X), 0.25)


@pytest.fixture
def predictor(toy_space) -> FormulaPredictor:
    return FormulaPredictor(toy_space)


@pytest.fixture
def spread_predictor(toy_space) -> SpreadPredictor:
    return SpreadPredictor(toy_space)


@pytest.fixture
def rising_front(toy_space) -> ParetoFront:
    """Twelve members, the more accurate the dearer."""
    X = toy_space.layout.sample(np.random.default_rng(0), 12)
    X = X[np.argsort(cost_arrays(toy_space, X)["mflops"])]
    return ParetoFront(
        space=toy_space,
        X=X,
        costs=cost_arrays(toy_space, X),
        top1_predicted=np.linspace(80, 90, 12),
        top1_spread=np.full(12, np.nan),
        top1_measured=np.full(12, np.nan),
        supernet="toy",
        supernet_digest="0123456789abcdef",
        predictor_scores={"kendall_tau": 0.9},
    )
