import numpy as np
import pytest
from hypothesis import given, settings

import search_spaces
from predictors import features, n_features
from predictors.descriptors import descriptor_groups, descriptors_of
from tests.search_spaces.strategies import spaces_with_genomes


@settings(max_examples=15)
@given(spaces_with_genomes(n=3))
def test_groups_cover_every_column_once(drawn):
    space, X = drawn
    columns = descriptors_of(space)(space.layout.canonicalize(X)).shape[1]
    covered = [i for group in descriptor_groups(space).values() for i in range(columns)[group]]
    assert covered == list(range(columns))


@pytest.mark.parametrize("name", ["fashion-mnist", "ofa-mobilenet-v3-w1.0"])
def test_descriptors_of_random_genomes_are_centred_and_the_sums_scaled(name):
    space = search_spaces.load(name)
    A = descriptors_of(space)(space.layout.sample(np.random.default_rng(9), 3000))
    assert np.abs(A.mean(axis=0)).max() < 0.15
    groups = descriptor_groups(space)
    sums = A[:, groups["network"].start :].std(axis=0)
    assert ((sums < 1e-6) | ((sums > 0.9) & (sums < 1.1))).all()


def test_descriptors_hold_every_feature(toy_space):
    X = toy_space.layout.sample(np.random.default_rng(0), 50)
    descriptors = descriptors_of(toy_space)
    onehot = (descriptors(X) + descriptors.centre)[:, : n_features(toy_space)]
    assert np.array_equal(
        np.sort(onehot.round().sum(axis=0)), np.sort(features(toy_space, X).sum(axis=0))
    )


def test_a_float_space_has_no_bit_groups():
    groups = descriptor_groups(search_spaces.load("ofa-mobilenet-v3-w1.0"))
    assert not {"w_bits", "a_bits"} & set(groups)
