from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from pymoo.core.individual import Individual
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.operators.survival.rank_and_crowding import RankAndCrowding

from qfa_search.evolution.loop import Archive, survivors
from qfa_search.front.dominance import non_dominated_mask


def batch(X, F, G):
    return X, {"F": F, "G": G, "CV": np.maximum(G, 0).sum(axis=1, keepdims=True)}


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_the_archive_is_the_front_of_everything_that_it_was_shown(seed, n_batches):
    rng = np.random.default_rng(seed)
    n = 20 * n_batches
    X = np.arange(n)[:, None]
    F = rng.integers(0, 12, (n, 2)).astype(float)
    G = rng.normal(0, 1, (n, 1))
    archive = Archive(1, 2)
    for part in np.split(np.arange(n), n_batches):
        archive.add(*batch(X[part], F[part], G[part]))
    feasible = np.flatnonzero(G[:, 0] <= 0)
    assert np.array_equal(archive.X[:, 0], feasible[non_dominated_mask(F[feasible])])
    assert archive.n_evaluated == n


def test_the_archive_remembers_how_near_the_last_constraint_came():
    archive = Archive(1, 2)
    G = np.array([[-1.0, 0.3], [1.0, 0.1], [0.0, 0.2]])
    archive.add(*batch(np.arange(3)[:, None], np.zeros((3, 2)), G))
    assert len(archive.X) == 0
    assert archive.least_shortfall == 0.2


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30))
def test_survivors_are_those_of_pymoo(seed, n):
    rng = np.random.default_rng(seed)
    F = rng.random((30, 2))
    CV = np.maximum(rng.normal(0, 1, 30), 0)
    X = np.arange(30)[:, None]
    ours = survivors(X, F, CV, n)

    members = [Individual(X=x, F=f, G=np.array([c])) for x, f, c in zip(X, F, CV, strict=True)]
    problem = Problem(n_var=1, n_obj=2, n_ieq_constr=1)
    theirs = RankAndCrowding().do(
        problem, Population.create(*members), n_survive=n, random_state=np.random.default_rng(0)
    )
    # Of equal crowding distances (both ends of a rank) pymoo keeps either at random.
    kept = theirs.get("X")[:, 0]
    assert sorted(ours.CV) == sorted(CV[kept])
    feasible = CV[kept] <= 0
    assert sorted(ours.rank[ours.CV <= 0]) == sorted(theirs.get("rank")[feasible])
    assert sorted(ours.crowding[ours.CV <= 0]) == sorted(theirs.get("crowding")[feasible])
