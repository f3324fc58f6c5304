import numpy as np
import pytest

from benchmarks.claims.bench import paired_gap
from benchmarks.claims.fronts import in_whole_space, searched_front, uniform_space
from benchmarks.claims.mixed_precision import Member, near, places
from benchmarks.claims.mixed_precision import verdict as mixed_verdict
from predictors import cost_arrays
from search_spaces import LayerBits


def _member(front: str, place: int, n_right: int, first: int = 0) -> Member:
    """A member that is right on `n_right` of 10,000 images, from image `first` on."""
    hits = np.zeros(10_000, bool)
    hits[first : first + n_right] = True
    return Member(front=front, place=place, mflops=1.0 + place, val=90.0, hits=hits)


@pytest.mark.parametrize(
    ("gaps", "said"),
    [
        ((3, 3), "claim **holds** at"),
        ((3, -0.1), "**holds in part**"),
        ((-3, 0), "**does not hold**"),
    ],
)
def test_the_verdict_on_mixed_precision_follows_the_numbers(gaps, said):
    members = [_member("mixed", 0, 8900)]
    for name, gap in zip(("2/2", "4/4"), gaps, strict=True):
        members.append(_member(name, 0, 8900 - round(100 * gap)))
    assert said in mixed_verdict(members)


def test_a_small_gap_counts_where_both_subnets_are_right_on_the_same_images():
    members = [_member("mixed", 0, 8900), _member("3/3", 0, 8880)]  # 20 images, one way
    assert "ahead at 1, level at 0, behind at 0 of 1 costs, +0.20 points" in mixed_verdict(members)
    members[1] = _member("3/3", 0, 8880, first=600)  # the same gap, of 620 images against 600
    assert "ahead at 0, level at 1" in mixed_verdict(members)


def test_a_paired_error_is_that_of_the_mean_over_images():
    a, b = (
        np.array([[1, 1, 0, 0], [1, 1, 1, 0]], bool),
        np.array([[1, 0, 0, 0], [0, 1, 1, 0]], bool),
    )
    gap, error = paired_gap(a, b)  # of the images 0.5, 0.5, 0, 0
    assert gap == 25
    assert error == pytest.approx(100 * np.std([0.5, 0.5, 0, 0], ddof=1) / 2)


def test_a_uniform_front_that_goes_further_is_compared_with_the_end_of_the_mixed_one():
    text = mixed_verdict([_member("mixed", 0, 8900), _member("4/4", 2, 9300)])
    assert "behind at 1 of 1 costs, -4.00 points" in text
    assert "**does not hold**" in text


def test_places_span_the_fronts_and_take_members_close_below():
    costs = np.array([1.0, 1.9, 2.0, 2.1, 4.0])
    limits = places([costs, costs[1:]], 3)
    assert limits[-1] == pytest.approx(4.0)
    assert near(costs, limits[0], 3).tolist() == [0]
    assert near(costs, 2.05, 2).tolist() == [1, 2]
    assert near(costs, 3.0, 2).tolist() == []


def test_uniform_genomes_keep_their_costs_in_the_whole_space(toy_space):
    uniform = uniform_space(toy_space, LayerBits(3, 3))
    X = uniform.layout.sample(np.random.default_rng(0), 20)
    whole = in_whole_space(uniform, toy_space, X)
    names = ["mflops", "size_kb"]
    for name, values in cost_arrays(toy_space, whole, names).items():
        np.testing.assert_allclose(values, cost_arrays(uniform, X, names)[name])
    bits = {layer.bits.w_bits for layer in _searched_layers(toy_space, whole[0])}
    assert bits == {3}


def test_a_uniform_front_has_one_bit_width(bench):
    X = searched_front(bench, "2/2", 8, 1)
    assert {s.bits.a_bits for x in X for s in _searched_layers(bench.space, x)} == {2}
    # Read again, not searched again.
    assert np.array_equal(X, searched_front(bench, "2/2", 8, 1))


def _searched_layers(space, genome):
    from search_spaces import layer_specs

    specs = layer_specs(space, space.layout.decode(genome))
    return [s for s in specs if s.bits.w_bits < 8]
