import json

import pytest
from hypothesis import given

from search_spaces import Subnet
from tests.search_spaces.strategies import spaces_with_genomes


@given(spaces_with_genomes())
def test_a_subnet_survives_json(drawn):
    space, X = drawn
    for x in X:
        subnet = space.layout.decode(x)
        assert Subnet.from_dict(json.loads(json.dumps(subnet.to_dict()))) == subnet


def test_equal_subnets_have_equal_hashes(toy_space):
    assert len({toy_space.smallest(), toy_space.smallest(), toy_space.largest()}) == 2


@pytest.mark.parametrize("key", ["resolution", "first_block_bits", "stages", "head_bits"])
def test_a_missing_key_is_named(toy_space, key):
    data = toy_space.smallest().to_dict()
    del data[key]
    with pytest.raises(ValueError, match=f"not a subnet: '{key}' is missing"):
        Subnet.from_dict(data)


def test_bits_that_are_no_pair_are_refused(toy_space):
    data = toy_space.smallest().to_dict()
    data["head_bits"] = [[2, 2, 2], [2, 2]]
    with pytest.raises(ValueError, match="not a subnet"):
        Subnet.from_dict(data)
