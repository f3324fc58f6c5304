"""One phase of a training: the loop over optimizer steps.

All randomness of a step is drawn from the seed and the step's number, so a run that was
interrupted goes on as if it had not been.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from qfa_search.errors import TrainingError
from qfa_search.images.memory import resize
from qfa_search.training.batches import TrainBatch, TrainSource, prefetched
from qfa_search.training.checkpoint import Checkpoint
from qfa_search.training.config import TrainConfig
from qfa_search.training.distill import distillation_loss
from qfa_search.training.distributed import World, average, average_gradients
from qfa_search.training.optimizer import make_optimizer, rate_share, set_rate
from qfa_search.training.residual_network import ResidualNetwork
from qfa_search.training.teacher import Teacher
from search_spaces import Subnet

CHECKPOINT_SECONDS = 60.0
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True, slots=True)
class Progress:
    """Where the training stands after a step.

    Attributes:
        phase: "teacher", "float", "mixed" (with 32 bits as a choice) or "quantized".
        step: Steps done in this phase.
        n_steps: Steps of this phase.
        losses: Loss of each subnet of the step, the largest first, then the smallest.
        learning_rate: Rate of the step.
        gradient_norm: Before clipping.
        images_per_second: Images per second since this phase started here, all processes.
        epoch: Epochs of this phase done.
    """

    phase: str
    step: int
    n_steps: int
    losses: tuple[float, ...]
    learning_rate: float
    gradient_norm: float
    images_per_second: float
    epoch: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """What differs between the phases of a training.

    Attributes:
        name: Of the progress and of the checkpoint file.
        n_steps: Optimizer steps.
        learning_rate: Peak of the rate.
        resolution: Side of the images of a network without subnets.
        subnets: The subnets of one part of a step, drawn with its random generator; None in
            their place means the network as it is.
        teacher: Computes the soft labels that the batches do not bring.
    """

    name: str
    n_steps: int
    learning_rate: float
    resolution: int
    subnets: Callable[[np.random.Generator, int], Sequence[Subnet | None]]
    teacher: Teacher | None = None

    def drawn(self, seed: int, step: int, part: int) -> list[tuple[Subnet | None, int]]:
        """The subnets of one part of a step, each with its resolution."""
        subnets = self.subnets(np.random.default_rng([seed, 0, step, part]), step)
        return [(s, self.resolution if s is None else s.resolution) for s in subnets]


def run_phase(
    phase: Phase,
    network: nn.Module,
    source: TrainSource,
    config: TrainConfig,
    out: Path,
    *,
    world: World,
    on_step: Callable[[Progress], None],
) -> None:
    """Train `network` in place, from its checkpoint in `out` if there is one.

    Raises:
        TrainingError: The loss is not a number any more.
        CheckpointMismatchError: The checkpoint is damaged or of another recipe.
    """
    optimizer = make_optimizer(network, config)
    scaler = torch.amp.GradScaler(
        world.device.type, enabled=config.precision == "float16" and world.device.type == "cuda"
    )
    checkpoint = Checkpoint(out / f"{phase.name}.ckpt", config, network, optimizer, scaler)
    first = checkpoint.load()
    network.train()
    parts = world.parts(config.parts)
    warmup_steps = round(config.warmup_epochs * len(source) / config.images_per_step)
    steps = range(first, phase.n_steps)
    drawn = partial(phase.drawn, config.seed)
    batches = prefetched(
        (
            partial(source.batch, step, part, [r for _, r in drawn(step, part)])
            for step in steps
            for part in parts
        ),
        is_eager=world.device.type == "cuda",
    )
    started = saved = time.monotonic()
    done, is_whole = first, True
    try:
        for step in steps:
            rate = phase.learning_rate * rate_share(step, phase.n_steps, warmup_steps)
            set_rate(optimizer, rate)
            found, gradients = [], None
            for part in parts:
                found.append(
                    _accumulate(
                        network, next(batches), drawn(step, part), phase, config, world, scaler
                    )
                )
                gradients = _added(network, gradients)
            losses = average(
                [sum(of_subnet) / len(parts) for of_subnet in zip(*found, strict=True)], world
            )
            is_whole = False
            norm = _update(network, optimizer, config, world, scaler)
            if not all(map(math.isfinite, losses)) or not (
                math.isfinite(norm) or scaler.is_enabled()
            ):
                raise TrainingError(
                    f"the loss is not a number in step {step} of the {phase.name} phase: give a "
                    "lower --learning-rate; the last checkpoint is from before it"
                )
            done, is_whole = step + 1, True
            now = time.monotonic()
            if world.is_first and now - saved > CHECKPOINT_SECONDS:
                checkpoint.save(done)
                saved = now
            n_images = (done - first) * config.images_per_step
            on_step(
                Progress(
                    phase=phase.name,
                    step=done,
                    n_steps=phase.n_steps,
                    losses=losses,
                    learning_rate=rate,
                    gradient_norm=norm,
                    images_per_second=n_images / (now - started),
                    epoch=done * config.images_per_step / len(source),
                )
            )
    except KeyboardInterrupt:
        if world.is_first and is_whole:  # else it came amid the update
            checkpoint.save(done)
        raise
    if world.is_first and done > first:
        checkpoint.save(done)


def _accumulate(
    network: nn.Module,
    batches: list[TrainBatch],
    subnets: list[tuple[Subnet | None, int]],
    phase: Phase,
    config: TrainConfig,
    world: World,
    scaler: torch.amp.GradScaler,
) -> list[float]:
    """Leave the gradients of one part, added up over its subnets; returns their losses."""
    network.zero_grad(set_to_none=True)
    batches = [batch.to(world.device) for batch in batches]
    n_parts = config.parts // world.size
    shared_logits = None
    if phase.teacher is not None:  # batches are the same images then
        finest = max(batches, key=lambda batch: batch.images.shape[-1])
        shared_logits = _logits(phase.teacher, finest.images)
    losses = []
    for (subnet, _), batch in zip(subnets, batches, strict=True):
        images = batch.images
        teacher_logits = batch.teacher_logits if shared_logits is None else shared_logits
        with _autocast(network, config, world):
            logits = network(images) if subnet is None else network(images, subnet)
        loss = distillation_loss(
            logits.float(),
            batch.labels,
            teacher_logits,
            teacher_share=config.teacher_share,
            label_smoothing=config.label_smoothing,
        )
        torch.autograd.backward(scaler.scale(loss / (len(subnets) * n_parts)))
        losses.append(loss.detach())
    values: list[float] = torch.stack(losses).double().tolist()
    return values


def _autocast(network: nn.Module, config: TrainConfig, world: World) -> torch.autocast:
    """The recipe's precision on a GPU; on a CPU bfloat16 for dense networks where it has it.

    Depthwise convolutions and quantizers gain nothing from it there.
    """
    if world.device.type != "cpu":
        is_on = config.precision != "float32"
        return torch.autocast(world.device.type, DTYPES[config.precision], enabled=is_on)
    is_on = isinstance(network, ResidualNetwork) and torch.cpu._is_avx512_bf16_supported()
    return torch.autocast("cpu", torch.bfloat16, enabled=is_on)


def _added(network: nn.Module, earlier: list[Tensor | None] | None) -> list[Tensor | None]:
    """Put the sum of the gradients of `earlier` parts and of this one into the network.

    Each part is summed by itself before parts are, in one process as in several: so the sums
    round alike.
    """
    parameters = list(network.parameters())
    if earlier is not None:
        for parameter, before in zip(parameters, earlier, strict=True):
            if before is not None:
                parameter.grad = before if parameter.grad is None else before + parameter.grad
    return [parameter.grad for parameter in parameters]


def _update(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    config: TrainConfig,
    world: World,
    scaler: torch.amp.GradScaler,
) -> float:
    """Average the gradients over processes, clip them, step; returns their norm."""
    average_gradients(network.parameters(), world)
    scaler.unscale_(optimizer)
    norm = nn.utils.clip_grad_norm_(network.parameters(), config.clip_norm)
    scaler.step(optimizer)
    scaler.update()
    return float(norm)


@torch.no_grad()
def _logits(teacher: Teacher, images: Tensor) -> Tensor:
    logits: Tensor = teacher.network(resize(images, teacher.resolution))
    return logits.float()
