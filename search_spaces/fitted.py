"""A space for own images, fitted to their size, their channels and the number of classes."""

from __future__ import annotations

import math
from dataclasses import replace

from search_spaces.layers import make_divisible
from search_spaces.space import SearchSpace
from search_spaces.stage import Stage

SMALLEST_SIDE, LARGEST_SIDE, SIDE_STEP = 16, 224, 4
# Resolutions over the largest one, for small, middle and large images.
SHARES = (
    (48, (3 / 4, 7 / 8, 1.0)),
    (111, (9 / 16, 25 / 32, 1.0)),
    (LARGEST_SIDE, (4 / 7, 5 / 7, 6 / 7, 1.0)),
)
LAST_MAP = 4.9  # aimed at; halvings make it 4 to 7
SMALLEST_MAP = 3  # of the smallest resolution
# Up to four halvings, the stem's included, the stages are those of the space `cifar10`, whose
# weights a supernet can start from; halvings only set the strides.
PHOTO_STAGES = (
    Stage(width=24, stride=1, depths=(1, 2), kernel_sizes=(3, 5), expand_ratios=(1, 2, 4)),
    Stage(
        width=64, stride=2, depths=(1, 2, 3, 4, 5), kernel_sizes=(3, 5), expand_ratios=(1, 2, 4, 6)
    ),
    Stage(width=96, stride=2, depths=(1, 2, 3, 4), kernel_sizes=(3,), expand_ratios=(1, 2, 4)),
)
PHOTO_STRIDES = {2: (1, 1, 2), 3: (1, 2, 2), 4: (2, 2, 2)}
PHOTO_HEAD = (96, 64)
LARGE_STAGES = tuple(
    Stage(
        width=width,
        stride=stride,
        depths=(1, 2) if number == 0 else (1, 2, 3),
        kernel_sizes=(3, 5, 7),
        expand_ratios=(2, 3, 4),
    )
    for number, (stride, width) in enumerate(((2, 24), (2, 40), (2, 64), (1, 96), (2, 128)))
)
LARGE_HEAD = (192, 128)
MOST_HALVINGS = 5
STEM_WIDTH = 16
# Kernel size and the smallest output map that it is offered for, where the stage has it.
KERNELS = ((3, 1), (5, 5), (7, 12))
# Widths grow with classes beyond so many, by a share for every tenfold of them.
STAGE_GROWTH, HEAD_GROWTH = (100, 0.15), (10, 1.0)


def fitted(
    *,
    image_size: int,
    channels: int,
    n_classes: int,
    bit_choices: tuple[int, ...] = (2, 3, 4),
    w_bit_choices: tuple[int, ...] | None = None,
    a_bit_choices: tuple[int, ...] | None = None,
    width_factor: float = 1.0,
) -> SearchSpace:
    """A space for images of about one size, from a small net to a light MobileNetV3-like one.

    The last map is 4 to 7 pixels at the largest resolution, no kernel is larger than the map it
    runs on, widths grow with resolution and slowly with the classes.

    Args:
        image_size: Typical shorter side of the images in pixels. The largest resolution is the
            multiple of 4 below it, within 16 and 224.
        channels: 1 for grey, 3 for colour.
        n_classes: Number of classes.
        bit_choices: Widths for weights and activations of every searchable layer.
        w_bit_choices: Those for weights, where they differ.
        a_bit_choices: Those for activations, where they differ.
        width_factor: Of all channels, those of the stem too.

    Raises:
        ValueError: A number is below 1, or the bits are none that a space may have.
    """
    for name, value in (
        ("image_size", image_size),
        ("channels", channels),
        ("n_classes", n_classes),
    ):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    side = min(LARGEST_SIDE, max(SMALLEST_SIDE, image_size // SIDE_STEP * SIDE_STEP))
    halvings = min(MOST_HALVINGS, round(math.log2(side / LAST_MAP)))
    resolutions = _resolutions(side, halvings)
    is_large = halvings == MOST_HALVINGS
    stages = []
    size = _half(resolutions[0])
    strides = [s.stride for s in LARGE_STAGES] if is_large else PHOTO_STRIDES[halvings]
    for stage, stride in zip(LARGE_STAGES if is_large else PHOTO_STAGES, strides, strict=True):
        size = _half(size) if stride == 2 else size
        stages.append(
            replace(
                stage,
                stride=stride,
                width=make_divisible(
                    width_factor * _growth(n_classes, *STAGE_GROWTH) * stage.width
                ),
                kernel_sizes=tuple(
                    kernel
                    for kernel, least in KERNELS
                    if size >= least and kernel <= max(stage.kernel_sizes)
                ),
            )
        )
    final_expand, feature_mix = (
        make_divisible(width_factor * _growth(n_classes, *HEAD_GROWTH) * width)
        for width in (LARGE_HEAD if is_large else PHOTO_HEAD)
    )
    return SearchSpace(
        name=f"fitted-{side}px-{channels}x{n_classes}",
        input_channels=channels,
        n_classes=n_classes,
        resolutions=resolutions,
        w_bit_choices=bit_choices if w_bit_choices is None else w_bit_choices,
        a_bit_choices=bit_choices if a_bit_choices is None else a_bit_choices,
        stem_width=make_divisible(width_factor * STEM_WIDTH),
        stages=tuple(stages),
        final_expand_width=final_expand,
        feature_mix_width=feature_mix,
    )


def _resolutions(side: int, halvings: int) -> tuple[int, ...]:
    """Multiples of 4 up to `side` that leave a last map worth convolving."""
    shares = next(shares for up_to, shares in SHARES if side <= up_to)
    sides = {round(share * side / SIDE_STEP) * SIDE_STEP for share in shares}
    return tuple(r for r in sorted(sides) if math.ceil(r / 2**halvings) >= SMALLEST_MAP)


def _growth(n_classes: int, few: int, per_tenfold: float) -> float:
    return 1 + per_tenfold * math.log10(max(1, n_classes / few))


def _half(size: int) -> int:
    return math.ceil(size / 2)
