from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import predictors
import search_spaces
from predictors import COST_COLUMNS, cost_arrays, costs
from tests.search_spaces.strategies import spaces_with_genomes

SCALARS = {
    "macs": predictors.macs,
    "bitops": predictors.bitops,
    "gbitops": lambda space, subnet: predictors.bitops(space, subnet) / 1e9,
    "mflops": predictors.mflops,
    "params": predictors.params,
    "size_kb": lambda space, subnet: predictors.size_bytes(space, subnet) / 1000,
    "activation_kb": lambda space, subnet: predictors.activation_bytes(space, subnet) / 1000,
    "flash_kb": lambda space, subnet: _in_kb(predictors.flash_bytes, space, subnet),
    "ram_kb": lambda space, subnet: _in_kb(predictors.ram_bytes, space, subnet),
}


def _in_kb(scalar, space, subnet):
    """NaN where a layer in floating point has no form in C."""
    try:
        return scalar(space, subnet) / 1000
    except ValueError:
        return np.nan


def _assert_equal_to_scalars(space, X):
    table = cost_arrays(space, X)
    for name, scalar in SCALARS.items():
        expected = [scalar(space, space.layout.decode(x)) for x in X]
        assert np.array_equal(table[name], expected, equal_nan=True), name


@given(spaces_with_genomes(n=3))
def test_costs_of_a_batch_equal_those_of_every_subnet(drawn):
    _assert_equal_to_scalars(*drawn)


@pytest.mark.parametrize("name", search_spaces.BUILT_IN)
def test_costs_of_a_batch_equal_those_of_every_subnet_of_a_built_in_space(name):
    layout = search_spaces.load(name).layout
    X = np.random.default_rng(0).integers(layout.n_choices, size=(10, layout.n_genes))
    X = np.concatenate([X, [layout.lowest(), layout.highest()]])
    _assert_equal_to_scalars(search_spaces.load(name), X)


@given(spaces_with_genomes(n=3), st.data())
def test_no_cost_falls_when_a_gene_rises(drawn, data):
    space, X = drawn
    layout = space.layout
    gene = data.draw(st.integers(0, layout.n_genes - 1))
    raised = X.copy()
    raised[:, gene] = np.minimum(X[:, gene] + 1, layout.n_choices[gene] - 1)
    is_bits = layout.genes[gene].name.endswith("_bits")
    if is_bits and 32 in layout.values(raised)[:, gene]:
        return  # floating point drops a quantizer, and counts as 8 bits
    before, after = cost_arrays(space, X), cost_arrays(space, raised)
    for name in COST_COLUMNS:
        assert not (after[name] < before[name]).any(), (name, layout.genes[gene])


@given(spaces_with_genomes())
def test_silent_genes_cost_nothing(drawn):
    space, X = drawn
    full, canonical = cost_arrays(space, X), cost_arrays(space, space.layout.canonicalize(X))
    for name in COST_COLUMNS:
        assert np.array_equal(full[name], canonical[name], equal_nan=True)


def test_costs_is_a_frame_with_one_row_per_genome(toy_space):
    X = toy_space.layout.sample(np.random.default_rng(0), 7)
    table = costs(toy_space, X)
    assert tuple(table.columns) == COST_COLUMNS
    assert len(table) == 7
    assert table["macs"].dtype == table["params"].dtype == np.int64


def test_only_the_columns_asked_for_come_back_in_that_order(toy_space):
    X = toy_space.layout.sample(np.random.default_rng(0), 3)
    table = cost_arrays(toy_space, X, ["size_kb", "macs"])
    assert list(table) == ["size_kb", "macs"]
    assert np.array_equal(table["macs"], cost_arrays(toy_space, X)["macs"])


def test_no_genomes_cost_nothing(toy_space):
    X = np.empty((0, toy_space.layout.n_genes), dtype=np.int64)
    assert costs(toy_space, X).shape == (0, len(COST_COLUMNS))


def test_large_batches_are_cut_without_a_seam(toy_space):
    X = toy_space.layout.sample(np.random.default_rng(0), 5000)
    table = cost_arrays(toy_space, X)
    for part in (slice(2040, 2060), slice(4990, 5000)):
        assert np.array_equal(table["bitops"][part], cost_arrays(toy_space, X[part])["bitops"])


def test_an_unknown_column_lists_the_known_ones(toy_space):
    with pytest.raises(ValueError, match=r"unknown cost columns \['flops'\]; known are macs, "):
        costs(toy_space, toy_space.layout.lowest()[None], ["flops"])


def test_genomes_of_another_space_are_refused(toy_space):
    foreign = search_spaces.load("fashion-mnist").layout.lowest()[None]
    with pytest.raises(ValueError, match="expected genomes of shape"):
        costs(toy_space, foreign)


def test_spaces_without_a_published_table_have_no_published_cost(toy_space):
    assert toy_space.table_widths is None
    column = cost_arrays(toy_space, toy_space.layout.lowest()[None], ["published_mflops"])
    assert np.isnan(column["published_mflops"]).all()


def test_a_float_copy_of_a_space_has_the_same_macs(toy_space):
    in_float = replace(toy_space, bit_choices=())
    X = toy_space.layout.sample(np.random.default_rng(0), 20)
    floats = X[:, : in_float.layout.n_genes]
    assert np.array_equal(cost_arrays(toy_space, X)["macs"], cost_arrays(in_float, floats)["macs"])


def test_macs_and_params_of_float_subnets_equal_the_published_ones(imagenet_samples):
    space, X, rows = imagenet_samples
    table = cost_arrays(space, X, ["macs", "params"])
    assert np.array_equal(table["macs"], rows["macs"])
    assert np.array_equal(table["params"], rows["params"])
