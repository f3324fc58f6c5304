"""An automatic policy of torchvision, drawn once for each view of the images.

All images share the operations of a view, so that the teacher can look at every one beforehand
and a batch needs few calls.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode, RandAugment

from qfa_search.images.memory import Images
from qfa_search.training.config import TrainConfig

# Nothing mirrors, and nothing turns by more than 9 degrees or moves by more than 14 %: a six stays
# a six. TrivialAugment turns by up to 135 degrees.
OPERATIONS, MAGNITUDE = 2, 9


def with_policy(images: Images, numbers: Tensor, config: TrainConfig) -> Images:
    """The images after the recipe's policy.

    Args:
        images: To show.
        numbers: Which view of its image each is, `(n,)`.
        config: Recipe.

    References:
        Cubuk et al., RandAugment, 2019, https://arxiv.org/abs/1909.13719
    """
    if config.policy == "none":
        return images
    policy = _policy(tuple(round(255 * mean) for mean in images.mean))
    pixels = images.pixels.clone()
    for number in sorted(set(numbers.tolist())):
        at = numbers == number
        sequence = np.random.SeedSequence([config.seed, 4, number])
        with torch.random.fork_rng(devices=[]):  # torchvision draws from the global generator
            torch.default_generator.manual_seed(int(sequence.generate_state(1)[0]))
            pixels[at] = policy(pixels[at])
    return replace(images, pixels=pixels)


@lru_cache
def _policy(fill: tuple[int, ...]) -> RandAugment:
    """What fills the border with a colour."""
    return RandAugment(
        OPERATIONS, MAGNITUDE, interpolation=InterpolationMode.BILINEAR, fill=list(fill)
    )
