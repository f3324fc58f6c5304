from dataclasses import replace

import numpy as np
import pytest

from predictors import activation_bytes, bitops, macs, mflops, params, size_bytes
from search_spaces import LayerBits, SearchSpace, Stage

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


def test_params_of_a_tiny_network_are_those_counted_by_hand(tiny_space):
    weights = 72 + 72 + 64 + 128 + 144 + 128 + 128 + 128 + 24
    norms = 2 * (8 + 8 + 8 + 16 + 16 + 8 + 16)
    assert params(tiny_space, tiny_space.smallest()) == weights + norms + 3 == 1051


def test_size_of_a_tiny_network_is_the_one_counted_by_hand(tiny_space):
    # Packed weights (8 bits in stem and classifier, else 2), then float32: multiplier and bias
    # of every channel where a norm was folded, else one scale and the bias; 2 for the input.
    by_hand = [
        72 + 4 * (16 + 2),  # stem
        18 + 4 * (16 + 2),  # first block
        16 + 4 * (16 + 2),
        32 + 4 * (32 + 2),  # block
        36 + 4 * (32 + 2),
        32 + 4 * (16 + 2),
        32 + 4 * (32 + 2),  # final expansion
        32 + 4 * (1 + 2),  # feature mix
        24 + 4 * (1 + 3 + 2),  # classifier
    ]
    assert size_bytes(tiny_space, tiny_space.smallest()) == sum(by_hand) == 1026


def test_a_float_layer_keeps_weights_and_bias_in_four_bytes(tiny_space):
    in_float = replace(tiny_space, stem_bits=32, bit_choices=(), classifier_bits=32)
    weights, biases = 888, 8 + 8 + 8 + 16 + 16 + 8 + 16 + 3
    assert size_bytes(in_float, in_float.smallest()) == 4 * (weights + biases)


def test_weights_are_packed_layer_by_layer_to_whole_bytes(tiny_space):
    odd = replace(tiny_space, stem_width=5, bit_choices=(3,))
    even = replace(tiny_space, stem_width=5, bit_choices=(8,))
    # 45 weights depthwise and 25 in the projection of the first block: 135 and 75 bits.
    saved_elsewhere = (8 - 3) * (80 + 144 + 128 + 128 + 128) // 8
    saved = size_bytes(even, even.smallest()) - size_bytes(odd, odd.smallest())
    assert saved - saved_elsewhere == (45 - 17) + (25 - 10)


def test_activations_of_a_tiny_network_are_those_counted_by_hand(tiny_space):
    # At 2 bits: the stem's float32 output (the first block adds it) beside the 8-bit image, 64 +
    # 512; as much in the first projection: 32 in, 32 out, and the block's input, 512.
    assert activation_bytes(tiny_space, tiny_space.smallest()) == 576
    # At 4 bits: 64 in, 64 out, 512 for the addition.
    assert activation_bytes(tiny_space, tiny_space.largest()) == 640


def test_squeeze_and_excite_holds_its_map_in_float32_beside_the_residual():
    stage = Stage(
        width=8, stride=1, depths=(1,), kernel_sizes=(3,), expand_ratios=(4,), has_se=True
    )
    space = SearchSpace(
        name="gated",
        input_channels=1,
        n_classes=2,
        resolutions=(8,),
        bit_choices=(2,),
        stem_width=8,
        stem_stride=1,
        stages=(stage,),
        final_expand_width=8,
        feature_mix_width=8,
    )
    # 32 hidden channels of 64 pixels: 2 bits in, float32 out; 8 channels kept in float32.
    assert activation_bytes(space, space.smallest()) == 512 + 8192 + 2048
