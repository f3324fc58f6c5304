import numpy as np
import pytest

import search_spaces
from predictors import cost_arrays
from predictors.published_costs import published_table
from tests.reference import check_files


@pytest.fixture(scope="module")
def space():
    return search_spaces.load("mobilenet-v3-w1.2")


def _published(space, X):
    return cost_arrays(space, X, ["published_mflops"])["published_mflops"]


def test_the_extremes_are_the_published_ones(space):
    ends = np.stack([space.layout.lowest(), space.layout.highest()])
    assert _published(space, ends) == pytest.approx([8.35721219, 207.99243450], abs=1e-8)


@pytest.mark.parametrize("path", check_files("reference/cost_cases.npz"))
def test_costs_equal_those_of_the_published_code(space, path):
    cases = np.load(path)
    X = space.layout.from_published(cases["genes"].astype(int))
    assert _published(space, X) == pytest.approx(cases["mflops"], rel=1e-9)


def test_one_projection_follows_the_documented_formula(space):
    # Block 5 at 132 pixels: 33 pixels in, 17 out with padding, 16 by the floor.
    shape = space.resolutions.index(132) * 9  # kernel 3, expand 3
    hidden = 29 * 3
    table = published_table(space)
    assert table.blocks[shape, 4, 2] == 48 * (hidden + 2) * 16**2
    assert table.block_fixed[shape, 4] == 64 * 48 * (hidden + 2) * (17**2 - 16**2)


def test_a_space_without_a_table_is_told_so(toy_space):
    with pytest.raises(ValueError, match="space toy has no published cost table"):
        published_table(toy_space)
