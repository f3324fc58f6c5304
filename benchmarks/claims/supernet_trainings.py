"""Supernet trainings that differ in the activation quantizer and nothing else."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from joblib import Parallel, delayed, parallel_config

from benchmarks.claims.activation_steps import (
    LSQ_RULE,
    RELEASED_RULE,
    learned_step_supernet,
    static_network,
)
from benchmarks.claims.bench import Bench
from benchmarks.claims.finished import Numbers
from benchmarks.supernet_scores import corners
from predictors.files import atomic_path
from qfa_search.errors import TrainingError
from qfa_search.supernet.allocator import reuse_freed_memory
from qfa_search.supernet.mobilenet_v3 import Supernet
from qfa_search.training.config import TrainConfig, preset
from qfa_search.training.distributed import World
from qfa_search.training.phase import Phase, Progress, run_phase
from qfa_search.training.sandwich import sandwich
from search_spaces import SearchSpace
from search_spaces.arrays import Floats
from search_spaces.genome import Genomes

NAME = "stability"
BATCHQUANT = "batchquant"
VARIANTS: dict[str, Callable[[SearchSpace], Supernet]] = {
    BATCHQUANT: Supernet,
    "lsq": partial(learned_step_supernet, rule=LSQ_RULE),
    "lsq-released": partial(learned_step_supernet, rule=RELEASED_RULE),
}
Optimizer = Literal["adamw", "muon", "sgd"]
# What "sgd" changes in the preset: a high rate, and a clip that only stops explosions.
SGD_RATE, SGD_CLIP = 0.1, 500.0
ADAMW_RATE = preset("fashion-mnist").learning_rate
MIXED_SHARE = 0.2  # of the steps has 32 bits as one more choice


@dataclass(frozen=True, slots=True, kw_only=True)
class StabilityPlan:
    """Sizes of the comparison.

    Attributes:
        steps: Optimizer steps of each training.
        float_steps: Of the float network that all start from.
        batch_size: Images per step and subnet.
        seeds: Trainings of each variant.
        optimizers: "sgd" has a high rate; the others, where they are not the preset's, the rate
            of the preset of Fashion-MNIST.
        windows: The loss is averaged over so many parts of the training.
    """

    steps: int = 1000
    float_steps: int = 1000
    batch_size: int = 64
    seeds: int = 3
    optimizers: tuple[Optimizer, ...] = ("adamw", "sgd")
    windows: int = 20

    def config(self, recipe: TrainConfig, optimizer: Optimizer, seed: int) -> TrainConfig:
        """The recipe of one training."""
        own = replace(recipe, batch_size=self.batch_size, parts=1, seed=seed, optimizer=optimizer)
        if optimizer == recipe.optimizer:
            return own
        if optimizer == "sgd":
            return replace(own, learning_rate=SGD_RATE, clip_norm=SGD_CLIP)
        return replace(own, learning_rate=ADAMW_RATE, float_learning_rate=ADAMW_RATE)


@dataclass(frozen=True, slots=True)
class Training:
    """What one training came to.

    Attributes:
        variant: Activation quantizer.
        optimizer: "adamw" or "sgd".
        seed: Of images, subnets and augmentation.
        losses: Mean over the random subnets at every step that ended well.
        norms: Gradient norm before clipping at these.
        n_steps: Steps that it should have had.
        top1: Of the corners on the validation split; empty after a non-finite loss.
        chance_loss: Loss of guessing.
    """

    variant: str
    optimizer: str
    seed: int
    losses: Floats
    norms: Floats
    n_steps: int
    top1: dict[str, float]
    chance_loss: float

    @property
    def ended_early(self) -> bool:
        """Whether a loss or gradient was no number."""
        return len(self.losses) < self.n_steps

    @property
    def diverged(self) -> bool:
        """Whether it ended early, or the last tenth is no better than guessing."""
        last = self.losses[-max(1, self.n_steps // 10) :]
        return self.ended_early or bool(last.mean() >= self.chance_loss)

    def windows(self, n: int) -> tuple[Floats, Floats]:
        """Ends of `n` windows and mean loss in each; NaN from a non-finite loss on."""
        edges = np.linspace(0, self.n_steps, min(n, self.n_steps) + 1).round().astype(int)
        padded = np.full(self.n_steps, np.nan)
        padded[: len(self.losses)] = self.losses
        means = [padded[a:b].mean() for a, b in pairwise(edges)]
        return edges[1:].astype(np.float64), np.array(means)


def trainings(bench: Bench, plan: StabilityPlan) -> list[Training]:
    """Train every variant with every optimizer and seed, `bench.jobs` at a time.

    The variants of a seed start from the same float network.
    """
    bench.source(start_config(bench, plan, 0))  # images and soft labels, once for all processes
    with parallel_config("loky", n_jobs=bench.jobs, inner_max_num_threads=1):
        starts = Parallel()(delayed(float_start)(bench, plan, seed) for seed in range(plan.seeds))
        found: list[Training] = Parallel()(
            delayed(training)(bench, plan, variant, optimizer, seed, starts[seed])
            for optimizer in plan.optimizers
            for seed in range(plan.seeds)
            for variant in VARIANTS
        )
    return found


def training(
    bench: Bench, plan: StabilityPlan, variant: str, optimizer: Optimizer, seed: int, start: Path
) -> Training:
    """One training, or what is kept of it."""
    config = plan.config(bench.recipe, optimizer, seed)
    settings = {
        **bench.settings,
        "start": start.stem,
        "steps": plan.steps,
        "recipe": asdict(config),
    }
    numbers = bench.runs.numbers(
        f"{NAME}-{variant}-{optimizer}-seed{seed}",
        settings,
        lambda folder: train_variant(bench, VARIANTS[variant], config, plan.steps, start, folder),
    )
    return Training(
        variant,
        optimizer,
        seed,
        np.array(numbers["losses"]),
        np.array(numbers["norms"]),
        plan.steps,
        numbers["top1"],
        math.log(bench.space.n_classes),
    )


def start_config(bench: Bench, plan: StabilityPlan, seed: int) -> TrainConfig:
    """The recipe of the float network of a seed: the preset's own optimizer."""
    return plan.config(bench.recipe, bench.recipe.optimizer, seed)


def float_start(bench: Bench, plan: StabilityPlan, seed: int) -> Path:
    """File with the weights of the float network that the trainings of a seed start from."""
    config = start_config(bench, plan, seed)
    settings = {**bench.settings, "steps": plan.float_steps, "recipe": asdict(config)}

    def run(folder: Path) -> Numbers:
        reuse_freed_memory()
        torch.manual_seed(config.seed)
        network = Supernet(bench.space.in_floating_point())
        largest = network.space.largest()
        losses: list[float] = []
        phase = Phase(
            name="float",
            n_steps=plan.float_steps,
            learning_rate=config.float_learning_rate,
            resolution=largest.resolution,
            subnets=lambda rng, step: [largest],
        )
        run_phase(
            phase,
            network,
            bench.source(config),
            config,
            folder,
            world=World(),
            on_step=lambda progress: losses.append(progress.losses[0]),
        )
        with atomic_path(bench.out / f"{folder.name}.pt") as path:
            torch.save(network.state_dict(), path)
        return {"weights": f"{folder.name}.pt"}

    numbers = bench.runs.numbers(f"{NAME}-float-seed{seed}", settings, run)
    return bench.out / str(numbers["weights"])


def train_variant(
    bench: Bench,
    make: Callable[[SearchSpace], Supernet],
    config: TrainConfig,
    n_steps: int,
    start: Path,
    folder: Path,
    *,
    mixed_share: float = MIXED_SHARE,
    subnets: Mapping[str, Genomes] | None = None,
) -> Numbers:
    """Losses, gradient norms and final scores of one training; it may end in a NaN.

    Args:
        bench: Supernet, images and teacher.
        make: Makes the supernet of a space.
        config: The recipe.
        n_steps: Optimizer steps.
        start: File with the weights of a float network.
        folder: For unfinished work.
        mixed_share: Of the steps that have 32 bits as one more choice.
        subnets: Genomes by name that are scored; `corners` if not given.
    """
    reuse_freed_memory()
    space = bench.space
    torch.manual_seed(config.seed)
    supernet = make(space)
    supernet.load_state_dict(torch.load(start, weights_only=True), strict=False)
    supernet.reset_weight_scales()
    mixed = round(mixed_share * n_steps)
    phase = Phase(
        name="quantized",
        n_steps=n_steps,
        learning_rate=config.learning_rate,
        resolution=max(space.resolutions),
        subnets=lambda rng, step: sandwich(
            space, rng, n_random=config.n_random, float_bits=step < mixed
        ),
    )
    trace = folder / "trace.jsonl"
    ended_early = False
    with trace.open("a", encoding="utf-8", buffering=1) as file:
        file.write("\n")  # the line before may have been cut off

        def note(progress: Progress) -> None:
            line = [progress.step, float(np.mean(progress.losses[2:])), progress.gradient_norm]
            file.write(json.dumps(line) + "\n")

        try:
            source = bench.source(config)
            run_phase(phase, supernet, source, config, folder, world=World(), on_step=note)
        except TrainingError:
            ended_early = True
    losses, norms = read_trace(trace)
    top1: dict[str, float] = {}
    if not ended_early:
        if subnets is None:
            subnets = dict(zip(*corners(space), strict=True))
        for name, genome in subnets.items():
            subnet = space.layout.decode(genome)
            network = static_network(supernet, subnet)
            top1[name] = bench.score(network, subnet.resolution, "val").top1
    return {"losses": losses, "norms": norms, "top1": top1}


def read_trace(path: Path) -> tuple[list[float], list[float]]:
    """Losses and gradient norms by step; of a step that was repeated, the last."""
    by_step: dict[int, tuple[float, float]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            step, loss, norm = json.loads(line)
        except ValueError:
            continue
        by_step[step] = loss, norm
    ordered = [by_step[step] for step in sorted(by_step)]
    return [loss for loss, _ in ordered], [norm for _, norm in ordered]
