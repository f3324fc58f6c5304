"""The training recipe as one frozen value."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from importlib.resources import files
from typing import Any, Literal

from search_spaces.plain_data import finite_number, parse_toml, read_text, shown

PRESETS = ("cifar10", "fashion-mnist", "own-images", "imagenet")
OPTIMIZERS = ("adamw", "muon", "sgd")
PRECISIONS = ("float32", "bfloat16", "float16")
SUBNET_LOSSES = ("mean", "sum")
POLICIES = ("none", "randaugment")
LARGEST_SEED = 2**63 - 1  # that torch takes
LARGEST_STEP = 2**20  # images; more than any memory that trains holds
KINDS: dict[str, tuple[type, str]] = {
    "int": (int, "a whole number"),
    "float": (float, "a number"),
    "bool": (bool, "true or false"),
    "str": (str, "a word"),
}
PHASES = ("teacher_", "float_", "mixed_", "")  # before "epochs" and "steps" of each
LONGEST = 10**9  # epochs or steps of a phase
PhaseName = Literal["teacher", "float", "mixed", "quantized"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """How a supernet is trained; every field is stored with the result.

    A step runs `parts` batches of `batch_size` images, each part with random subnets of its own.
    Statistics of norms and activation quantizers are those of one subnet in one part, gradients
    are averaged over parts. Processes share parts and subnets, so their number changes the speed
    and not the result.

    Attributes:
        teacher_width: First width of a dense residual network that is trained as the teacher; 0
            takes the largest network of the float phase.
        teacher_epochs: Epochs of that network.
        float_epochs: Epochs of the largest network in floating point, the starting weights; 0 to
            start from a given supernet.
        mixed_epochs: Epochs of the supernet in which 32 bits is one more choice.
        epochs: Epochs of the supernet with the space's own bit widths, after those.
        teacher_steps: Optimizer steps of that phase at least, however few images an epoch has;
            so for `float_steps`, `mixed_steps` and `steps`. A phase of 0 epochs is left out.
        rounds: Further quantized phases at most, while the validation split has more to gain.
        separate_schedules: Whether each of the two has a warm-up and cosine of its own.
        batch_size: Images per part.
        parts: Batches per optimizer step.
        n_random: Random subnets per part beside the largest and the smallest.
        optimizer: "adamw", "muon" (Muon for dense convolutions, AdamW for everything else), or
            "sgd" with Nesterov momentum 0.9.
        learning_rate: Peak of the rate with quantizers.
        float_learning_rate: Peak of the rate in floating point, teacher included.
        scale_rate_factor: Rate of weight steps over the rate of everything else.
        adamw_rate_factor: Rate of what AdamW moves beside Muon, the norms among it, over the rate
            of the recipe. In a long training a high one shuts channels for good.
        warmup_epochs: Linear rise at the start of each schedule, at most a tenth of it; a cosine
            to zero follows.
        weight_decay: On convolution and classifier weights only.
        label_weight: Factor of the label loss where there is a teacher, else 1.
        teacher_weight: Factor of the loss against the teacher's soft labels.
        subnet_losses: "mean" or "sum" over the subnets of a part; over parts it is the mean.
        label_smoothing: Of the label loss.
        clip_norm: Largest norm of the gradient.
        shift_share: Images in memory are moved by up to this share of their side each way.
        flip: Whether half of the images are mirrored.
        crop_share: A random part of an image is shown, of at least this share of the area; 1
            shows all of it.
        colour: How far brightness, contrast and saturation of images in memory vary, 0 to 1.
        policy: "randaugment" applies torchvision's to each view of images in memory; or "none".
        views: Ways to show each image at most, drawn beforehand; the teacher looks at all.
        precision: Of convolutions on a GPU; a CPU always computes in float32.
        seed: Of weights, image order, augmentation and subnets.
    """

    teacher_width: int = 0
    teacher_epochs: float = 0.0
    float_epochs: float = 4.0
    mixed_epochs: float = 2.0
    epochs: float = 8.0
    teacher_steps: int = 0
    float_steps: int = 0
    mixed_steps: int = 0
    steps: int = 0
    rounds: int = 0
    separate_schedules: bool = False
    batch_size: int = 64
    parts: int = 2
    n_random: int = 2
    optimizer: Literal["adamw", "muon", "sgd"] = "adamw"
    learning_rate: float = 2e-3
    float_learning_rate: float = 2e-3
    scale_rate_factor: float = 0.1
    adamw_rate_factor: float = 1.0
    warmup_epochs: float = 0.2
    weight_decay: float = 1e-4
    label_weight: float = 0.5
    teacher_weight: float = 0.5
    subnet_losses: Literal["mean", "sum"] = "mean"
    label_smoothing: float = 0.0
    clip_norm: float = 2.0
    shift_share: float = 0.0714
    flip: bool = True
    crop_share: float = 1.0
    colour: float = 0.0
    policy: Literal["none", "randaugment"] = "none"
    views: int = 16
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the values; a ValueError names the first wrong one."""
        for name in ("learning_rate", "float_learning_rate", "clip_norm", "epochs"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} must be a positive number, got {value}")
        not_negative = ("teacher_epochs", "float_epochs", "mixed_epochs", "warmup_epochs")
        weights = ("label_weight", "teacher_weight", "weight_decay")
        factors = ("scale_rate_factor", "adamw_rate_factor")
        for name in (*not_negative, *weights, *factors):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} must be a number of at least 0, got {value}")
        for name in ("label_smoothing", "shift_share", "crop_share", "colour"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be between 0 and 1, got {getattr(self, name)}")
        counts = (("batch_size", 2), ("parts", 1), ("n_random", 0), ("teacher_width", 0))
        steps = (("teacher_steps", 0), ("float_steps", 0), ("mixed_steps", 0), ("steps", 0))
        for name, least in (*counts, *steps, ("rounds", 0), ("views", 1), ("seed", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        largest = (("images_per_step", LARGEST_STEP), ("n_random", 1000), ("views", 1000))
        lengths = [f"{phase}{unit}" for phase in PHASES for unit in ("epochs", "steps")]
        for name, most in (*largest, *((name, LONGEST) for name in lengths), ("rounds", 1000)):
            if getattr(self, name) > most:
                raise ValueError(f"{name} must be at most {most}, got {shown(getattr(self, name))}")
        if self.seed > LARGEST_SEED:
            raise ValueError(f"seed must be at most {LARGEST_SEED}, got {shown(self.seed)}")
        closed = (("optimizer", OPTIMIZERS), ("precision", PRECISIONS))
        for name, known in (*closed, ("subnet_losses", SUBNET_LOSSES), ("policy", POLICIES)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {known}, got {getattr(self, name)!r}")
        if (self.teacher_width > 0) != (self.teacher_epochs > 0):
            raise ValueError("teacher_width and teacher_epochs go together: set both or none")

    @property
    def images_per_step(self) -> int:
        """Images of one optimizer step, all processes together."""
        return self.batch_size * self.parts

    def n_steps(self, phase: PhaseName, n: int) -> int:
        """Optimizer steps of a phase on `n` images."""
        epochs, least = {
            "teacher": (self.teacher_epochs, self.teacher_steps),
            "float": (self.float_epochs, self.float_steps),
            "mixed": (self.mixed_epochs, self.mixed_steps),
            "quantized": (self.epochs, self.steps),
        }[phase]
        return max(least, math.ceil(epochs * n / self.images_per_step)) if epochs else 0


def read_recipe(values: Mapping[str, Any]) -> TrainConfig:
    """The recipe that is stored with a result, possibly of an older version.

    Raises:
        ValueError: It has settings that this version does not know.
    """
    values = dict(values)
    try:
        if "teacher_share" in values:  # until the weights of the two losses were named apart
            share = finite_number("teacher_share", values.pop("teacher_share"))
            values |= {"label_weight": 1 - share, "teacher_weight": share}
        return TrainConfig(**checked(values))
    except ValueError as error:
        raise ValueError(f"no recipe of this version: {error}") from error


def preset(name: str, **changes: Any) -> TrainConfig:
    """A recipe of the package or of a TOML file, with some of its fields changed.

    Args:
        name: One of `PRESETS`, or a file that ends in ".toml"; what it leaves out has the value
            that `TrainConfig` gives it.
        changes: Fields by name.

    Raises:
        ValueError: No such recipe or file, an unknown field, or a value of the wrong type or out
            of range.
    """
    if name.endswith(".toml"):
        text = read_text(name, "recipe")
        try:
            values = parse_toml(text)
        except ValueError as error:
            raise ValueError(f"{name} is not a readable recipe: {error}") from None
        try:
            return TrainConfig(**checked({**values, **changes}))
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    if name not in PRESETS:
        known = f"choose one of {', '.join(PRESETS)}, or a file that ends in .toml"
        raise ValueError(f"unknown preset {name!r}: {known}")
    text = (files("qfa_search.training") / "presets" / f"{name}.toml").read_text(encoding="utf-8")
    return TrainConfig(**checked({**parse_toml(text), **changes}))


def settings(pairs: Sequence[str]) -> dict[str, Any]:
    """Fields of a recipe from texts like "flip=false" or "optimizer=sgd".

    Raises:
        ValueError: A text of another form, an unknown field or a value of the wrong type.
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = (part.strip() for part in pair.partition("="))
        if not (name and equals and text):
            raise ValueError(f"expected NAME=VALUE, as in flip=false, got {pair!r}")
        try:
            (value,) = parse_toml(f"value = {text}").values()
        except ValueError:
            value = text  # a word without quotes
        found |= checked({name: value})
    return found


def checked(values: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a recipe by name, each with a value of its type; whole numbers serve as decimals.

    Raises:
        ValueError: An unknown field, named with the nearest known one, or a value of another type.
    """
    types = {field.name: str(field.type) for field in fields(TrainConfig)}
    found: dict[str, Any] = {}
    for name, value in values.items():
        if name not in types:
            near = get_close_matches(str(name), types, n=1, cutoff=0.0)
            raise ValueError(f"a recipe has no {name!r}; the nearest is {near[0]!r}")
        wanted = types[name]
        if wanted == "float" and isinstance(value, int) and not isinstance(value, bool):
            value = finite_number(name, value)
        kind, words = KINDS[wanted if wanted in KINDS else "str"]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise ValueError(f"{name} must be {words}, got {shown(value)}")
        found[name] = value
    return found
