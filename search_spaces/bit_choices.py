"""Which bit widths a space may offer, for weights and for activations."""

from __future__ import annotations

from search_spaces.stage import check_choices
from search_spaces.subnet import FLOAT, FLOAT_BITS, LayerBits

BIT_WIDTHS = (*range(1, 9), FLOAT_BITS)


def check_bit_choices(w_bit_choices: tuple[int, ...], a_bit_choices: tuple[int, ...]) -> None:
    """Nothing, if a space may have these choices; else a ValueError that names them.

    Args:
        w_bit_choices: Of weights.
        a_bit_choices: Of activations; empty where those of weights are.
    """
    if w_bit_choices == a_bit_choices:
        sides = {"bit_choices": w_bit_choices} if w_bit_choices != () else {}
    else:
        sides = {"w_bit_choices": w_bit_choices, "a_bit_choices": a_bit_choices}
    for name, choices in sides.items():
        if choices == ():
            raise ValueError(
                f"{name} must not be empty alone: leave both empty for a space in floating point, "
                f"or give {FLOAT_BITS}"
            )
        check_choices(name, choices)
        if not set(choices) <= set(BIT_WIDTHS):
            raise ValueError(
                f"{name} must be among {BIT_WIDTHS}, got {choices}; "
                "leave them empty for a space in floating point"
            )


def side_by_side(
    w_bit_choices: tuple[int, ...], a_bit_choices: tuple[int, ...]
) -> tuple[LayerBits, ...]:
    """Widths for all layers alike, from the fewest bits to the most of both sides.

    As many as the longer of the two has; the shorter one is stretched over it. Equal choices give
    2/2, 3/3, 4/4; weights of 2, 4, 8 and activations of 8 give 2/8, 4/8, 8/8.

    Args:
        w_bit_choices: Of weights.
        a_bit_choices: Of activations; empty, like those of weights, in floating point.
    """
    sides = w_bit_choices or (FLOAT.w_bits,), a_bit_choices or (FLOAT.a_bits,)
    n = max(map(len, sides))
    steps = [[round(i * (len(side) - 1) / max(1, n - 1)) for i in range(n)] for side in sides]
    return tuple(LayerBits(sides[0][w], sides[1][a]) for w, a in zip(*steps, strict=True))
