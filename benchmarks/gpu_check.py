"""A checklist for a machine with a GPU: does it compute what the CPU does, how fast, in how much.

    python -m benchmarks.gpu_check [--space mobilenet-v3-w1.2] [--batch 64]

Prints a table: steps of training in float32, bfloat16 and float16, two GPUs where there are two,
measuring, and memory. Images are random. Without a GPU it says so in one line; --device cpu goes
through the same checks on the processor, to try the script.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor

import search_spaces
from benchmarks.parts.report import markdown_table
from predictors import macs
from qfa_search.errors import QFAError
from qfa_search.measuring.evaluation import evaluate
from qfa_search.supernet.allocator import peak_resident_bytes
from qfa_search.supernet.extract import StaticNetwork, extract
from qfa_search.supernet.mobilenet_v3 import Supernet
from qfa_search.supernet.recalibrate import recalibrate
from qfa_search.training.config import PRECISIONS, TrainConfig, preset
from qfa_search.training.distributed import World, join_world, threads_of
from qfa_search.training.estimate import TINY_RATE, RandomPixels
from qfa_search.training.launch import run_together
from qfa_search.training.phase import drawn_costs, run_phase
from qfa_search.training.recipe import bit_phases
from qfa_search.training.sharing import GradientVector, Unit, add_in_order
from search_spaces import SearchSpace

TRAINING_PASSES = 3  # a backward pass is two products for each one of a forward pass
N_EXCHANGES = 5
CLOSE = 1e-2  # of the largest logit: GPUs multiply float32 with fewer bits by default

Row = tuple[str, str, str, str]


def checks(
    space: SearchSpace, device: torch.device, *, batch: int, n_steps: int, n_gpus: int
) -> Iterator[Row]:
    """What was checked, how fast it was, what memory it took, and whether all is well."""
    with threads_of(device):
        for precision in PRECISIONS:
            name = f"training step, {precision}"
            try:
                told = "ok" if device.type == "cuda" else "ok: a CPU computes in float32"
                yield name, *_training(space, device, precision, batch, n_steps), told
            except (QFAError, RuntimeError) as error:  # a card's own words, too
                yield name, "", "", f"FAILED: {' '.join(str(error).split()):.120}"
        yield "measuring a subnet", *_measuring(space, device, batch)
    if n_gpus < 2:
        yield "two GPUs", "", "", "not tried: fewer than two here"
        return
    yield "two processes exchange a step", *_exchange(GradientVector(Supernet(space)).length)


def _training(
    space: SearchSpace, device: torch.device, precision: str, batch: int, n_steps: int
) -> tuple[str, str]:
    """Speed and memory of steps of one part of the ImageNet recipe; the first warms up."""
    config: TrainConfig = replace(
        preset("imagenet"),
        parts=1,
        batch_size=batch,
        precision=precision,  # type: ignore[arg-type]
    )
    phase = bit_phases(space, batch * (n_steps + 1), replace(config, mixed_epochs=0))[-1]
    phase = replace(phase, n_steps=n_steps + 1, learning_rate=TINY_RATE)
    network = Supernet(space).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    _forget_peak(device)
    marks: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        run_phase(
            phase,
            network,
            RandomPixels(space, batch, batch),
            config,
            Path(folder),
            world=World(device=device),
            on_step=lambda progress: marks.append(time.perf_counter()),
        )
    seconds = (marks[-1] - marks[0]) / n_steps
    steps = range(1, n_steps + 1)
    costs = [sum(map(sum, drawn_costs(phase, space, config, step, macs))) for step in steps]
    tmacs = TRAINING_PASSES * batch * sum(costs) / n_steps / seconds / 1e12
    speed = f"{1000 * seconds:.0f} ms, {batch / seconds:,.0f} images/s, {tmacs:.3g} TMAC/s"
    return speed, _peak(device)


def _measuring(space: SearchSpace, device: torch.device, batch: int) -> tuple[str, str, str]:
    """Speed and memory of recalibrating and scoring the largest subnet; the float one's logits."""
    torch.manual_seed(0)
    source = RandomPixels(space, batch, batch)
    side = max(space.resolutions)
    batches = [source.batch(step, 0, {0: side})[0] for step in range(3)]
    pairs = [(one.images, one.labels) for one in batches]
    there = [(x.to(device), y.to(device)) for x, y in pairs]
    in_float = space.in_floating_point()
    network = extract(Supernet(in_float), in_float.largest())
    recalibrate(network, pairs, len(pairs))
    here = _logits(network, pairs[0][0])
    error = float((_logits(network.to(device), there[0][0]).cpu() - here).abs().max())
    error /= float(here.abs().max())
    network = extract(Supernet(space), space.largest()).to(device)
    _forget_peak(device)
    started = time.perf_counter()
    recalibrate(network, there, len(there))
    evaluate(network, there)
    seconds = time.perf_counter() - started
    said = "ok" if error <= CLOSE else "FAILED"
    speed = f"{2 * batch * len(there) / seconds:,.0f} images/s"
    return speed, _peak(device), f"{said}: float logits within {error:.1e} of the CPU's"


@torch.inference_mode()
def _logits(network: StaticNetwork, images: Tensor) -> Tensor:
    logits: Tensor = network(images)
    return logits


def _exchange(length: int) -> tuple[str, str, str]:
    """Speed of adding up the vectors of two processes, and whether both have the exact sum."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "told"
        try:
            run_together(partial(_exchanging, length, file), 2)
        except QFAError as error:
            return "", "", f"FAILED: {error}"
        seconds, is_equal = file.read_text().split()
    speed = f"{1000 * float(seconds):.0f} ms, {8 * length / float(seconds) / 1e9:.2f} GB/s each"
    said = "ok" if is_equal == "True" else "FAILED"
    return speed, "", f"{said}: the sum of one process, bit for bit"


def _exchanging(length: int, file: Path) -> None:
    """What each of two processes does; the first one tells in `file`."""
    vectors = [torch.randn(length, generator=torch.Generator().manual_seed(i)) for i in range(2)]
    shares = [[Unit(part, (0,))] for part in range(2)]
    with join_world() as world:
        mine = vectors[world.rank].to(world.device)
        total = add_in_order([mine], length, shares, world)
        dist.barrier()
        started = time.perf_counter()
        for _ in range(N_EXCHANGES):
            total = add_in_order([mine], length, shares, world)
        is_equal = torch.equal(total.cpu(), vectors[0] + vectors[1])
        if world.is_first:
            seconds = (time.perf_counter() - started) / N_EXCHANGES
            file.write_text(f"{seconds} {is_equal}")


def _forget_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def _peak(device: torch.device) -> str:
    if device.type == "cuda":
        return f"{torch.cuda.max_memory_allocated(device) / 1e6:,.0f} MB"
    return f"{peak_resident_bytes() / 1e6:,.0f} MB, whole process so far"


def main(arguments: Sequence[str] | None = None) -> None:
    """Check and print; the exit code is 1 if something failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--space", default="mobilenet-v3-w1.2", metavar="NAME|FILE")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--device", help="cuda, cuda:N or cpu; the first GPU by default")
    args = parser.parse_args(arguments)
    n_gpus = torch.cuda.device_count()
    if args.device is None and not n_gpus:
        print("no GPU that torch can use is here: nothing to check (--device cpu tries the script)")
        return
    device = torch.device(args.device or "cuda")
    is_cpu = device.type == "cpu"
    name = "the CPU, one thread" if is_cpu else f"{n_gpus} x {torch.cuda.get_device_name(device)}"
    print(f"{name}; torch {torch.__version__}; {args.space}, batches of {args.batch}\n")
    rows = []
    space = search_spaces.load(args.space)
    for row in checks(
        space, device, batch=args.batch, n_steps=args.steps, n_gpus=2 if is_cpu else n_gpus
    ):
        print(f"{row[0]}: {row[3]}", file=sys.stderr)
        rows.append(row)
    print(markdown_table(("check", "speed", "memory at the peak", "result"), rows))
    if any(row[3].startswith("FAILED") for row in rows):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
