from dataclasses import replace

import numpy as np
import pytest

from predictors import bitops, macs, mflops
from search_spaces import LayerBits

# Stem, first block (2), block (3), final expansion, feature mix, classifier.
TINY_MACS = (1152, 1152, 1024, 2048, 576, 512, 512, 128, 24)


def test_macs_of_a_tiny_network_are_those_counted_by_hand(tiny_space):
    assert macs(tiny_space, tiny_space.smallest()) == sum(TINY_MACS) == 7128


def test_bitops_of_a_tiny_network_are_those_counted_by_hand(tiny_space):
    # Stem and classifier run at 8 x 8 bits, the others at 2 x 2.
    at_8_bits = TINY_MACS[0] + TINY_MACS[-1]
    by_hand = 64 * at_8_bits + 4 * (sum(TINY_MACS) - at_8_bits)
    assert bitops(tiny_space, tiny_space.smallest()) == by_hand == 99072
    assert mflops(tiny_space, tiny_space.smallest()) == 99072 / 64 / 1e6


def test_floating_point_counts_as_8_bits(tiny_space):
    in_float = replace(tiny_space, stem_bits=32, classifier_bits=32)
    assert bitops(in_float, in_float.largest()) == bitops(tiny_space, tiny_space.largest())


def test_squeeze_and_excite_counts_as_8_bits(toy_space):
    plain = replace(
        toy_space, stages=(toy_space.stages[0], replace(toy_space.stages[1], has_se=False))
    )
    # Two blocks of 16 hidden channels, squeezed to 8: two matrices of 16 x 8 each.
    subnet = toy_space.largest()
    extra = bitops(toy_space, subnet) - bitops(plain, subnet)
    assert extra == 2 * (2 * 16 * 8) * 64


def test_a_subnet_of_another_space_is_refused(tiny_space):
    foreign = replace(tiny_space.smallest(), head=(LayerBits(3, 2), LayerBits(2, 2)))
    for cost in (macs, bitops, mflops):
        with pytest.raises(ValueError, match=r"head_final_expand_w_bits must be one of \(2, 4\)"):
            cost(tiny_space, foreign)


def test_counts_are_plain_integers(toy_space):
    subnet = toy_space.sample(np.random.default_rng(0))
    assert type(macs(toy_space, subnet)) is int
    assert type(bitops(toy_space, subnet)) is int
