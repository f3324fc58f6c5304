"""A front of the toy space whose members do not beat each other."""

from __future__ import annotations

import numpy as np
import pytest

from predictors import cost_arrays
from qfa_search.front.front import ParetoFront


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
