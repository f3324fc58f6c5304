import tomllib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces import SearchSpace, fitted, layer_specs, load, to_toml

SPACES = st.builds(
    fitted,
    image_size=st.integers(16, 512),
    channels=st.sampled_from((1, 3)),
    n_classes=st.integers(2, 1000),
)


def _last_map(space, resolution):
    layers = layer_specs(space, replace(space.largest(), resolution=resolution))
    return next(layer.out_size for layer in layers if layer.name == "final_expand")


@given(SPACES)
def test_the_last_map_is_four_to_seven_pixels(space):
    assert 4 <= _last_map(space, max(space.resolutions)) <= 7
    assert _last_map(space, min(space.resolutions)) >= 3


@given(SPACES)
def test_no_kernel_is_larger_than_its_map(space):
    smallest_image = replace(space.largest(), resolution=min(space.resolutions))
    for layer in layer_specs(space, smallest_image):
        if layer.kind == "depthwise":
            assert layer.kernel_size <= layer.out_size
            assert layer.kernel_size == 3 or layer.out_size > 4


@given(SPACES)
def test_resolutions_are_two_to_four_multiples_of_four(space):
    assert 2 <= len(space.resolutions) <= 4
    assert all(r % 4 == 0 and r <= 224 for r in space.resolutions)


@given(SPACES)
def test_a_space_reads_back_from_its_toml(space):
    assert SearchSpace.from_dict(tomllib.loads(to_toml(space))) == space


@given(st.integers(16, 512), st.integers(2, 999))
def test_more_classes_never_make_the_network_narrower(image_size, n_classes):
    few, more = (
        fitted(image_size=image_size, channels=3, n_classes=n) for n in (n_classes, n_classes + 1)
    )
    assert few.feature_mix_width <= more.feature_mix_width
    assert all(a.width <= b.width for a, b in zip(few.stages, more.stages, strict=True))


@pytest.mark.parametrize("size", [1, 15, 17, 4000])
def test_sizes_out_of_range_get_the_nearest_space(size):
    space = fitted(image_size=size, channels=1, n_classes=2)
    assert max(space.resolutions) == min(224, max(16, size // 4 * 4))


def test_built_in_spaces_read_back_from_their_toml(tmp_path):
    space = load("mobilenet-v3-w1.2")
    (tmp_path / "s.toml").write_text(to_toml(space))
    assert load(tmp_path / "s.toml") == space


def test_numbers_below_one_are_named():
    with pytest.raises(ValueError, match="n_classes must be at least 1, got 0"):
        fitted(image_size=28, channels=1, n_classes=0)


@pytest.mark.parametrize("name", ["\U0001f600", 'a"b\\c', "umlaut \u00e4"])
def test_any_name_comes_back_from_toml(name):
    space = replace(load("fashion-mnist"), name=name)
    assert SearchSpace.from_dict(tomllib.loads(to_toml(space))) == space
