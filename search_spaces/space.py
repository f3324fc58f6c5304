"""The search space: which choices exist at each place of a MobileNetV3-like network."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, wraps
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Any, TypeVar

from search_spaces.bit_choices import check_bit_choices
from search_spaces.genome import GenomeLayout
from search_spaces.plain_data import shown, whole_number
from search_spaces.stage import Stage, check_choices, check_width
from search_spaces.subnet import FLOAT_BITS, LayerBits, Subnet

if TYPE_CHECKING:
    import numpy as np

# Far beyond any space that is searched, see stage.py.
MAX_NAME = 200
MAX_RESOLUTION = 2048
MAX_SHAPES = 100_000  # the published space has 4500
_HEAD_WIDTHS = ("final_expand_width", "feature_mix_width")
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class TableWidths:
    """Channel widths that a published cost table was made with (they need not be real ones)."""

    input_channels: int
    stem: int
    stages: tuple[int, ...]
    final_expand: int
    feature_mix: int
    n_classes: int


def _with_bit_choices(cls: type[T]) -> type[T]:
    """Let `bit_choices` say both sides when a space is made, and in `dataclasses.replace`."""
    init = cls.__init__

    @wraps(init)
    def __init__(self: T, *, bit_choices: tuple[int, ...] | None = None, **values: Any) -> None:  # noqa: N807
        if bit_choices is not None:
            values |= {"w_bit_choices": bit_choices, "a_bit_choices": bit_choices}
        init(self, **values)

    cls.__init__ = __init__  # type: ignore[assignment]
    return cls


@_with_bit_choices
@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSpace:
    """All subnets of one supernet, as an immutable value.

    The network: 3x3 stem, a first block without expansion, elastic stages of
    inverted-bottleneck blocks, a 1x1 expansion, mean pooling, a 1x1 feature mix layer without
    norm, a classifier.

    `bit_choices`, given when a space is made, says `w_bit_choices` and `a_bit_choices` at once; it
    can be read where they are the same.

    Attributes:
        name: What `load` and the files call it.
        input_channels: Channels of the image.
        n_classes: Outputs of the classifier.
        resolutions: Sides of the input image in pixels.
        w_bit_choices: Bit widths for the weights of every searchable layer, each layer on its
            own; empty for a space in floating point.
        a_bit_choices: The same for the activations that it reads, chosen apart.
        stem_width: Channels of stem and first block.
        stem_stride: Stride of the stem.
        stem_bits: 8, or 32 for a stem in floating point.
        stages: The elastic part.
        final_expand_width: Channels before pooling.
        feature_mix_width: Channels that the classifier sees.
        classifier_bits: 8, or 32 for a classifier in floating point.
        table_widths: Widths of a published cost table of this space, if there is one.
    """

    name: str
    input_channels: int
    n_classes: int
    resolutions: tuple[int, ...]
    w_bit_choices: tuple[int, ...] = ()
    a_bit_choices: tuple[int, ...] = ()
    stem_width: int
    stem_stride: int = 2
    stem_bits: int = 8
    stages: tuple[Stage, ...]
    final_expand_width: int
    feature_mix_width: int
    classifier_bits: int = 8
    table_widths: TableWidths | None = None

    def __post_init__(self) -> None:
        """Check the values; a ValueError names the first wrong one."""
        if not isinstance(self.name, str) or not self.name:
            raise ValueError(f"a search space needs a name, got {shown(self.name)}")
        if not self.name.isprintable() or len(self.name) > MAX_NAME:
            raise ValueError(
                f"name must be printable text of at most {MAX_NAME} characters, "
                f"got {shown(self.name)}"
            )
        check_choices("resolutions", self.resolutions)
        if self.resolutions[-1] > MAX_RESOLUTION:
            raise ValueError(
                f"resolutions must be at most {MAX_RESOLUTION}, got {self.resolutions}"
            )
        check_bit_choices(self.w_bit_choices, self.a_bit_choices)
        for name in ("stem_bits", "classifier_bits"):
            if whole_number(name, getattr(self, name)) not in (8, FLOAT_BITS):
                raise ValueError(f"{name} must be 8 or 32, got {getattr(self, name)}")
        for name in ("input_channels", "n_classes", "stem_width", *_HEAD_WIDTHS):
            check_width(name, getattr(self, name))
        if whole_number("stem_stride", self.stem_stride) not in (1, 2):
            raise ValueError(f"stem_stride must be 1 or 2, got {self.stem_stride}")
        if not isinstance(self.stages, tuple) or not self.stages:
            raise ValueError("a search space needs at least one stage")
        for i, stage in enumerate(self.stages):
            if not isinstance(stage, Stage):
                raise ValueError(f"stage {i} must be a Stage, got {shown(stage)}")
        if self.table_widths is not None:
            _check_table_widths(self.table_widths, len(self.stages))
        n_shapes = len(self.resolutions) * sum(
            stage.n_blocks * len(stage.kernel_sizes) * len(stage.expand_ratios)
            for stage in self.stages
        )
        if n_shapes > MAX_SHAPES:
            raise ValueError(
                f"a space may have {MAX_SHAPES:,} shapes of blocks (resolutions x blocks x kernel "
                f"sizes x expand ratios), got {n_shapes:,}"
            )

    @property
    def bit_choices(self) -> tuple[int, ...]:
        """Bit widths for weights and activations, where both have the same.

        Raises:
            ValueError: They have choices of their own.
        """
        if self.w_bit_choices != self.a_bit_choices:
            raise ValueError(
                f"{self.name} has other bits for weights than for activations: read w_bit_choices "
                "and a_bit_choices"
            )
        return self.w_bit_choices

    @property
    def layout(self) -> GenomeLayout:
        """The order of the genes; the same object for equal spaces."""
        return _layout(self)

    @property
    def uniform_bits(self) -> tuple[LayerBits, ...]:
        """Widths that all layers may have alike, from the fewest bits to the most."""
        return self.layout.uniform_bits

    def in_floating_point(self) -> SearchSpace:
        """The same architectures without any quantizer."""
        return replace(
            self,
            w_bit_choices=(),
            a_bit_choices=(),
            stem_bits=FLOAT_BITS,
            classifier_bits=FLOAT_BITS,
        )

    def contains(self, subnet: Subnet) -> bool:
        """Whether `subnet` is a member of this space."""
        try:
            self.layout.encode(subnet)
        except ValueError:
            return False
        return True

    def sample(self, rng: np.random.Generator) -> Subnet:
        """A random subnet; every gene uniform over its choices."""
        return self.layout.decode(self.layout.sample(rng, 1)[0])

    def smallest(self) -> Subnet:
        """The subnet with the first, smallest choice everywhere."""
        return self.layout.decode(self.layout.lowest())

    def largest(self) -> Subnet:
        """The subnet with the last, largest choice everywhere."""
        return self.layout.decode(self.layout.highest())

    def size(self) -> int:
        """Number of different subnets.

        Counted on canonical genomes: a block beyond the depth contributes one way, whatever
        its silent genes say, so no network is counted twice. Per stage this is the sum over
        depths d of (kernels * expands * bits^3)^d, bits being the pairs of weight and activation
        bits; times resolutions, times bits^2 for the first block and bits^2 for the head.
        """
        n_pairs = max(1, len(self.w_bit_choices)) * max(1, len(self.a_bit_choices))
        total = len(self.resolutions) * n_pairs**4
        for stage in self.stages:
            per_block = len(stage.kernel_sizes) * len(stage.expand_ratios) * n_pairs**3
            total *= sum(per_block**depth for depth in stage.depths)
        return total

    def log10_size(self) -> float:
        """log10 of `size()`."""
        return math.log10(self.size())

    def to_dict(self) -> dict[str, Any]:
        """Plain data, the same keys as a space's TOML file; `from_dict` reads it back.

        Equal choices of both sides stand as `bit_choices`.
        """
        values = {key: value for key, value in asdict(self).items() if value is not None}
        if self.w_bit_choices != self.a_bit_choices:
            return values
        del values["a_bit_choices"]
        return {"bit_choices" if key == "w_bit_choices" else key: v for key, v in values.items()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> SearchSpace:
        """The space that `to_dict` or a TOML file described.

        Raises:
            ValueError: A key is missing or unknown, or a value is out of range.
        """
        if not isinstance(data, Mapping):
            raise ValueError(f"a search space is a table, got {shown(data)}")
        values = dict(data)
        stages = values.get("stages")
        if not isinstance(stages, list | tuple):
            raise ValueError(f"a search space needs a list of stages, got {shown(stages)}")
        values["stages"] = tuple(
            _from_mapping(Stage, stage, f"stage {i}") for i, stage in enumerate(stages)
        )
        if values.get("table_widths") is not None:
            values["table_widths"] = _from_mapping(
                TableWidths, values["table_widths"], "table_widths"
            )
        apart = [f"{side}_bit_choices" for side in "wa"]
        is_short, n_apart = "bit_choices" in values, len(set(apart) & set(values))
        if is_short == (n_apart > 0) or n_apart == 1:
            raise ValueError(
                f"{cls.__name__} needs either bit_choices, or {' and '.join(apart)}, got "
                f"{shown(sorted({'bit_choices', *apart} & set(values)))}"
            )
        if is_short and not isinstance(values["bit_choices"], list | tuple):
            raise ValueError(
                f"bit_choices must be a list of whole numbers, got {shown(values['bit_choices'])}"
            )
        if is_short:
            values |= dict.fromkeys(apart, values.pop("bit_choices"))
        return _from_mapping(cls, values, cls.__name__)


@lru_cache(maxsize=64)
def _layout(space: SearchSpace) -> GenomeLayout:
    return GenomeLayout(
        space.name, space.resolutions, space.stages, space.w_bit_choices, space.a_bit_choices
    )


def _from_mapping(cls: type[T], data: object, where: str) -> T:
    if not isinstance(data, Mapping):
        raise ValueError(f"{where} must be a table, got {shown(data)}")
    required = {name: p.default is Parameter.empty for name, p in signature(cls).parameters.items()}
    unknown = sorted(str(key) for key in set(data) - set(required))
    if unknown:
        raise ValueError(
            f"unknown keys {shown(unknown)} in {where}; known are {', '.join(sorted(required))}"
        )
    missing = [name for name, is_required in required.items() if is_required and name not in data]
    if missing:
        raise ValueError(f"{where} lacks {', '.join(missing)}")
    values = {key: tuple(v) if isinstance(v, list) else v for key, v in data.items()}
    try:
        return cls(**values)
    except ValueError as error:
        raise ValueError(f"{where}: {error}" if cls is Stage else str(error)) from error


def _check_table_widths(table: TableWidths, n_stages: int) -> None:
    if not isinstance(table, TableWidths):
        raise ValueError(f"table_widths must be a table, got {shown(table)}")
    for name in ("input_channels", "stem", "final_expand", "feature_mix", "n_classes"):
        check_width(f"{name} of table_widths", getattr(table, name))
    if not isinstance(table.stages, tuple) or len(table.stages) != n_stages:
        raise ValueError(
            f"stages of table_widths must be {n_stages} widths, got {shown(table.stages)}"
        )
    for width in table.stages:
        check_width("each of stages of table_widths", width)
