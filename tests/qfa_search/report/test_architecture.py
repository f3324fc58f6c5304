import numpy as np
import pytest

import search_spaces
from qfa_search.report.architecture import ABSENT, choices, encoded, places
from search_spaces.layers import layer_specs

SPACES = ["fashion-mnist", "mobilenet-v3-w1.2", "ofa-mobilenet-v3-w1.0"]


@pytest.mark.parametrize("name", SPACES)
def test_choices_are_those_of_the_layers_that_run(name):
    space = search_spaces.load(name)
    for x in space.layout.sample(np.random.default_rng(0), 5):
        subnet = space.layout.decode(x)
        layers = [s for s in layer_specs(space, subnet) if s.kind != "squeeze_excite"]
        bits = [bit for layer in layers for bit in (layer.bits.w_bits, layer.bits.a_bits)]
        found = [choice for choice in choices(space, subnet) if choice is not None]
        assert [bit for choice in found for bit in choice[2:]] == bits
        blocks = [choice for choice in found if len(choice) == 8]
        depthwise = [s for s in layers if s.kind == "depthwise"][1:]
        assert [choice[0] for choice in blocks] == [layer.kernel_size for layer in depthwise]


@pytest.mark.parametrize("name", SPACES)
def test_every_place_has_its_choice_or_none(name):
    space = search_spaces.load(name)
    for subnet in (space.smallest(), space.largest()):
        rows = choices(space, subnet)
        assert len(rows) == len(places(space))
        for place, choice in zip(places(space), rows, strict=True):
            assert choice is None or len(choice) == 2 + 2 * len(place["layers"])
    assert None in choices(space, space.smallest())
    assert None not in choices(space, space.largest())


def test_encoded_architectures_read_back_as_the_choices(toy_space):
    X = toy_space.layout.sample(np.random.default_rng(0), 40)
    subnets = [toy_space.layout.decode(x) for x in X]
    data = encoded(toy_space, subnets)
    for subnet, resolution, row in zip(subnets, data["resolution"], data["blocks"], strict=True):
        assert resolution == subnet.resolution
        read = [None if i == ABSENT else data["choices"][i] for i in row]
        assert read == choices(toy_space, subnet)
    assert len(set(data["choices"])) == len(data["choices"])
