"""A front of the toy space with everything that a page can show, and names that attack it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from predictors import cost_arrays
from qfa_search.front.front import ParetoFront
from qfa_search.front.objectives import Limits
from qfa_search.measuring.samples import Samples, Setting

HOSTILE = "</script><img src=x onerror=alert(1)>\"'&$title"


@pytest.fixture
def samples(toy_space) -> Samples:
    X = toy_space.layout.sample(np.random.default_rng(1), 30)
    frame = pd.DataFrame({"top1": np.linspace(60, 80, 30), **cost_arrays(toy_space, X)})
    setting = Setting(supernet="0123456789abcdef", split="val", recalibration="2x8")
    return Samples(toy_space, setting, X, frame)


@pytest.fixture
def front(toy_space) -> ParetoFront:
    """Twelve members, of which every other one was measured."""
    X = np.unique(toy_space.layout.sample(np.random.default_rng(0), 12), axis=0)
    costs = cost_arrays(toy_space, X)
    X = X[np.argsort(costs["mflops"])]
    measured = np.where(np.arange(12) % 2 == 0, np.linspace(69, 83, 12), np.nan)
    by_class = np.where(np.isnan(measured)[:, None], np.nan, [[60.0, 70, 80, 90]])
    return ParetoFront(
        space=toy_space,
        X=X,
        costs=cost_arrays(toy_space, X),
        top1_predicted=np.linspace(70, 82, 12),
        top1_spread=np.full(12, 0.5),
        top1_measured=measured,
        limits=Limits(max_mflops=0.5, min_top1=50),
        seed=3,
        supernet="runs/it's here",
        supernet_digest="0123456789abcdef",
        predictor_scores={"kendall_tau": 0.9, "rmse": 0.5, "n_test": 30},
        settings={"population": 24, "mutation_prob": 0.05},
        hypervolumes=np.array([0.25, 0.5, 0.625]),
        class_names=("ant", "bee", "cat", HOSTILE),
        class_top1=by_class,
    )
