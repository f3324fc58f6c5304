"""A space for own images, fitted to their size, their channels and the number of classes."""

from __future__ import annotations

import math

from search_spaces.layers import make_divisible
from search_spaces.space import SearchSpace
from search_spaces.stage import Stage

SMALLEST_SIDE, LARGEST_SIDE, SIDE_STEP = 16, 224, 4
# Resolutions over the largest one, for small, middle and large images.
SHARES = (
    (48, (6 / 7, 1.0)),
    (111, (3 / 4, 7 / 8, 1.0)),
    (LARGEST_SIDE, (4 / 7, 5 / 7, 6 / 7, 1.0)),
)
LAST_MAP = 4.9  # aimed at; halvings make it 4 to 7
SMALLEST_MAP = 3  # of the smallest resolution
# By the number of halvings, the stem's included: stride and width of every stage.
STAGES = {
    2: ((1, 24), (1, 40), (2, 80)),
    3: ((1, 24), (2, 40), (2, 80)),
    4: ((2, 24), (2, 40), (1, 64), (2, 96)),
    5: ((2, 24), (2, 40), (2, 64), (1, 96), (2, 128)),
}
HEADS = {2: (240, 256), 3: (240, 256), 4: (288, 384), 5: (384, 512)}
STEM_WIDTH = 16
# Kernel size and the smallest output map that it is offered for.
KERNELS = ((3, 1), (5, 6), (7, 12))
FEW_CLASSES = 10
GROWTH_PER_TENFOLD = 0.15  # of widths, with classes beyond a few


def fitted(*, image_size: int, channels: int, n_classes: int) -> SearchSpace:
    """A space for images of about one size, from a small net to a light MobileNetV3-like one.

    The last map is 4 to 7 pixels at the largest resolution, no kernel is larger than the map it
    runs on, widths grow with resolution and slowly with the classes.

    Args:
        image_size: Typical shorter side of the images in pixels. The largest resolution is the
            multiple of 4 below it, within 16 and 224.
        channels: 1 for grey, 3 for colour.
        n_classes: Number of classes.

    Raises:
        ValueError: A number is below 1.
    """
    for name, value in (
        ("image_size", image_size),
        ("channels", channels),
        ("n_classes", n_classes),
    ):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    side = min(LARGEST_SIDE, max(SMALLEST_SIDE, image_size // SIDE_STEP * SIDE_STEP))
    halvings = min(max(STAGES), round(math.log2(side / LAST_MAP)))
    resolutions = _resolutions(side, halvings)
    growth = 1 + GROWTH_PER_TENFOLD * math.log10(max(1, n_classes / FEW_CLASSES))
    stages = []
    size = _half(resolutions[0])
    for number, (stride, width) in enumerate(STAGES[halvings]):
        size = _half(size) if stride == 2 else size
        stages.append(
            Stage(
                width=make_divisible(growth * width),
                stride=stride,
                depths=(1, 2) if number == 0 else (1, 2, 3),
                kernel_sizes=tuple(kernel for kernel, least in KERNELS if size >= least),
                expand_ratios=(2, 3, 4),
            )
        )
    final_expand, feature_mix = (make_divisible(growth * width) for width in HEADS[halvings])
    return SearchSpace(
        name=f"fitted-{side}px-{channels}x{n_classes}",
        input_channels=channels,
        n_classes=n_classes,
        resolutions=resolutions,
        bit_choices=(2, 3, 4),
        stem_width=STEM_WIDTH,
        stages=tuple(stages),
        final_expand_width=final_expand,
        feature_mix_width=feature_mix,
    )


def _resolutions(side: int, halvings: int) -> tuple[int, ...]:
    """Multiples of 4 up to `side` that leave a last map worth convolving."""
    shares = next(shares for up_to, shares in SHARES if side <= up_to)
    sides = {round(share * side / SIDE_STEP) * SIDE_STEP for share in shares}
    return tuple(r for r in sorted(sides) if math.ceil(r / 2**halvings) >= SMALLEST_MAP)


def _half(size: int) -> int:
    return math.ceil(size / 2)
