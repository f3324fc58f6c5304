"""A space for own images on a device of so much memory."""

from __future__ import annotations

import numpy as np

from predictors.costs import cost_arrays
from search_spaces import SearchSpace, fitted
from search_spaces.fitted import SIDE_STEP, SMALLEST_SIDE

# The smallest subnet takes at most this share of a limit, the largest at least the other.
SMALLEST_SHARE, LARGEST_SHARE = 0.5, 2.0
WIDTH_FACTORS = (0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0)


def fitted_to_device(
    *,
    image_size: int,
    channels: int,
    n_classes: int,
    w_bit_choices: tuple[int, ...] = (2, 3, 4),
    a_bit_choices: tuple[int, ...] = (2, 3, 4),
    ram_kb: float | None = None,
    flash_kb: float | None = None,
) -> SearchSpace:
    """The fitted space whose smallest subnets lie well below a device's limits, the largest above.

    Flash sets the widths, RAM the largest image side; without limits it is `fitted`.

    Args:
        image_size: Typical shorter side of the images in pixels.
        channels: 1 for grey, 3 for colour.
        n_classes: Number of classes.
        w_bit_choices: Bit widths for weights.
        a_bit_choices: Bit widths for activations.
        ram_kb: What activations may take, `activation_kb` of the costs.
        flash_kb: What weights may take, `size_kb` of the costs.

    Raises:
        ValueError: A limit is not positive, or even the smallest fitted space is too large for it.
    """
    for option, limit in (("--fit-ram-kb", ram_kb), ("--fit-flash-kb", flash_kb)):
        if limit is not None and not limit > 0:
            raise ValueError(f"{option} must be a positive number, got {limit:g}")

    def space(side: int, factor: float) -> SearchSpace:
        return fitted(
            image_size=side,
            channels=channels,
            n_classes=n_classes,
            w_bit_choices=w_bit_choices,
            a_bit_choices=a_bit_choices,
            width_factor=factor,
        )

    def factor_of(side: int) -> float:
        """The first width from which on the largest subnets are well above, of those below."""
        if flash_kb is None:
            return 1.0
        sizes = {f: _ends(space(side, f), "size_kb") for f in WIDTH_FACTORS}
        small_enough = [f for f, ends in sizes.items() if ends[0] <= SMALLEST_SHARE * flash_kb]
        if not small_enough:
            raise ValueError(
                f"--fit-flash-kb {flash_kb:g} is too little: the smallest subnet of the narrowest "
                f"fitted space takes {sizes[WIDTH_FACTORS[0]][0]:.1f} kB, and should take half"
            )
        enough = (f for f in small_enough if sizes[f][1] >= LARGEST_SHARE * flash_kb)
        return next(enough, small_enough[-1])

    if ram_kb is None:
        return space(image_size, factor_of(image_size))
    # Smaller images have fewer stages, and so other widths that flash allows.
    too_little: ValueError | None = None
    for side in range(max(image_size, SMALLEST_SIDE), SMALLEST_SIDE - 1, -SIDE_STEP):
        try:
            chosen = space(side, factor_of(side))
        except ValueError as error:
            too_little = error
            continue
        least = _ends(chosen, "activation_kb")[0]
        if least <= SMALLEST_SHARE * ram_kb:
            return chosen
        too_little = ValueError(
            f"--fit-ram-kb {ram_kb:g} is too little: the activations of the smallest subnet take "
            f"{least:.1f} kB at {side} pixels, and should take half"
        )
    assert too_little is not None
    raise too_little


def _ends(space: SearchSpace, cost: str) -> tuple[float, float]:
    """A cost of the smallest and of the largest subnet."""
    corners = np.stack([space.layout.lowest(), space.layout.highest()])
    low, high = cost_arrays(space, corners, [cost])[cost]
    return float(low), float(high)
