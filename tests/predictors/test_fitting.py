import numpy as np
import pytest

from predictors import costs
from predictors.fitting import fitted_to_device
from search_spaces import fitted

PHOTOS = {"image_size": 64, "channels": 3, "n_classes": 10}


def _ends(space):
    return costs(space, np.stack([space.layout.lowest(), space.layout.highest()]))


def test_without_limits_it_is_the_fitted_space():
    assert fitted_to_device(**PHOTOS) == fitted(**PHOTOS)


@pytest.mark.parametrize("flash_kb", [30, 100, 500, 1000])
def test_the_smallest_subnet_is_well_below_the_flash_and_the_largest_above(flash_kb):
    sizes = _ends(fitted_to_device(**PHOTOS, flash_kb=flash_kb))["size_kb"]
    assert sizes[0] <= flash_kb / 2
    assert sizes[1] >= 2 * flash_kb


@pytest.mark.parametrize("ram_kb", [20, 64, 200])
def test_the_smallest_subnet_is_well_below_the_ram(ram_kb):
    space = fitted_to_device(**PHOTOS, ram_kb=ram_kb)
    assert _ends(space)["activation_kb"][0] <= ram_kb / 2
    assert max(space.resolutions) == 64 or ram_kb < 64


def test_limits_below_every_space_are_told():
    with pytest.raises(ValueError, match="--fit-flash-kb 5 is too little"):
        fitted_to_device(**PHOTOS, flash_kb=5)
    with pytest.raises(ValueError, match="--fit-ram-kb 2 is too little"):
        fitted_to_device(**PHOTOS, ram_kb=2)
    with pytest.raises(ValueError, match="--fit-ram-kb must be a positive number, got 0"):
        fitted_to_device(**PHOTOS, ram_kb=0)


def test_the_bits_are_those_asked_for():
    assert fitted_to_device(**PHOTOS, w_bit_choices=(4, 8)).w_bit_choices == (4, 8)


def test_widths_are_those_that_flash_allows_at_the_side_that_ram_allows():
    large = {**PHOTOS, "image_size": 224}
    for flash_kb in (25, 60):
        space = fitted_to_device(**large, flash_kb=flash_kb, ram_kb=60)
        ends = _ends(space)
        assert ends["activation_kb"].iloc[0] <= 30
        assert ends["size_kb"].iloc[0] <= flash_kb / 2
        assert ends["size_kb"].iloc[1] >= 2 * flash_kb
