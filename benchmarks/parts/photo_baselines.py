"""What a front on own photos has to beat: plain networks trained alone on the same images."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor, nn

from predictors import cost_arrays
from qfa_search.images.memory import Images
from qfa_search.measuring.evaluation import evaluate
from qfa_search.supernet.extract import extract
from qfa_search.supernet.mobilenet_v3 import Supernet
from qfa_search.supernet.recalibrate import recalibrate
from qfa_search.training.batches import MemoryBatches
from qfa_search.training.config import TrainConfig
from qfa_search.training.distributed import World
from qfa_search.training.phase import Phase, run_phase
from qfa_search.training.sandwich import with_uniform_bits
from search_spaces import SearchSpace, Subnet

EVALUATION_BATCH = 250
RECALIBRATION_BATCHES = 16
STEPS_TIMED = 6
SEPARABLE_WIDTHS = (32, 64, 64, 128, 128)  # the second and the fourth layer halve the map


@dataclass(frozen=True, slots=True)
class Baseline:
    """A network that was trained alone.

    Attributes:
        name: What it is.
        top1: Percent of the test images.
        size_kb: Weights as deployed, where the cost model knows them; else 8 bits each.
        mflops: Millions of 8-bit-equivalent multiply-accumulates; None where none are counted.
        cpu_minutes: Of its training.
    """

    name: str
    top1: float
    size_kb: float
    mflops: float | None
    cpu_minutes: float


class SeparableNetwork(nn.Module):
    """A stem that halves the map, then depthwise-separable layers, in floating point."""

    def __init__(self, channels: int, n_classes: int) -> None:
        """Random weights from torch's global generator."""
        super().__init__()
        width = SEPARABLE_WIDTHS[0]
        layers = [_normed(nn.Conv2d(channels, width, 3, stride=2, padding=1, bias=False))]
        for number, out in enumerate(SEPARABLE_WIDTHS):
            depthwise = nn.Conv2d(
                width, width, 3, stride=1 + number % 2, padding=1, groups=width, bias=False
            )
            layers += [_normed(depthwise), _normed(nn.Conv2d(width, out, 1, bias=False))]
            width = out
        self.layers = nn.Sequential(*layers)
        self.classifier = nn.Linear(width, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits `(N, n_classes)`."""
        logits: Tensor = self.classifier(self.layers(x).mean((2, 3)))
        return logits


def separable(
    train: Images, test: Images, n_classes: int, config: TrainConfig, minutes: float
) -> Baseline:
    """A small float network of separable layers, trained for so many minutes on one core."""
    torch.manual_seed(config.seed)
    side = train.pixels.shape[-1]
    network = SeparableNetwork(train.pixels.shape[1], n_classes)
    spent = _train(network, train, config, None, side, minutes)
    network.eval()
    n_weights = sum(p.numel() for p in network.parameters())
    macs = _macs(network, train.pixels.shape[1], side)
    top1 = evaluate(network, test.batches(side, EVALUATION_BATCH)).top1
    return Baseline("separable network, float", top1, n_weights / 1000, macs / 1e6, spent)


def alone_at_8_bits(
    space: SearchSpace,
    subnet: Subnet,
    train: Images,
    test: Images,
    config: TrainConfig,
    minutes: float,
) -> Baseline:
    """The architecture of `subnet` at 8 bits throughout, trained alone from random weights."""
    torch.manual_seed(config.seed)
    space = replace(space, bit_choices=(8,))
    subnet = with_uniform_bits(subnet, space.uniform_bits[0])
    supernet = Supernet(space)
    spent = _train(supernet, train, config, subnet, subnet.resolution, minutes)
    network = extract(supernet, subnet)
    batches = train.drawn(RECALIBRATION_BATCHES * config.batch_size)
    recalibrate(
        network,
        batches.batches(subnet.resolution, config.batch_size),
        RECALIBRATION_BATCHES,
        sequential=True,
    )
    costs = cost_arrays(space, space.layout.encode(subnet)[None], ["mflops", "size_kb"])
    size_kb, mflops = (float(costs[name][0]) for name in ("size_kb", "mflops"))
    top1 = evaluate(network, test.batches(subnet.resolution, EVALUATION_BATCH)).top1
    return Baseline("the same architecture at 8 bits, alone", top1, size_kb, mflops, spent)


def logistic_regression(train: Images, test: Images) -> Baseline:
    """Logistic regression on the pixels."""
    from sklearn.linear_model import LogisticRegression

    started = time.process_time()
    x, held_out = (images.normalized().flatten(1).numpy() for images in (train, test))
    model = LogisticRegression(C=1e-3, max_iter=200).fit(x, train.labels.numpy())
    top1 = 100 * float(np.mean(model.predict(held_out) == test.labels.numpy()))
    n_weights = model.coef_.size + model.intercept_.size
    spent = (time.process_time() - started) / 60
    return Baseline("logistic regression", top1, n_weights / 1000, None, spent)


def _normed(convolution: nn.Conv2d) -> nn.Sequential:
    return nn.Sequential(convolution, nn.BatchNorm2d(convolution.out_channels), nn.ReLU())


def _train(
    network: nn.Module,
    train: Images,
    config: TrainConfig,
    subnet: Subnet | None,
    resolution: int,
    minutes: float,
) -> float:
    """Train for about so many CPU minutes; returns how many it took."""
    config = replace(config, parts=1)
    source = MemoryBatches(train, config)

    def run(n_steps: int) -> float:
        phase = Phase(
            name=f"alone {n_steps}",
            n_steps=n_steps,
            learning_rate=config.float_learning_rate,
            resolution=resolution,
            subnets=lambda rng, step: [subnet],
        )
        started = time.process_time()
        with TemporaryDirectory() as folder:
            run_phase(
                phase,
                network,
                source,
                config,
                Path(folder),
                world=World(),
                on_step=lambda progress: None,
            )
        return (time.process_time() - started) / 60

    run(1)
    timed = run(STEPS_TIMED)
    return timed + run(max(1, round(STEPS_TIMED * (minutes / timed - 1))))


def _macs(network: nn.Module, channels: int, side: int) -> int:
    """Multiply-accumulates of the convolutions for one image."""
    counts: list[int] = []

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        assert isinstance(module, nn.Conv2d)
        counts.append(module.weight.numel() * output.shape[2] * output.shape[3])

    hooks = [m.register_forward_hook(count) for m in _convolutions(network)]
    with torch.no_grad():
        network(torch.zeros(1, channels, side, side))
    for hook in hooks:
        hook.remove()
    return sum(counts)


def _convolutions(network: nn.Module) -> Iterable[nn.Conv2d]:
    return (module for module in network.modules() if isinstance(module, nn.Conv2d))
