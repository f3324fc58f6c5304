from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given

import search_spaces
from search_spaces import FLOAT, LayerBits
from tests.search_spaces.strategies import spaces_with_genomes


@given(spaces_with_genomes())
def test_decode_inverts_encode_for_every_subnet(drawn):
    space, X = drawn
    for x in X:
        subnet = space.layout.decode(x)
        assert space.layout.decode(space.layout.encode(subnet)) == subnet


@given(spaces_with_genomes())
def test_encode_gives_the_canonical_genome(drawn):
    space, X = drawn
    encoded = [space.layout.encode(space.layout.decode(x)) for x in X]
    assert np.array_equal(encoded, space.layout.canonicalize(X))


@given(spaces_with_genomes())
def test_canonicalize_is_idempotent_and_changes_no_subnet(drawn):
    space, X = drawn
    canonical = space.layout.canonicalize(X)
    assert np.array_equal(space.layout.canonicalize(canonical), canonical)
    assert [space.layout.decode(x) for x in canonical] == [space.layout.decode(x) for x in X]


@given(spaces_with_genomes())
def test_changing_silent_genes_changes_no_subnet(drawn):
    space, X = drawn
    layout = space.layout
    turned = np.where(layout.silent(X), layout.n_choices - 1 - X, X)
    assert [layout.decode(x) for x in turned] == [layout.decode(x) for x in X]


@given(spaces_with_genomes())
def test_from_published_inverts_to_published(drawn):
    space, X = drawn
    assert np.array_equal(space.layout.from_published(space.layout.to_published(X)), X)


def test_canonicalize_takes_one_genome_as_well_as_a_batch(toy_space):
    layout = toy_space.layout
    highest = layout.n_choices - 1
    assert np.array_equal(layout.canonicalize(highest), layout.canonicalize(highest[None])[0])


@pytest.mark.parametrize(
    ("name", "n_genes"),
    [("mobilenet-v3-w1.2", 176), ("mobilenet-v3-w1.0", 176), ("ofa-mobilenet-v3-w1.0", 46)],
)
def test_published_spaces_have_the_published_number_of_genes(name, n_genes):
    assert search_spaces.load(name).layout.n_genes == n_genes


def test_groups_follow_the_published_order():
    groups = search_spaces.load("mobilenet-v3-w1.2").layout.groups
    assert {name: (g.start, g.stop) for name, g in groups.items()} == {
        "kernel_size": (0, 20),
        "expand_ratio": (20, 40),
        "depth": (40, 45),
        "resolution": (45, 46),
        "first_block_bits": (46, 52),
        "block_bits": (52, 172),
        "head_bits": (172, 176),
    }


def test_an_unknown_published_value_names_gene_and_choices():
    layout = search_spaces.load("mobilenet-v3-w1.2").layout
    values = layout.to_published(layout.lowest()[None])
    values[0, 21] = 5
    with pytest.raises(ValueError, match=r"expand_ratio_1 must be one of \(3, 4, 6\), got 5"):
        layout.from_published(values)


def test_published_genes_of_another_length_are_refused():
    layout = search_spaces.load("ofa-mobilenet-v3-w1.0").layout
    with pytest.raises(ValueError, match=r"shape \(n, 46\), got \(1, 176\)"):
        layout.from_published(np.full((1, 176), 3))


@pytest.mark.parametrize("value", [-1, 2, 2**40])
def test_an_index_out_of_range_names_gene_and_genome(toy_space, value):
    X = np.zeros((2, toy_space.layout.n_genes), dtype=np.int64)
    X[1, 0] = value
    with pytest.raises(ValueError, match=f"kernel_size_0 of genome 1 .* below 2, got {value}"):
        toy_space.layout.check(X)


def test_genomes_that_are_no_integers_are_refused(toy_space):
    with pytest.raises(ValueError, match="integer genomes, got dtype float64"):
        toy_space.layout.check(np.zeros((1, toy_space.layout.n_genes)))


def test_one_genome_where_a_batch_is_expected_is_refused(toy_space):
    with pytest.raises(ValueError, match="expected genomes of shape"):
        toy_space.layout.check(toy_space.layout.lowest())


def test_contains_marks_rows_and_refuses_other_lengths(toy_space):
    layout = toy_space.layout
    X = np.stack([layout.lowest(), layout.lowest() - 1, layout.highest()])
    assert layout.contains(X).tolist() == [True, False, True]
    assert not layout.contains(X[:, :-1]).any()


def test_encode_names_the_bits_that_a_space_does_not_have(toy_space):
    subnet = replace(toy_space.smallest(), head=(LayerBits(8, 2), LayerBits(2, 2)))
    with pytest.raises(ValueError, match=r"head_final_expand_w_bits must be one of \(2, 3, 4\)"):
        toy_space.layout.encode(subnet)


def test_encode_refuses_bits_in_a_float_space():
    space = search_spaces.load("ofa-mobilenet-v3-w1.0")
    subnet = replace(space.smallest(), head=(LayerBits(4, 4), FLOAT))
    with pytest.raises(ValueError, match="all bits must be 32"):
        space.layout.encode(subnet)


def test_encode_names_the_depth_of_a_stage_that_is_too_deep(toy_space):
    subnet = toy_space.largest()
    block = subnet.stages[0][0]
    deep = replace(subnet, stages=((block,) * 3, subnet.stages[1]))
    with pytest.raises(ValueError, match=r"depth_0 must be one of \(1, 2\), got 3"):
        toy_space.layout.encode(deep)


def test_samples_are_canonical_members_and_repeat_with_the_seed(toy_space):
    layout = toy_space.layout
    X = layout.sample(np.random.default_rng(3), 100)
    assert layout.contains(X).all()
    assert np.array_equal(layout.canonicalize(X), X)
    assert np.array_equal(layout.sample(np.random.default_rng(3), 100), X)
