from __future__ import annotations

import numpy as np
import pytest

from predictors import cost_arrays
from qfa_search.errors import QFAError
from qfa_search.evolution.config import SearchConfig
from qfa_search.evolution.problem import SubnetProblem, predict_top1
from qfa_search.front.objectives import Limits


def make_problem(predictor, **settings):
    space = predictor.space
    return SubnetProblem(
        space,
        predictor,
        lambda X, columns: cost_arrays(space, X, columns),
        SearchConfig(**settings),
    )


def test_objectives_are_minimized_in_the_order_asked_for(predictor):
    problem = make_problem(predictor, objectives=("size_kb", "top1", "mflops"))
    X = predictor.space.layout.sample(np.random.default_rng(0), 9)
    F = problem.evaluate(X, return_values_of=["F"])
    costs = cost_arrays(predictor.space, X)
    assert np.array_equal(F[:, 0], costs["size_kb"])
    assert np.array_equal(F[:, 1], -predictor.predict(X))
    assert np.array_equal(F[:, 2], costs["mflops"])


def test_a_limit_one_ulp_below_the_cost_is_violated_and_at_the_cost_it_holds(predictor):
    X = predictor.space.layout.sample(np.random.default_rng(0), 40)
    for column in ("mflops", "size_kb", "activation_kb", "gbitops"):
        for x, cost in zip(X, cost_arrays(predictor.space, X)[column], strict=True):
            for limit, fits in ((cost, True), (np.nextafter(cost, 0), False)):
                problem = make_problem(predictor, limits=Limits(**{f"max_{column}": limit}))
                G = problem.evaluate(x[None], return_values_of=["G"])
                assert bool(G[0, 0] <= 0) == fits


def test_min_top1_is_a_constraint_as_exact_as_the_others(predictor):
    X = predictor.space.layout.sample(np.random.default_rng(0), 5)
    top1 = predictor.predict(X)[2]
    for floor, fits in ((top1, True), (np.nextafter(top1, 100), False)):
        problem = make_problem(predictor, limits=Limits(min_top1=floor))
        assert bool(problem.evaluate(X, return_values_of=["G"])[2, 0] <= 0) == fits


def test_floating_point_genomes_are_a_bug(predictor):
    X = predictor.space.layout.sample(np.random.default_rng(0), 5).astype(float)
    with pytest.raises(AssertionError, match="float64"):
        make_problem(predictor).evaluate(X)


def test_silent_genes_change_nothing(predictor):
    layout = predictor.space.layout
    X = layout.sample(np.random.default_rng(0), 50)
    noisy = np.where(layout.silent(X), layout.n_choices - 1, X)
    assert not np.array_equal(noisy, X)
    problem = make_problem(predictor, limits=Limits(max_mflops=1))
    for a, b in zip(
        problem.evaluate(X, return_values_of=["F", "G"]),
        problem.evaluate(noisy, return_values_of=["F", "G"]),
        strict=True,
    ):
        assert np.array_equal(a, b)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_predictor_that_returns_no_numbers_is_an_error(predictor, value):
    predictor.predict = lambda X: np.full(len(X), value)
    with pytest.raises(QFAError, match="3 of 3 genomes"):
        predict_top1(predictor, np.zeros((3, predictor.space.layout.n_genes), dtype=np.int64))


def test_a_predictor_of_another_shape_is_an_error(predictor):
    predictor.predict = lambda X: np.zeros((len(X), 1))
    with pytest.raises(QFAError, match=r"\(3,\)"):
        predict_top1(predictor, np.zeros((3, predictor.space.layout.n_genes), dtype=np.int64))
