"""The recipe: a teacher, a float network to start from, then every bit width at once."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from qfa_search.errors import QFAError
from qfa_search.images.memory import Images
from qfa_search.images.on_disk import FolderImages
from qfa_search.supernet.allocator import reuse_freed_memory
from qfa_search.supernet.mobilenet_v3 import Supernet
from qfa_search.training.batches import (
    FolderBatches,
    MemoryBatches,
    TrainSource,
    teacher_logits_in_memory,
)
from qfa_search.training.config import TrainConfig
from qfa_search.training.distributed import World, add_up
from qfa_search.training.phase import NO_ORIGINS, Phase, Progress, run_phase
from qfa_search.training.pretrained import PretrainedNetwork, pretrained_network
from qfa_search.training.residual_network import ResidualNetwork
from qfa_search.training.sandwich import sandwich
from qfa_search.training.teacher import (
    Teacher,
    dense_teacher,
    is_dense_teacher,
    largest_as_teacher,
    load_teacher,
    open_supernet_as_teacher,
    save_teacher,
)
from search_spaces import SearchSpace, Subnet

TEACHER_FILE = "teacher.safetensors"
TEACHER_BATCHES = 30
# Of the float rate, for trained weights, which are moved slowly. Muon's rates are higher.
TUNING_RATES = {"adamw": 0.1, "sgd": 0.1, "muon": 0.02}
# A second schedule starts from good weights: half the rate moves them without undoing them.
RATE_OF_TRAINING_ON = 0.5
ROUND_SHARE = 0.5  # of the quantized steps that a further round has
SOFT_LABEL_BATCH = 250
STEP = "weight_scale"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Trained:
    """What a training ends with.

    Attributes:
        supernet: The supernet.
        teacher: The network that taught it.
        n_rounds: Further rounds that it took.
    """

    supernet: Supernet
    teacher: Teacher
    n_rounds: int = 0


def train_supernet(
    space: SearchSpace,
    images: Images | FolderImages,
    config: TrainConfig,
    out: Path,
    *,
    world: World,
    on_step: Callable[[Progress], None],
    goes_on: Callable[[Trained], bool],
    teacher_file: Path | None = None,
    teacher_weights: Path | None = None,
    init: Supernet | None = None,
    origins: Mapping[str, object] = NO_ORIGINS,
    about_images: Mapping[str, object] = NO_ORIGINS,
) -> Trained:
    """A supernet of `space` trained on `images`.

    Checkpoints go to `out`; when it holds some of the same recipe, training goes on from them.

    Args:
        space: What to train; its bit choices are all trained at once.
        images: Training split, in memory at the space's largest resolution or on disk.
        config: Recipe.
        out: Folder of the checkpoints.
        world: This process among those that train together.
        on_step: Called after every step.
        goes_on: Whether a further round follows, as far as the recipe allows one; every process
            asks it, and all get the same answer.
        teacher_file: A dense teacher or a supernet to learn from; none is trained then.
        teacher_weights: Weights of a classifier of torchvision or timm, which is tuned to the
            images and takes the place of the dense teacher.
        init: Where the float network starts from, as far as names and shapes agree; without
            float epochs the quantizers start from there too.
        origins: What else the training depends on, as JSON values by name, for its checkpoints.
        about_images: What the teacher's file says of the images, as JSON values by name.

    Raises:
        TrainingError: The loss is not a number any more.
        CheckpointMismatchError: `out` holds checkpoints of another recipe, space or `origins`, or
            the teacher is for other images.
    """
    reuse_freed_memory()
    n_images = len(images)
    if isinstance(images, FolderImages) and (unused := _for_memory_only(config)):
        logger.info("the recipe's %s is for images in memory, these are on disk", unused)
    origins = {"space": space.to_dict(), **origins}
    run = _Run(space, images, config, out, world, on_step, origins)
    plain = run.source(None)
    teacher = None
    if teacher_file is not None and is_dense_teacher(teacher_file):
        teacher = load_teacher(teacher_file, space)
    elif teacher_file is not None:
        teacher = run.largest_as_teacher(open_supernet_as_teacher(teacher_file, space))
    elif config.teacher_width:
        torch.manual_seed(config.seed)
        phase = run.plain_phase("teacher", config.n_steps("teacher", n_images))
        network: ResidualNetwork | PretrainedNetwork
        if teacher_weights is None:
            network = dense_teacher(space, config.teacher_width)
        else:
            side = max(space.resolutions)
            network = pretrained_network(teacher_weights, space.n_classes, side)
            rate = TUNING_RATES[config.optimizer] * phase.learning_rate
            phase = replace(phase, learning_rate=rate)
            logger.info("the teacher is a %s with the weights of %s", network.name, teacher_weights)
        run.phase(phase, network, plain)
        if world.is_first:
            save_teacher(out / TEACHER_FILE, network, space, config.teacher_width, about_images)
        teacher = Teacher(network.eval(), max(space.resolutions), space.n_classes)

    torch.manual_seed(config.seed)
    float_net = Supernet(space.in_floating_point())
    is_trained = init is not None and _start_from(float_net, init)
    taught = plain if teacher is None else run.source(teacher)
    if config.float_epochs:
        largest = float_net.space.largest()
        steps = config.n_steps("float", n_images)
        phase = replace(run.plain_phase("float", steps), subnets=lambda rng, step: [largest])
        run.phase(phase, float_net, taught)
    if teacher is None:
        if not (is_trained or config.float_epochs):
            raise QFAError(
                "without float epochs there has to be a teacher, or a supernet to start from that "
                "has all weights of this one"
            )
        teacher = run.largest_as_teacher(float_net)
        taught = run.source(teacher)

    supernet = Supernet(space)
    supernet.load_state_dict(float_net.state_dict(), strict=False)
    supernet.reset_weight_scales()
    if init is not None and not config.float_epochs:
        _start_from(supernet, init)
    for phase in bit_phases(space, n_images, config):
        run.phase(phase, supernet, taught)
    trained = Trained(supernet, teacher)
    for phase in further_rounds(space, n_images, config):
        if not goes_on(trained):
            break
        run.phase(phase, supernet, taught)
        trained = replace(trained, n_rounds=trained.n_rounds + 1)
    return trained


def bit_phases(space: SearchSpace, n_images: int, config: TrainConfig) -> list[Phase]:
    """The phases with quantizers: 32 bits is one more choice at first.

    They share one schedule of the rate, or each has its own (`config.separate_schedules`).
    """
    mixed, final = (config.n_steps(name, n_images) for name in ("mixed", "quantized"))

    def subnets(n_float_steps: int) -> Callable[[np.random.Generator, int], list[Subnet]]:
        return lambda rng, step: sandwich(
            space, rng, n_random=config.n_random, float_bits=step < n_float_steps
        )

    def phase(name: str, steps: int, n_float_steps: int) -> Phase:
        return Phase(
            name=name,
            n_steps=steps,
            learning_rate=config.learning_rate,
            resolution=max(space.resolutions),
            subnets=subnets(n_float_steps),
        )

    if config.separate_schedules and mixed:
        return [phase("mixed", mixed, mixed), phase("quantized", final, 0)]
    return [phase("quantized", mixed + final, mixed)]


def further_rounds(space: SearchSpace, n_images: int, config: TrainConfig) -> list[Phase]:
    """The rounds that may follow: quantized phases of half the steps at half the rate.

    They go on with the images and subnets where the phases before them ended.
    """
    *_, last = bit_phases(space, n_images, config)
    steps = math.ceil(ROUND_SHARE * config.n_steps("quantized", n_images))
    before = config.n_steps("mixed", n_images) + config.n_steps("quantized", n_images)
    rate = RATE_OF_TRAINING_ON * config.learning_rate
    return [
        replace(
            last,
            name=f"quantized-{2 + i}",
            n_steps=steps,
            learning_rate=rate,
            first_draw=before + i * steps,
        )
        for i in range(config.rounds)
    ]


@dataclass(frozen=True)
class _Run:
    """What all phases of a training share."""

    space: SearchSpace
    images: Images | FolderImages
    config: TrainConfig
    out: Path
    world: World
    on_step: Callable[[Progress], None]
    origins: Mapping[str, object]

    def plain_phase(self, name: str, steps: int) -> Phase:
        """A phase in floating point that trains the network as it is."""
        return Phase(
            name=name,
            n_steps=steps,
            learning_rate=self.config.float_learning_rate,
            resolution=max(self.space.resolutions),
            subnets=_whole_network,
        )

    def phase(
        self, phase: Phase, network: nn.Module, taught: tuple[TrainSource, Teacher | None]
    ) -> None:
        """Run a phase on this process's device."""
        network.to(self.world.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        source, on_the_fly = taught
        run_phase(
            replace(phase, teacher=on_the_fly),
            network,
            source,
            self.config,
            self.out,
            world=self.world,
            on_step=self.on_step,
            origins=self.origins,
        )

    def largest_as_teacher(self, supernet: Supernet) -> Teacher:
        """A supernet's largest network in floating point, recalibrated on the images."""
        size = self.config.batch_size
        drawn = self.images.drawn(TEACHER_BATCHES * size)
        batches = drawn.batches(max(supernet.space.resolutions), size)
        return largest_as_teacher(supernet.cpu(), batches, TEACHER_BATCHES)

    def source(self, teacher: Teacher | None) -> tuple[TrainSource, Teacher | None]:
        """The batches, and the teacher if it has to run with each of them."""
        device = self.world.device
        if teacher is not None:
            # One layout for a teacher just trained and one read from a file: equal logits.
            teacher.network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if isinstance(self.images, FolderImages):
            return FolderBatches(self.images, self.config, _decoders()), teacher
        logits = None
        if teacher is not None:
            share = slice(self.world.rank, None, self.world.size)
            part = teacher_logits_in_memory(
                teacher,
                self.images,
                self.config,
                batch_size=SOFT_LABEL_BATCH,
                device=device,
                share=share,
            )
            logits = add_up(part, self.world)
        return MemoryBatches(self.images, self.config, logits), None


def _for_memory_only(config: TrainConfig) -> str:
    """What the recipe asks of the look of images that those on disk do not get."""
    asked = {
        "colour": config.colour > 0,
        "policy": config.policy != "none",
        "shift_share": config.shift_share > 0,
    }
    return " and ".join(name for name, is_asked in asked.items() if is_asked)


def _whole_network(rng: np.random.Generator, step: int) -> Sequence[Subnet | None]:
    return [None]


def _decoders() -> int:
    """Threads that decode images: those of a GPU machine's cores, one beside a CPU training."""
    return min(16, os.cpu_count() or 1) if torch.cuda.is_available() else 1


def _start_from(network: Supernet, init: Supernet) -> bool:
    """Take over every tensor of `init` of the same name, shape and bits; the share is told.

    Steps of weights that are not taken are not, either. Returns whether all tensors were taken.
    """
    own = network.state_dict()
    fitting = {
        name: value
        for name, value in init.state_dict().items()
        if name in own
        and own[name].shape == value.shape
        and network.columns(name) == init.columns(name)
    }
    for name in [name for name in fitting if name.endswith(STEP)]:
        if name.removesuffix(STEP) + "weight" not in fitting:
            del fitting[name]
    network.load_state_dict({**own, **fitting})
    n_taken, n_all = (sum(t.numel() for t in some.values()) for some in (fitting, own))
    logger.info(
        "%d of %d tensors, %.0f %% of the weights, are those of the supernet it starts from",
        *(len(fitting), len(own), 100 * n_taken / n_all),
    )
    return len(fitting) == len(own)
