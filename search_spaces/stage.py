"""A stage of blocks, and what may be chosen in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    pass


Activation = Literal["relu", "hswish"]
ACTIVATIONS: tuple[Activation, ...] = ("relu", "hswish")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Blocks of one output width; the first of them carries the stride.

    Attributes:
        width: Output channels of every block.
        stride: Stride of the first block, 1 or 2.
        depths: How many blocks the stage may have.
        kernel_sizes: Odd kernel sizes of its depthwise layers.
        expand_ratios: Hidden width over input width of a block.
        activation: After expansion and depthwise layer.
        has_se: Whether squeeze-and-excite follows the depthwise layer.
    """

    width: int
    stride: int
    depths: tuple[int, ...]
    kernel_sizes: tuple[int, ...]
    expand_ratios: tuple[int, ...]
    activation: Activation = "relu"
    has_se: bool = False

    def __post_init__(self) -> None:
        """Check the values; a ValueError names the first wrong one."""
        for name in ("depths", "kernel_sizes", "expand_ratios"):
            check_choices(name, getattr(self, name))
        if any(k % 2 == 0 for k in self.kernel_sizes):
            raise ValueError(f"kernel_sizes must be odd, got {self.kernel_sizes}")
        if self.stride not in (1, 2):
            raise ValueError(f"stride must be 1 or 2, got {self.stride}")
        if self.width < 1:
            raise ValueError(f"width must be at least 1, got {self.width}")
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {ACTIVATIONS}, got {self.activation!r}")

    @property
    def n_blocks(self) -> int:
        """Blocks of the deepest choice."""
        return max(self.depths)


def check_choices(name: str, choices: tuple[int, ...]) -> None:
    """Nothing, if `choices` are rising positive integers; else a ValueError with their `name`."""
    if not choices or list(choices) != sorted(set(choices)) or choices[0] < 1:
        raise ValueError(f"{name} must be rising positive integers, got {choices}")
