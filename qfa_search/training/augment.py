"""How training images are varied: crops, mirror images, colours, and shifts.

A view is one way to show an image: a part of it, mirrored or not, in changed colours. A set of
views is drawn once for each image, so that the teacher can look at every one of them beforehand
and its soft labels belong to what the subnets see. Shifts by some pixels are drawn anew.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from qfa_search.training.config import TrainConfig

LOG_RATIO = math.log(4 / 3)  # sides of a part are 3:4 to 4:3
MOST_VIEWED = 60_000  # images and views that the teacher looks at beforehand
FEWEST_VIEWS = 4  # of images that are cropped or coloured


@dataclass(frozen=True, slots=True)
class Views:
    """How some images are shown, one entry for each.

    Attributes:
        boxes: `(n, 4)`: centre x and y and half the width and height of the part, where the image
            spans -1 to 1; a negative width mirrors.
        colours: `(n, 3)`: brightness added, factors of contrast and saturation.
    """

    boxes: Tensor
    colours: Tensor

    def take(self, at: Tensor | tuple[Tensor, ...]) -> Views:
        """The views at `at`, in that order."""
        return Views(self.boxes[at], self.colours[at])


def n_views(n_images: int, config: TrainConfig) -> int:
    """How many views each of `n_images` images has: fewer, the more images there are."""
    if config.crop_share == 1 and config.colour == 0 and config.policy == "none":
        return 2 if config.flip else 1
    n = max(min(FEWEST_VIEWS, config.views), min(config.views, MOST_VIEWED // n_images))
    return n + n % 2 if config.flip else n  # every other one is mirrored


def draw_views(numbers: Tensor, config: TrainConfig, generator: torch.Generator) -> Views:
    """A view for each image, drawn at random.

    Args:
        numbers: Which view of its image each is, `(n,)`; odd ones are mirrored, if any are.
        config: Recipe.
        generator: Source of randomness.
    """
    n = len(numbers)
    u = torch.rand(7, n, generator=generator)
    area = config.crop_share + (1 - config.crop_share) * u[0]
    half_ratio = (u[1] - 0.5) * LOG_RATIO if config.crop_share < 1 else torch.zeros(n)
    width, height = ((area.sqrt() * r.exp()).clamp(max=1) for r in (half_ratio, -half_ratio))
    sign = 1 - 2 * (numbers % 2) if config.flip else torch.ones(n)
    boxes = ((2 * u[2] - 1) * (1 - width), (2 * u[3] - 1) * (1 - height), sign * width, height)
    change = config.colour * (2 * u[4:] - 1)
    return Views(torch.stack(boxes, 1), change.T + torch.tensor([0.0, 1.0, 1.0]))


def view_of_all(n: int, number: int, config: TrainConfig) -> Views:
    """The view of this number of all `n` images of a training split; the same at each call."""
    sequence = np.random.SeedSequence([config.seed, 3, number])
    generator = torch.Generator().manual_seed(int(sequence.generate_state(1)[0]))
    return draw_views(torch.full((n,), number), config, generator)


def show(images: Tensor, views: Views, config: TrainConfig) -> Tensor:
    """Normalized images `(N, C, H, W)` as `views` has them, the size unchanged."""
    if config.crop_share < 1:
        x, y, width, height = views.boxes.T
        zero = torch.zeros_like(x)
        at = torch.stack([width, zero, x, zero, height, y], 1).view(-1, 2, 3)
        grid = F.affine_grid(at, list(images.shape), align_corners=False)
        images = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    elif config.flip:
        is_mirrored = (views.boxes[:, 2] < 0)[:, None, None, None]
        images = torch.where(is_mirrored, images.flip(3), images)
    if config.colour:
        brightness, contrast, saturation = views.colours.T[:, :, None, None, None]
        grey = images.mean(1, keepdim=True)
        mean = grey.mean((2, 3), keepdim=True)
        images = grey + saturation * (images - grey)
        images = mean + contrast * (images - mean) + brightness
    return images


def shifted(images: Tensor, shift: int, generator: torch.Generator) -> Tensor:
    """Each image moved by up to `shift` pixels each way.

    Args:
        images: `(N, C, H, W)`; the border is filled with the least value of the batch.
        shift: Largest move in pixels.
        generator: Source of randomness.
    """
    if shift == 0:
        return images
    n, _, height, width = images.shape
    padded = F.pad(images, (shift,) * 4, value=float(images.min()))
    top, left = torch.randint(0, 2 * shift + 1, (2, n, 1), generator=generator)
    rows = (top + torch.arange(height))[:, None, :, None]
    columns = (left + torch.arange(width))[:, None, None, :]
    image = torch.arange(n).view(n, 1, 1, 1)
    channel = torch.arange(images.shape[1]).view(1, -1, 1, 1)
    return padded[image, channel, rows, columns]
