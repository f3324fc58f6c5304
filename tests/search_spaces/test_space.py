import math
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given

import search_spaces
from search_spaces import SearchSpace
from tests.search_spaces.strategies import spaces


@given(spaces())
def test_from_dict_inverts_to_dict(space):
    assert SearchSpace.from_dict(space.to_dict()) == space


@given(spaces())
def test_smallest_and_largest_are_members(space):
    assert space.contains(space.smallest())
    assert space.contains(space.largest())


def test_size_counts_every_different_subnet(toy_space):
    small = replace(
        toy_space,
        resolutions=(16,),
        bit_choices=(),
        stages=(replace(toy_space.stages[0], kernel_sizes=(3, 5), expand_ratios=(1, 2)),),
    )
    genomes = product(*(range(n) for n in small.layout.n_choices))
    assert small.size() == len({small.layout.decode(np.array(x)) for x in genomes})


def test_the_published_space_has_more_than_10_to_the_76_subnets():
    space = search_spaces.load("mobilenet-v3-w1.2")
    assert space.log10_size() > 76
    assert space.log10_size() == pytest.approx(math.log10(space.size()))


def test_a_subnet_of_another_space_is_no_member(toy_space):
    assert not toy_space.contains(search_spaces.load("fashion-mnist").smallest())


def test_a_sampled_subnet_repeats_with_the_seed(toy_space):
    first, second = (toy_space.sample(np.random.default_rng(5)) for _ in range(2))
    assert first == second
    assert toy_space.contains(first)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": ""}, "needs a name"),
        ({"resolutions": (16, 12)}, "resolutions must be rising"),
        ({"bit_choices": (2, 9)}, r"^bit_choices must be among .*, got \(2, 9\)"),
        ({"a_bit_choices": (0,)}, r"a_bit_choices must be rising positive"),
        ({"a_bit_choices": ()}, r"a_bit_choices must not be empty alone"),
        ({"stem_bits": 4}, "stem_bits must be 8 or 32, got 4"),
        ({"n_classes": 0}, "n_classes must be at least 1, got 0"),
        ({"stem_stride": 3}, "stem_stride must be 1 or 2, got 3"),
        ({"stages": ()}, "at least one stage"),
    ],
)
def test_a_wrong_value_is_named(toy_space, change, message):
    with pytest.raises(ValueError, match=message):
        replace(toy_space, **change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kernel_sizes": (4,)}, "kernel_sizes must be odd"),
        ({"depths": (0, 1)}, "depths must be rising positive"),
        ({"stride": 3}, "stride must be 1 or 2"),
        ({"width": 0}, "width must be at least 1"),
        ({"activation": "gelu"}, "activation must be one of"),
    ],
)
def test_a_wrong_value_of_a_stage_is_named(toy_space, change, message):
    with pytest.raises(ValueError, match=message):
        replace(toy_space.stages[0], **change)


def test_from_dict_names_unknown_keys(toy_space):
    with pytest.raises(ValueError, match=r"unknown keys \['depth_choices'\] in SearchSpace"):
        SearchSpace.from_dict(toy_space.to_dict() | {"depth_choices": [1]})


def test_from_dict_says_that_stages_are_missing():
    with pytest.raises(ValueError, match="needs a list of stages"):
        SearchSpace.from_dict({"name": "empty"})


def test_equal_spaces_share_their_layout(toy_space):
    assert toy_space.layout is SearchSpace.from_dict(toy_space.to_dict()).layout


def test_bit_choices_say_both_sides(toy_space):
    space = replace(toy_space, bit_choices=(4, 8))
    assert space == replace(toy_space, w_bit_choices=(4, 8), a_bit_choices=(4, 8))
    assert space.to_dict()["bit_choices"] == (4, 8)
    assert space.bit_choices == (4, 8)
    apart = replace(space, a_bit_choices=(8,))
    with pytest.raises(ValueError, match="read w_bit_choices and a_bit_choices"):
        _ = apart.bit_choices
    apart = apart.to_dict()
    assert (apart["w_bit_choices"], apart["a_bit_choices"]) == ((4, 8), (8,))
    assert "bit_choices" not in apart


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"w_bit_choices": [2]},
        {"bit_choices": [2], "w_bit_choices": [2]},
        {"bit_choices": [2], "w_bit_choices": [2], "a_bit_choices": [2]},
    ],
)
def test_from_dict_takes_bits_in_one_way_only(toy_space, given):
    data = {key: v for key, v in toy_space.to_dict().items() if key != "bit_choices"}
    with pytest.raises(ValueError, match="either bit_choices, or w_bit_choices and a_bit_choices"):
        SearchSpace.from_dict(data | given)


@pytest.mark.parametrize(
    ("w_bit_choices", "a_bit_choices", "expected"),
    [
        ((2, 3, 4), (2, 3, 4), "2/2 3/3 4/4"),
        ((2, 4, 8), (8,), "2/8 4/8 8/8"),
        ((4,), (2, 8), "4/2 4/8"),
        ((1, 2, 4, 8), (4, 8), "1/4 2/4 4/8 8/8"),
        ((), (), "32/32"),
    ],
)
def test_uniform_bits_rise_on_both_sides(toy_space, w_bit_choices, a_bit_choices, expected):
    space = replace(toy_space, w_bit_choices=w_bit_choices, a_bit_choices=a_bit_choices)
    assert " ".join(map(str, space.uniform_bits)) == expected
