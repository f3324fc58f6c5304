from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from pymoo.core.population import Population

import search_spaces
from qfa_search.evolution.operators import GeneMutation, UniformExchange, mates, mutate, tournament
from qfa_search.evolution.seen import SeenGenomes, genome_keys

SPACE = search_spaces.load("fashion-mnist")


@given(st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_mutants_are_canonical_genomes_of_the_space(seed, prob):
    layout = SPACE.layout
    rng = np.random.default_rng(seed)
    mutated = mutate(layout, layout.sample(rng, 8), prob, rng)
    assert layout.contains(mutated).all()
    assert np.array_equal(mutated, layout.canonicalize(mutated))
    assert mutated.dtype == np.int64


def test_mutation_with_probability_one_changes_every_gene_that_has_a_choice():
    layout = SPACE.layout
    rng = np.random.default_rng(0)
    X = np.tile(layout.n_choices - 1, (50, 1))
    X[:, layout.groups["kernel_size"]] = 0
    mutated = mutate(layout, X, 1.0, rng)
    changed = (mutated != X) | layout.silent(mutated)
    assert changed[:, layout.n_choices > 1].all()


def test_mutation_reaches_every_other_choice(toy_space):
    layout = search_spaces.load("mobilenet-v3-w1.2").layout
    resolution = layout.groups["resolution"].start
    X = np.tile(layout.lowest(), (4000, 1))
    found = mutate(layout, X, 1.0, np.random.default_rng(0))[:, resolution]
    assert set(found) == set(range(1, layout.n_choices[resolution]))
    assert (found == 1).mean() > 0.4


def test_mutation_with_probability_zero_changes_nothing(toy_space):
    X = toy_space.layout.sample(np.random.default_rng(0), 20)
    assert np.array_equal(mutate(toy_space.layout, X, 0.0, np.random.default_rng(1)), X)


def test_exchange_keeps_the_genes_of_both_parents(toy_space):
    rng = np.random.default_rng(0)
    parents = np.stack([toy_space.layout.sample(rng, 30), toy_space.layout.sample(rng, 30)])
    children = UniformExchange(0.5)._do(None, parents, random_state=rng)
    assert np.array_equal(np.sort(children, axis=0), np.sort(parents, axis=0))
    assert not np.array_equal(children, parents)
    assert children.dtype == np.int64


def test_operators_serve_pymoos_own_populations_with_integers(toy_space):
    from qfa_search.evolution.config import SearchConfig
    from qfa_search.evolution.problem import SubnetProblem

    problem = SubnetProblem(toy_space, None, None, SearchConfig())
    rng = np.random.default_rng(0)
    population = Population.new(X=toy_space.layout.sample(rng, 10))
    parents = np.arange(10).reshape(5, 2)
    children = UniformExchange(0.5).do(problem, population, parents, random_state=rng)
    children = GeneMutation(toy_space.layout, 0.3).do(problem, children, random_state=rng)
    X = children.get("X")
    assert X.dtype == np.int64
    assert toy_space.layout.contains(X).all()
    assert len(SeenGenomes().do(Population.merge(children, children))) <= 10


def test_a_genome_is_new_only_once():
    X = np.array([[0, 1], [0, 1], [2, 300], [0, 1]])
    seen = SeenGenomes()
    assert seen.mark_new(X).tolist() == [True, False, True, False]
    assert seen.mark_new(X[::-1]).tolist() == [False] * 4


@given(st.lists(st.lists(st.integers(0, 600), min_size=3, max_size=3), min_size=1, max_size=20))
def test_keys_are_equal_exactly_for_equal_genomes(rows):
    keys = genome_keys(np.array(rows))
    assert len(set(keys)) == len({tuple(row) for row in rows})


def test_tournaments_prefer_rank_then_crowding():
    rank = np.array([0, 1, 1, 2])
    crowding = np.array([0.0, np.inf, 1.0, np.inf])
    winners = tournament(rank, crowding, 4000, np.random.default_rng(0))
    share = np.bincount(winners, minlength=4) / len(winners)
    assert share[0] > share[1] > share[2] > share[3] == 0


def test_mates_lie_close_together_along_an_objective():
    rng = np.random.default_rng(0)
    F = np.column_stack([np.arange(100.0), -np.arange(100.0)])
    parents = rng.permutation(100)[:60]
    first, second = mates(F, parents, rng)
    assert sorted([*first, *second]) == sorted(parents)
    place = {member: i for i, member in enumerate(sorted(parents))}
    assert {abs(place[a] - place[b]) for a, b in zip(first, second, strict=True)} == {2}


def test_a_member_that_is_a_parent_twice_does_not_mate_with_itself():
    rng = np.random.default_rng(0)
    first, second = mates(rng.random((50, 3)), rng.permutation(np.arange(50).repeat(2)), rng)
    assert (first != second).all()
