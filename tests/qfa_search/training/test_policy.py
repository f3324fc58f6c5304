from dataclasses import replace

import torch

from qfa_search.images.memory import MEAN, STD, Images
from qfa_search.training.config import TrainConfig
from qfa_search.training.policy import with_policy

CONFIG = TrainConfig(policy="randaugment")
IMAGES = Images(
    torch.randint(256, (8, 3, 16, 16), generator=torch.Generator().manual_seed(0)).byte(),
    torch.arange(8),
    MEAN,
    STD,
)


def test_without_a_policy_images_stay():
    assert with_policy(IMAGES, torch.arange(8), replace(CONFIG, policy="none")) is IMAGES


def test_an_image_looks_the_same_in_a_view_whatever_is_beside_it():
    numbers = torch.arange(8) % 3
    together = with_policy(IMAGES, numbers, CONFIG).pixels
    assert not torch.equal(together, IMAGES.pixels)
    for i in range(8):
        alone = with_policy(IMAGES.take([i]), numbers[[i]], CONFIG).pixels
        assert torch.equal(alone[0], together[i])


def test_views_and_seeds_differ_and_the_global_generator_is_left_alone():
    before = torch.get_rng_state()
    first = with_policy(IMAGES, torch.zeros(8).long(), CONFIG).pixels
    for numbers, config in ((torch.ones(8), CONFIG), (torch.zeros(8), replace(CONFIG, seed=1))):
        assert not torch.equal(with_policy(IMAGES, numbers.long(), config).pixels, first)
    assert torch.equal(torch.get_rng_state(), before)


def test_nothing_is_mirrored_and_little_is_turned():
    image = torch.full((1, 3, 32, 32), 40, dtype=torch.uint8)
    image[..., 4:28, 4:12] = 150  # a bar on the left
    bar = Images(image, torch.zeros(1), MEAN, STD)
    for view in range(40):
        shown = with_policy(bar, torch.full((1,), view), CONFIG).pixels[0].float().mean(0)
        assert shown[8:24, 6:11].mean() > shown[8:24, 20:28].mean()
