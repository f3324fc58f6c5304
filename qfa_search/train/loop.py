"""The training of a supernet: a float network first, then every bit width at once.

All randomness of a step is drawn from the seed and the step's number, so a run that was
interrupted goes on as if it had not been.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from qfa_search.allocator import reuse_freed_memory
from qfa_search.data import Images, resize
from qfa_search.errors import TrainingError
from qfa_search.supernet.extract import StaticNetwork, extract
from qfa_search.supernet.mobilenet_v3 import Supernet
from qfa_search.supernet.recalibrate import recalibrate
from qfa_search.train.augment import augment
from qfa_search.train.checkpoint import load_checkpoint, save_checkpoint
from qfa_search.train.config import TrainConfig
from qfa_search.train.distill import distillation_loss
from qfa_search.train.distributed import World, average_gradients
from qfa_search.train.sandwich import sandwich
from search_spaces import SearchSpace, Subnet

CHECKPOINT_SECONDS = 60.0
TEACHER_BATCHES = 30
ADAM_BETAS = (0.9, 0.99)


@dataclass(frozen=True, slots=True)
class Progress:
    """Where the training stands after a step.

    Attributes:
        phase: "float" or "quantized".
        step: Steps done in this phase.
        n_steps: Steps of this phase.
        losses: Loss of each subnet of the step, the largest first, then the smallest.
        images_per_second: Images per second since this phase started here, all processes.
    """

    phase: str
    step: int
    n_steps: int
    losses: tuple[float, ...]
    images_per_second: float


@dataclass(frozen=True, slots=True)
class Phase:
    """What differs between the float and the quantized phase."""

    name: str
    n_steps: int
    learning_rate: float
    subnets: Callable[[np.random.Generator, int], list[Subnet]]
    teacher: StaticNetwork | None


def train_supernet(
    space: SearchSpace,
    images: Images,
    config: TrainConfig,
    out: Path,
    *,
    world: World,
    on_step: Callable[[Progress], None],
) -> Supernet:
    """A supernet of `space` trained on `images`.

    Checkpoints go to `out`; when it holds some of the same recipe, training goes on from them.

    Args:
        space: What to train; its bit choices are all trained at once.
        images: Training split at the space's largest resolution.
        config: Recipe.
        out: Folder of the checkpoints.
        world: This process among those that train together.
        on_step: Called after every step.

    Raises:
        TrainingError: The loss is not a number any more.
        CheckpointMismatchError: `out` holds checkpoints of another recipe.
    """
    reuse_freed_memory()
    steps_per_epoch = len(images) / (config.batch_size * world.size)
    torch.manual_seed(config.seed)
    float_space = space.in_floating_point()
    float_net = Supernet(float_space)
    largest = float_space.largest()
    _run_phase(
        Phase(
            "float",
            math.ceil(config.float_epochs * steps_per_epoch),
            config.float_learning_rate,
            lambda rng, step: [largest],
            None,
        ),
        float_net,
        images,
        config,
        out / "float.ckpt",
        world,
        on_step,
    )
    teacher = extract(float_net, largest)
    drawn = images.drawn(TEACHER_BATCHES * config.batch_size, config.seed)
    recalibrate(teacher, drawn.batches(largest.resolution, config.batch_size), TEACHER_BATCHES)

    supernet = Supernet(space)
    supernet.load_state_dict(float_net.state_dict(), strict=False)
    supernet.reset_weight_scales()
    n_steps = math.ceil(config.epochs * steps_per_epoch)
    _run_phase(
        Phase(
            "quantized",
            n_steps,
            config.learning_rate,
            lambda rng, step: sandwich(
                space,
                rng,
                n_random=config.n_random,
                float_bits=step < config.float_bits_share * n_steps,
            ),
            teacher,
        ),
        supernet,
        images,
        config,
        out / "quantized.ckpt",
        world,
        on_step,
    )
    return supernet


def _run_phase(
    phase: Phase,
    network: Supernet,
    images: Images,
    config: TrainConfig,
    checkpoint: Path,
    world: World,
    on_step: Callable[[Progress], None],
) -> None:
    """Train `network` in place, from its checkpoint if there is one."""
    optimizer = _optimizer(network, phase.learning_rate, config)
    first = load_checkpoint(
        checkpoint, config=config, phase=phase.name, network=network, optimizer=optimizer
    )

    def save(step: int) -> None:
        if world.is_first:
            save_checkpoint(
                checkpoint,
                config=config,
                phase=phase.name,
                step=step,
                network=network,
                optimizer=optimizer,
            )

    network.train()
    started = saved = time.monotonic()
    done = first
    try:
        for step in range(first, phase.n_steps):
            _set_rate(optimizer, step, phase, config)
            losses = _step(phase, network, optimizer, images, config, step, world)
            done = step + 1
            now = time.monotonic()
            if now - saved > CHECKPOINT_SECONDS:
                save(done)
                saved = now
            n_images = (done - first) * config.batch_size * world.size
            on_step(Progress(phase.name, done, phase.n_steps, losses, n_images / (now - started)))
    except KeyboardInterrupt:
        save(done)
        raise
    if done > first:
        save(done)


def _step(
    phase: Phase,
    network: Supernet,
    optimizer: torch.optim.Optimizer,
    images: Images,
    config: TrainConfig,
    step: int,
    world: World,
) -> tuple[float, ...]:
    """One optimizer step over the subnets of the step, gradients accumulated."""
    batch = images.take(_batch_indices(len(images), config, step, world))
    generator = torch.Generator().manual_seed(_step_seed(config, step, world))
    inputs = augment(
        batch.normalized(), shift=config.shift_pixels, flip=config.flip, generator=generator
    )
    subnets = phase.subnets(np.random.default_rng([config.seed, 0, step]), step)
    teacher_logits = _logits(phase.teacher, inputs) if phase.teacher else None
    losses = []
    optimizer.zero_grad(set_to_none=True)
    for subnet in subnets:
        loss = distillation_loss(
            network(resize(inputs, subnet.resolution), subnet),
            batch.labels,
            teacher_logits,
            teacher_share=config.teacher_share,
            label_smoothing=config.label_smoothing,
        )
        torch.autograd.backward(loss / len(subnets))
        losses.append(float(loss.detach()))
    if not all(map(math.isfinite, losses)):
        raise TrainingError(
            f"the loss is not a number in step {step} of the {phase.name} phase: lower the "
            "learning rate; the last checkpoint is from before it"
        )
    average_gradients(network.parameters(), world)
    nn.utils.clip_grad_norm_(network.parameters(), config.clip_norm)
    optimizer.step()
    return tuple(losses)


def _step_seed(config: TrainConfig, step: int, world: World) -> int:
    sequence = np.random.SeedSequence([config.seed, 2, step, world.rank])
    return int(sequence.generate_state(1)[0])


@torch.no_grad()
def _logits(teacher: StaticNetwork, inputs: Tensor) -> Tensor:
    logits: Tensor = teacher(resize(inputs, teacher.subnet.resolution))
    return logits


def _batch_indices(n: int, config: TrainConfig, step: int, world: World) -> np.ndarray:
    """This process's images of a step: consecutive parts of a permutation drawn per epoch."""
    size = config.batch_size * world.size
    positions = np.arange(step * size, (step + 1) * size)
    positions = positions[world.rank * config.batch_size :][: config.batch_size]
    parts = []
    for epoch in np.unique(positions // n):
        order = np.random.default_rng([config.seed, 1, int(epoch)]).permutation(n)
        parts.append(order[positions[positions // n == epoch] % n])
    return np.concatenate(parts)


def _optimizer(
    network: Supernet, learning_rate: float, config: TrainConfig
) -> torch.optim.Optimizer:
    """AdamW that decays weights only, and moves the weight steps slowly."""
    weights, scales, others = [], [], []
    for name, parameter in network.named_parameters():
        if name.endswith(".weight"):
            weights.append(parameter)
        elif name.endswith(".weight_scale"):
            scales.append(parameter)
        else:
            others.append(parameter)
    groups = [
        {"params": weights, "weight_decay": config.weight_decay, "rate_factor": 1.0},
        {"params": others, "weight_decay": 0.0, "rate_factor": 1.0},
        {"params": scales, "weight_decay": 0.0, "rate_factor": config.scale_rate_factor},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]], lr=learning_rate, betas=ADAM_BETAS
    )


def _set_rate(
    optimizer: torch.optim.Optimizer, step: int, phase: Phase, config: TrainConfig
) -> None:
    """Linear warm-up, then a cosine to zero."""
    warmup = min(config.warmup_steps, phase.n_steps // 10)
    if step < warmup:
        share = (step + 1) / warmup
    else:
        share = 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, phase.n_steps - warmup)))
    for group in optimizer.param_groups:
        group["lr"] = phase.learning_rate * share * group["rate_factor"]
