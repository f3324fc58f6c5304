from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given

import search_spaces
from search_spaces import layer_specs, make_divisible
from tests.search_spaces.strategies import spaces_with_genomes


@pytest.mark.parametrize(
    ("channels", "rounded"), [(1, 8), (8, 8), (11, 16), (12, 16), (17, 16), (19, 24), (72, 72)]
)
def test_make_divisible_rounds_to_eights_and_loses_at_most_a_tenth(channels, rounded):
    assert make_divisible(channels) == rounded


def test_the_largest_published_subnet_has_the_published_layers():
    space = search_spaces.load("mobilenet-v3-w1.2")
    kinds = Counter(layer.kind for layer in layer_specs(space, space.largest()))
    # Stem, 2 of the first block, 3 of 20 blocks, 2 in the head; SE in stages 2, 4 and 5.
    assert kinds == {"conv": 44, "depthwise": 21, "squeeze_excite": 24, "linear": 1}


@given(spaces_with_genomes(n=2))
def test_every_layer_reads_what_the_one_before_wrote(drawn):
    space, X = drawn
    for x in X:
        layers = [
            layer
            for layer in layer_specs(space, space.layout.decode(x))
            if layer.kind != "squeeze_excite"
        ]
        for before, after in pairwise(layers):
            assert after.in_channels == before.out_channels
            pooled = after.name == "feature_mix"
            assert after.in_size == (1 if pooled else before.out_size)


@given(spaces_with_genomes(n=2))
def test_layer_names_are_unique(drawn):
    space, X = drawn
    for x in X:
        names = [layer.name for layer in layer_specs(space, space.layout.decode(x))]
        assert len(set(names)) == len(names)


def test_a_residual_needs_equal_shape_on_both_sides(toy_space):
    adds = {
        layer.name: layer.adds_residual
        for layer in layer_specs(toy_space, toy_space.largest())
        if layer.name.endswith("project")
    }
    assert adds == {
        "first_block.project": True,
        "stages.0.0.project": True,  # stride 1 and as wide as the first block
        "stages.0.1.project": True,
        "stages.1.0.project": False,
        "stages.1.1.project": True,
    }


def test_map_sizes_are_ceilings():
    space = search_spaces.load("mobilenet-v3-w1.2")
    x = space.layout.lowest()
    x[space.layout.groups["resolution"]] = space.resolutions.index(132)
    layers = layer_specs(space, space.layout.decode(x))
    sizes = [layer.in_size for layer in layers if layer.name.endswith("0.depthwise")]
    assert sizes == [66, 33, 17, 9, 9]
    assert next(layer for layer in layers if layer.name == "final_expand").in_size == 5
