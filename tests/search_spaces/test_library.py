from dataclasses import replace

import pytest

import search_spaces

TOML = """
name = "mine"
input_channels = 1
n_classes = 2
resolutions = [8]
bit_choices = [2, 4]
stem_width = 8
final_expand_width = 8
feature_mix_width = 8
[[stages]]
width = 8
stride = 2
depths = [1]
kernel_sizes = [3]
expand_ratios = [2]
"""


@pytest.mark.parametrize("name", search_spaces.BUILT_IN)
def test_every_built_in_space_loads_under_its_name(name):
    assert search_spaces.load(name).name == name


def test_a_toml_file_describes_a_space(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(TOML)
    assert search_spaces.load(path).stages[0].expand_ratios == (2,)
    assert search_spaces.load(str(path)) == search_spaces.load(path)


def test_an_unknown_name_lists_the_built_in_spaces():
    known = r"choose one of cifar10, .*fashion-mnist, .*or give a \.toml file"
    with pytest.raises(ValueError, match=known):
        search_spaces.load("resnet")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"cannot read .*gone\.toml"):
        search_spaces.load(tmp_path / "gone.toml")


@pytest.mark.parametrize("text", ["name = ", 'name = "a"', TOML.replace("depths = [1]", "")])
def test_a_file_that_describes_no_space_is_named(tmp_path, text):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"bad\.toml does not describe a search space"):
        search_spaces.load(path)


@pytest.mark.parametrize(("name", "w_bits"), [("w248-a8", (2, 4, 8)), ("w48-a8", (4, 8))])
def test_spaces_for_8_bit_activations_are_that_of_photos_with_other_bits(name, w_bits):
    space = search_spaces.load(f"cifar10-{name}")
    photos = search_spaces.load("cifar10")
    assert space == replace(photos, name=space.name, w_bit_choices=w_bits, a_bit_choices=(8,))
