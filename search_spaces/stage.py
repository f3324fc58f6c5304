"""A stage of blocks, and what may be chosen in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from search_spaces.plain_data import shown, whole_number

Activation = Literal["relu", "hswish"]
# Far beyond any network that is searched for: what is above them is a mistake, and would take all
# memory or overflow a count.
MAX_DEPTH = 100
MAX_KERNEL_SIZE = 31
MAX_CHOICES = 100
MAX_WIDTH = 65_536
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
        for name, largest in (("depths", MAX_DEPTH), ("kernel_sizes", MAX_KERNEL_SIZE)):
            if getattr(self, name)[-1] > largest:
                raise ValueError(f"{name} must be at most {largest}, got {getattr(self, name)}")
        check_width("width", self.width)
        # The largest hidden width is a width, too.
        check_width("width times the largest of expand_ratios", self.width * self.expand_ratios[-1])
        if whole_number("stride", self.stride) not in (1, 2):
            raise ValueError(f"stride must be 1 or 2, got {self.stride}")
        if self.activation not in ACTIVATIONS:
            raise ValueError(
                f"activation must be one of {ACTIVATIONS}, got {shown(self.activation)}"
            )
        if not isinstance(self.has_se, bool):
            raise ValueError(f"has_se must be true or false, got {shown(self.has_se)}")

    @property
    def n_blocks(self) -> int:
        """Blocks of the deepest choice."""
        return max(self.depths)


def check_choices(name: str, choices: tuple[int, ...]) -> None:
    """Nothing, if `choices` are rising positive integers; else a ValueError with their `name`."""
    if not isinstance(choices, tuple | list):
        raise ValueError(f"{name} must be a list of whole numbers, got {shown(choices)}")
    if len(choices) > MAX_CHOICES:
        raise ValueError(f"{name} must be at most {MAX_CHOICES} numbers, got {len(choices)}")
    for choice in choices:
        whole_number(f"each of {name}", choice)
    if not choices or list(choices) != sorted(set(choices)) or choices[0] < 1:
        raise ValueError(f"{name} must be rising positive integers, got {choices}")


def check_width(name: str, width: int) -> None:
    """Nothing, if `width` is a number of channels; else a ValueError with its `name`."""
    if whole_number(name, width, least=1) > MAX_WIDTH:
        raise ValueError(f"{name} must be at most {MAX_WIDTH}, got {width}")
