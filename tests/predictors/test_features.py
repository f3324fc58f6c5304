import numpy as np
import pytest
from hypothesis import given

import search_spaces
from predictors import features, n_features
from tests.reference import check_files
from tests.search_spaces.strategies import spaces_with_genomes


def _by_hand(space, x):
    """Features of one genome, gene by gene."""
    layout = space.layout
    values = layout.values(x)
    depths = values[layout.groups["depth"]]
    exists = layout.block_position < depths[layout.block_stage]
    row = []
    for i, gene in enumerate(layout.genes):
        kind, *_ = (name for name, group in layout.groups.items() if group.start <= i < group.stop)
        group = layout.groups[kind]
        if kind == "depth":
            n_blocks = space.stages[i - group.start].n_blocks
            row += [float(j < values[i]) for j in range(n_blocks)]
            continue
        hot = [float(values[i] == choice) for choice in gene.choices]
        per_block = {"kernel_size": 1, "expand_ratio": 1, "block_bits": 6}.get(kind)
        if per_block and not exists[(i - group.start) // per_block]:
            hot = [0.0] * len(hot)
        row += hot
    return row


@given(spaces_with_genomes(n=3))
def test_features_are_those_written_gene_by_gene(drawn):
    space, X = drawn
    found = features(space, X)
    assert found.dtype == np.float32
    assert found.shape == (len(X), n_features(space))
    assert found.tolist() == [_by_hand(space, x) for x in X]


@pytest.mark.parametrize("path", check_files("reference/encoding_cases.npz"))
def test_features_equal_the_published_encoding(path):
    cases = np.load(path)
    space = search_spaces.load("mobilenet-v3-w1.2")
    found = features(space, space.layout.from_published(cases["genes"].astype(int)))
    assert np.array_equal(found, cases["onehot"])


@pytest.mark.parametrize(
    ("name", "n"), [("mobilenet-v3-w1.2", 555), ("ofa-mobilenet-v3-w1.0", 60 + 60 + 20 + 1)]
)
def test_published_spaces_have_the_published_width(name, n):
    assert n_features(search_spaces.load(name)) == n


def test_different_networks_have_different_features(toy_space):
    X = np.unique(toy_space.layout.sample(np.random.default_rng(0), 2000), axis=0)
    assert len(np.unique(features(toy_space, X), axis=0)) == len(X)


def test_large_batches_are_cut_without_a_seam(toy_space):
    X = toy_space.layout.sample(np.random.default_rng(0), 2100)
    assert np.array_equal(features(toy_space, X)[1020:1030], features(toy_space, X[1020:1030]))


def test_genomes_of_another_space_are_refused(toy_space):
    with pytest.raises(ValueError, match="expected genomes of shape"):
        features(toy_space, np.zeros((1, 3), dtype=np.int64))
