import numpy as np
import pytest
from PIL import Image

from qfa_search.images.folder_space import check_resolution, space_for_folder
from qfa_search.images.splits import split_folder


def _folder(root, mode, size):
    for name in ("a", "b", "c"):
        (root / name).mkdir()
        for i in range(5):
            Image.fromarray(np.full((size, size + 9), 40 * i, np.uint8)).convert(mode).save(
                root / name / f"{i}.png"
            )
    Image.new(mode, (9, 9), 3).save(root / "a" / "odd.png")
    return root


def _space(root, resolution=None):
    return space_for_folder(split_folder(root, 0), resolution=resolution, largest_side=64)


def test_the_space_has_the_size_channels_and_classes_of_the_images(tmp_path):
    space = _space(_folder(tmp_path, "L", 43))
    assert (max(space.resolutions), space.input_channels, space.n_classes) == (40, 1, 3)


def test_large_images_are_brought_down_and_a_resolution_is_taken(tmp_path):
    root = _folder(tmp_path, "L", 300)
    Image.new("RGB", (20, 20), (200, 0, 0)).save(root / "a" / "red.png")
    for i in range(40):
        Image.new("RGB", (300, 300), (0, i, 200)).save(root / "b" / f"blue{i}.png")
    assert max(_space(root).resolutions) == 64
    space = _space(root, resolution=96)
    assert (max(space.resolutions), space.input_channels) == (96, 3)


@pytest.mark.parametrize("resolution", [12, 30, 228])
def test_a_resolution_out_of_range_is_refused(resolution):
    with pytest.raises(ValueError, match="multiple of 4 from 16 to 224"):
        check_resolution(resolution)
