from dataclasses import replace

import pytest
import torch

from qfa_search.training.augment import draw_views, n_views, shifted, show
from qfa_search.training.config import TrainConfig


def _images():
    return torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def _drawn(config):
    return draw_views(torch.arange(6), config, torch.Generator().manual_seed(1))


def test_without_crops_and_colours_odd_views_are_the_mirror_image():
    images, config = _images(), TrainConfig()
    assert n_views(6, config) == 2
    shown = show(images, _drawn(config), config)
    assert torch.equal(shown[::2], images[::2])
    assert torch.equal(shown[1::2], images[1::2].flip(3))


def test_nothing_is_mirrored_unless_the_recipe_flips():
    config = TrainConfig(flip=False, crop_share=0.5)
    assert (_drawn(config).boxes[:, 2] > 0).all()
    config = TrainConfig(flip=True, crop_share=0.5)
    assert (_drawn(config).boxes[:, 2] < 0).tolist() == [False, True] * 3


def test_a_crop_shows_a_part_that_lies_inside():
    boxes = draw_views(
        torch.arange(500), TrainConfig(crop_share=0.3), torch.Generator().manual_seed(0)
    ).boxes
    x, y, width, height = boxes.abs().T
    assert (x + width <= 1 + 1e-6).all()
    assert (y + height <= 1 + 1e-6).all()
    assert 0.2 < (width * height).min() < 0.4
    assert (width * height).max() > 0.8


def test_a_crop_of_the_right_half_is_what_lies_there():
    config = TrainConfig(crop_share=0.5, flip=False)
    ramp = torch.arange(8.0).expand(1, 1, 8, 8)
    views = draw_views(torch.zeros(1), config, torch.Generator().manual_seed(0))
    views.boxes[0] = torch.tensor([0.5, 0.0, 0.5, 1.0])
    shown = show(ramp, views, config)
    assert shown.min() >= 3.5
    assert shown.max() == 7


def test_colours_leave_the_layout_of_grey_images():
    config = TrainConfig(colour=0.4, flip=False)
    grey = _images()[:, :1]
    shown = show(grey, _drawn(config), config)
    assert not torch.allclose(shown[0], grey[0])
    for before, after in zip(grey, shown, strict=True):
        pair = torch.stack([before.flatten(), after.flatten()])
        assert torch.corrcoef(pair)[0, 1] == pytest.approx(1, abs=1e-4)


def test_a_shift_moves_by_at_most_so_many_pixels():
    images = torch.zeros(50, 1, 9, 9)
    images[:, :, 4, 4] = 1
    moved = shifted(images, 2, torch.Generator().manual_seed(0))
    rows, columns = moved.flatten(1).argmax(1) // 9, moved.flatten(1).argmax(1) % 9
    assert set((rows - 4).tolist()) == set((columns - 4).tolist()) == {-2, -1, 0, 1, 2}


def test_many_images_have_fewer_views():
    config = TrainConfig(crop_share=0.5, views=16)
    assert n_views(1_000, config) == 16
    assert n_views(10_000, config) == 6
    assert n_views(1_000_000, config) == 4
    assert n_views(1_000, replace(config, views=1, flip=False)) == 1
    assert n_views(1_000, replace(config, views=3, flip=True)) == 4  # half of them are mirrored
