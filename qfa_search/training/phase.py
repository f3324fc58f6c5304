"""One phase of a training: the loop over optimizer steps.

All randomness of a step is drawn from the seed and the step's number, so a run that was
interrupted goes on as if it had not been.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import chain
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor, nn

from qfa_search.errors import CheckpointMismatchError, TrainingError
from qfa_search.images.memory import resize
from qfa_search.supernet.mobilenet_v3 import Supernet
from qfa_search.training.batches import TrainBatch, TrainSource, prefetched
from qfa_search.training.checkpoint import Checkpoint
from qfa_search.training.config import TrainConfig
from qfa_search.training.distill import distillation_loss
from qfa_search.training.distributed import World, add_numbers, all_agree
from qfa_search.training.optimizer import make_optimizer, rate_share, set_rate
from qfa_search.training.residual_network import ResidualNetwork
from qfa_search.training.sharing import GradientVector, Unit, add_in_order, share
from qfa_search.training.teacher import Teacher
from search_spaces import SearchSpace, Subnet, layer_specs

CHECKPOINT_SECONDS = 60.0
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
NO_ORIGINS: Mapping[str, object] = MappingProxyType({})

Drawn = tuple[Subnet | None, int]  # a subnet, None for the network as it is, and its resolution


@dataclass(frozen=True, slots=True)
class Progress:
    """Where the training stands after a step.

    Attributes:
        phase: "teacher", "float", "mixed" (with 32 bits as a choice), "quantized" or, in further
            rounds, "quantized-2" and so on.
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
        first_draw: Added to the number of a step where images and subnets are drawn.
    """

    name: str
    n_steps: int
    learning_rate: float
    resolution: int
    subnets: Callable[[np.random.Generator, int], Sequence[Subnet | None]]
    teacher: Teacher | None = None
    first_draw: int = 0

    def drawn(self, seed: int, step: int, part: int) -> list[Drawn]:
        """The subnets of one part of a step, each with its resolution."""
        step += self.first_draw
        subnets = self.subnets(np.random.default_rng([seed, 0, step, part]), step)
        return [(s, self.resolution if s is None else s.resolution) for s in subnets]


@dataclass(frozen=True, slots=True)
class _PartOfStep:
    """What this process does of one part.

    Attributes:
        part: Of the step.
        drawn: All subnets of the part.
        units: Those that this process runs.
        resolutions: Of the images that it needs, by the place of their subnet.
        seed: Of what a network without subnets draws by itself, as dropout does.
    """

    part: int
    drawn: list[Drawn]
    units: list[Unit]
    resolutions: dict[int, int]
    seed: int


def run_phase(
    phase: Phase,
    network: nn.Module,
    source: TrainSource,
    config: TrainConfig,
    out: Path,
    *,
    world: World,
    on_step: Callable[[Progress], None],
    origins: Mapping[str, object] = NO_ORIGINS,
) -> None:
    """Train `network` in place, from its checkpoint in `out` if there is one.

    Raises:
        TrainingError: The loss is not a number any more.
        CheckpointMismatchError: The checkpoint is damaged, of another recipe or `origins`, or not
            the same in all processes.
    """
    optimizer = make_optimizer(network, config)
    scaler = torch.amp.GradScaler(
        world.device.type, enabled=config.precision == "float16" and world.device.type == "cuda"
    )
    checkpoint = Checkpoint(out / f"{phase.name}.ckpt", config, origins, network, optimizer, scaler)
    first = checkpoint.load()
    if not all_agree(first, world):
        raise CheckpointMismatchError(
            f"the processes found different checkpoints in {out}, this one step {first}: all "
            "machines must see the same folder, so copy it to them or share it"
        )
    network.train()
    vector = GradientVector(network)
    warmup_steps = round(config.warmup_epochs * len(source) / config.images_per_step)
    steps = range(first, phase.n_steps)
    # Asked for by the batches, which are ahead on a GPU, and again by the gradients.
    planned = lru_cache(maxsize=4)(partial(_plan, phase, network, config, world))
    batches = prefetched(
        (
            partial(source.batch, phase.first_draw + step, own.part, own.resolutions)
            for step in steps
            for own in planned(step)[1]
        ),
        is_eager=world.device.type == "cuda",
    )
    started = saved = time.monotonic()
    done, is_whole = first, True
    try:
        for step in steps:
            rate = phase.learning_rate * rate_share(step, phase.n_steps, warmup_steps)
            set_rate(optimizer, rate)
            shares, owned = planned(step)
            found: dict[tuple[int, int], float] = {}  # loss of each subnet of each part run here
            run = partial(_run, network, phase, config, world, scaler, vector, found)
            vectors = chain.from_iterable(run(own, next(batches)) for own in owned)
            total = add_in_order(vectors, vector.length, shares, world)
            losses = _mean_losses(found, shares, world)
            is_whole = False
            vector.put(total, config.parts)
            norm = _update(network, optimizer, config, scaler)
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
            vector.forget_statistics()
            checkpoint.save(done)
        raise
    if world.is_first and done > first:
        checkpoint.save(done)


def numbers_given(space: SearchSpace, subnet: Subnet) -> float:
    """How many numbers the layers of a subnet give.

    Passes over these take most of the time of a step on a CPU, the products that make them little.
    """
    layers = layer_specs(space, subnet)
    return float(sum(layer.out_channels * layer.out_size**2 for layer in layers))


def drawn_costs(
    phase: Phase,
    space: SearchSpace | None,
    config: TrainConfig,
    step: int,
    measure: Callable[[SearchSpace, Subnet], float] = numbers_given,
) -> list[list[float]]:
    """A cost of each subnet of each part of a step; all the same without a space."""

    def cost(subnet: Subnet | None) -> float:
        return 1.0 if space is None or subnet is None else float(measure(space, subnet))

    return [
        [cost(subnet) for subnet, _ in phase.drawn(config.seed, step, part)]
        for part in range(config.parts)
    ]


def _plan(
    phase: Phase, network: nn.Module, config: TrainConfig, world: World, step: int
) -> tuple[list[list[Unit]], list[_PartOfStep]]:
    """The units of all processes in a step, and what this process does of each part."""
    if config.parts % world.size:
        space = network.space if isinstance(network, Supernet) else None
        costs = drawn_costs(phase, space, config, step)
    else:  # whole parts, whatever they cost
        costs = [[1.0] * len(phase.drawn(config.seed, step, 0))] * config.parts
    shares = share(costs, world.size)
    owned = []
    for part in sorted({unit.part for unit in shares[world.rank]}):
        drawn = phase.drawn(config.seed, step, part)
        units = [unit for unit in shares[world.rank] if unit.part == part]
        places = {i for unit in units for i in unit.subnets}
        if phase.teacher is not None:  # it sees the largest images of the part
            places.add(max(range(len(drawn)), key=lambda i: drawn[i][1]))
        resolutions = {i: drawn[i][1] for i in sorted(places)}
        sequence = np.random.SeedSequence([config.seed, 5, phase.first_draw + step, part])
        seed = int(sequence.generate_state(1)[0])
        owned.append(_PartOfStep(part, drawn, units, resolutions, seed))
    return shares, owned


def _run(
    network: nn.Module,
    phase: Phase,
    config: TrainConfig,
    world: World,
    scaler: torch.amp.GradScaler,
    vector: GradientVector,
    found: dict[tuple[int, int], float],
    own: _PartOfStep,
    batches: Mapping[int, TrainBatch],
) -> Iterator[Tensor]:
    """The vector of each unit of a part; the losses of its subnets go into `found`."""
    batches = {place: batch.to(world.device) for place, batch in batches.items()}
    shared_logits = None
    if phase.teacher is not None:  # batches are the same images then
        finest = max(batches.values(), key=lambda batch: batch.images.shape[-1])
        shared_logits = _logits(phase.teacher, finest.images)
    n_averaged = config.parts * (len(own.drawn) if config.subnet_losses == "mean" else 1)
    for unit in own.units:
        losses = []
        for place in unit.subnets:
            subnet, batch = own.drawn[place][0], batches[place]
            if subnet is None:
                torch.manual_seed(own.seed)
            with _autocast(network, config, world):
                logits = network(batch.images) if subnet is None else network(batch.images, subnet)
            loss = distillation_loss(
                logits.float(),
                batch.labels,
                batch.teacher_logits if shared_logits is None else shared_logits,
                label_weight=config.label_weight,
                teacher_weight=config.teacher_weight,
                label_smoothing=config.label_smoothing,
            )
            torch.autograd.backward(scaler.scale(loss / n_averaged))
            losses.append(loss.detach())
        values = torch.stack(losses).double().tolist()
        found.update({(own.part, i): v for i, v in zip(unit.subnets, values, strict=True)})
        yield vector.take()


def _autocast(network: nn.Module, config: TrainConfig, world: World) -> torch.autocast:
    """The recipe's precision on a GPU; on a CPU bfloat16 for dense networks where it has it.

    Depthwise convolutions and quantizers gain nothing from it there.
    """
    if world.device.type != "cpu":
        is_on = config.precision != "float32"
        return torch.autocast(world.device.type, DTYPES[config.precision], enabled=is_on)
    is_on = isinstance(network, ResidualNetwork) and torch.cpu._is_avx512_bf16_supported()
    return torch.autocast("cpu", torch.bfloat16, enabled=is_on)


def _mean_losses(
    found: Mapping[tuple[int, int], float], shares: Sequence[Sequence[Unit]], world: World
) -> tuple[float, ...]:
    """Loss of the subnets at each place, the mean over parts."""
    pairs = [(unit.part, i) for units in shares for unit in units for i in unit.subnets]
    n_parts, n_subnets = (1 + max(places) for places in zip(*pairs, strict=True))
    flat = [found.get((part, i), 0.0) for part in range(n_parts) for i in range(n_subnets)]
    table = np.reshape(add_numbers(flat, world), (n_parts, n_subnets))
    return tuple(float(sum(of_place) / n_parts) for of_place in table.T)


def _update(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    config: TrainConfig,
    scaler: torch.amp.GradScaler,
) -> float:
    """Clip the gradients and step; returns their norm before."""
    scaler.unscale_(optimizer)
    norm = nn.utils.clip_grad_norm_(network.parameters(), config.clip_norm)
    scaler.step(optimizer)
    scaler.update()
    network.zero_grad(set_to_none=True)
    return float(norm)


@torch.no_grad()
def _logits(teacher: Teacher, images: Tensor) -> Tensor:
    logits: Tensor = teacher.network(resize(images, teacher.resolution))
    return logits.float()
