from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import search_spaces
from predictors import cost_arrays
from qfa_search.evolution.initial import cheapest_genome, initial_population, uniform_precision
from qfa_search.evolution.seen import genome_keys

SPACE = search_spaces.load("fashion-mnist")


@pytest.mark.parametrize("name", search_spaces.BUILT_IN)
def test_no_subnet_costs_less_than_the_lowest_genome(name):
    space = search_spaces.load(name)
    least = cost_arrays(space, space.layout.lowest()[None])
    rng = np.random.default_rng(0)
    # Genomes close to the lowest are where a cost could fall.
    X = np.where(
        rng.random((3000, space.layout.n_genes)) < 0.1, rng.integers(space.layout.n_choices), 0
    )
    costs = cost_arrays(space, np.concatenate([X, space.layout.sample(rng, 1000)]))
    for column, values in costs.items():
        if not np.isnan(values).all():
            assert values.min() >= least[column][0]


@settings(deadline=None, max_examples=20)
@given(st.floats(0.0, 1.0), st.integers(0, 1000))
def test_every_start_genome_is_different_canonical_and_affordable(share, seed):
    layout = SPACE.layout
    ends = cost_arrays(SPACE, np.stack([layout.lowest(), layout.highest()]), ["mflops"])["mflops"]
    limit = ends[0] + share * (ends[1] - ends[0])

    def is_affordable(X):
        return cost_arrays(SPACE, X, ["mflops"])["mflops"] <= limit

    rng = np.random.default_rng(seed)
    X = initial_population(layout, rng, 60, is_affordable, layout.lowest())
    assert 1 <= len(X) <= 60
    assert is_affordable(X).all()
    assert np.array_equal(X, layout.canonicalize(X))
    assert len(set(genome_keys(X))) == len(X)
    assert share < 0.05 or len(X) == 60


def test_given_genomes_come_first_and_those_over_the_limit_are_left_out():
    layout = SPACE.layout
    rng = np.random.default_rng(0)
    given_genomes = layout.sample(rng, 10)
    fits = np.arange(10) % 2 == 0
    allowed = set(genome_keys(given_genomes[fits]))

    def is_affordable(X):
        return np.array(
            [key in allowed or not x.any() for key, x in zip(genome_keys(X), X, strict=True)]
        )

    X = initial_population(layout, rng, 3, is_affordable, layout.lowest(), given_genomes)
    assert np.array_equal(X, given_genomes[fits])


def test_uniform_precision_takes_the_bits_of_both_sides():
    layout = replace(SPACE, w_bit_choices=(2, 4, 8), a_bit_choices=(4, 8)).layout
    found = set()
    for x in uniform_precision(layout, np.random.default_rng(0), 12):
        found |= {bits for bits in layout.decode(x).head}
    assert found == set(layout.uniform_bits)


def test_uniform_precision_has_one_bit_width_per_genome():
    layout = SPACE.layout
    X = uniform_precision(layout, np.random.default_rng(0), 60)
    bits = [layout.groups[g] for g in layout.groups if g.endswith("_bits")]
    active = ~layout.silent(X)
    widths = set()
    for x, on in zip(X, active, strict=True):
        used = {int(v) for group in bits for v in x[group][on[group]]}
        assert len(used) == 1
        widths |= used
    assert widths == {0, 1, 2}
    assert (
        len(
            uniform_precision(
                search_spaces.load("ofa-mobilenet-v3-w1.0").layout, np.random.default_rng(0), 8
            )
        )
        == 8
    )


def test_the_cheapest_genome_is_found_where_a_larger_choice_costs_less(toy_space):
    layout = toy_space.layout
    resolution = layout.groups["resolution"].start

    def violation(X):
        return np.maximum(3.0 - X[:, resolution] - 2 * X[:, 0], 0)

    found = cheapest_genome(layout, violation)
    assert violation(found[None])[0] == 0
    assert found.sum() == 2


def test_the_cheapest_genome_stops_where_nothing_helps(toy_space):
    found = cheapest_genome(toy_space.layout, lambda X: np.ones(len(X)))
    assert np.array_equal(found, toy_space.layout.lowest())
