"""What a training will take: seconds from a few real steps on random pixels, and memory."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import nn

from qfa_search.errors import TrainingError
from qfa_search.measuring.parent import end_with
from qfa_search.supernet.allocator import peak_resident_bytes, reuse_freed_memory
from qfa_search.supernet.extract import extract
from qfa_search.supernet.mobilenet_v3 import Supernet
from qfa_search.training.augment import n_views
from qfa_search.training.batches import TrainBatch
from qfa_search.training.config import TrainConfig
from qfa_search.training.distributed import World, threads_of
from qfa_search.training.phase import Phase, drawn_costs, run_phase
from qfa_search.training.recipe import bit_phases, further_rounds
from qfa_search.training.sharing import longest
from qfa_search.training.teacher import Teacher, dense_teacher
from search_spaces import SearchSpace

N_STEPS = 3  # the first one warms up
# A part with more pixels than this is timed and weighed, on a CPU, in smaller batches.
PIXELS_ON_CPU = 100_000
N_DRAWN_PARTS = 32
ABOUT_AS_FAST = 1.05
LEAST_SHARE_TOLD = 0.02  # of the whole, from which on reading and soft labels are named
TINY_RATE = 1e-9  # random pixels must not move the weights far


@dataclass(frozen=True, slots=True)
class PhaseTime:
    """How long a phase will take.

    Attributes:
        name: Of the phase.
        n_steps: Optimizer steps.
        seconds_per_step: All of a step, shared by the processes.
        is_certain: Whether it takes place whatever the validation split says.
        is_fixed: Whether it lasts as long in a shorter training.
    """

    name: str
    n_steps: int
    seconds_per_step: float
    is_certain: bool = True
    is_fixed: bool = False

    @property
    def seconds(self) -> float:
        """Of the whole phase."""
        return self.n_steps * self.seconds_per_step


@dataclass(frozen=True)
class RandomPixels:
    """Batches of noise.

    Attributes:
        space: Whose images and labels they resemble.
        batch_size: Images per batch.
        n_images: What an epoch is taken for.
    """

    space: SearchSpace
    batch_size: int
    n_images: int

    def __len__(self) -> int:
        return self.n_images

    def batch(self, step: int, part: int, resolutions: Mapping[int, int]) -> dict[int, TrainBatch]:
        """Noise at each of the resolutions."""
        generator = torch.Generator().manual_seed(step)
        n, channels = self.batch_size, self.space.input_channels
        labels = torch.randint(self.space.n_classes, (n,), generator=generator)
        return {
            place: TrainBatch(torch.randn(n, channels, r, r, generator=generator), labels)
            for place, r in resolutions.items()
        }


def phase_times(
    space: SearchSpace,
    n_images: int,
    config: TrainConfig,
    *,
    processes: int,
    is_teacher_run_along: bool = False,
    teacher: nn.Module | None = None,
    decoding: float = 0.0,
) -> list[PhaseTime]:
    """Time of every phase of `train_supernet`, from steps of one part in this process.

    Images that memory holds are read, and looked at by the teacher, once: times of their own.

    Args:
        space: What is to be trained.
        n_images: Size of the training split.
        config: Recipe.
        processes: That share a step.
        is_teacher_run_along: Whether soft labels are computed in every step, as they are for
            images that memory cannot hold.
        teacher: The network that teaches, where it is not the recipe's own.
        decoding: Seconds to decode an image, as long as every process decodes all.
    """
    reuse_freed_memory()
    device = _device()
    with threads_of(device):
        source = RandomPixels(space, probe_batch(space, config), n_images)
        scale = config.batch_size / source.batch_size
        float_net = Supernet(space.in_floating_point())
        largest = float_net.space.largest()
        if teacher is None and config.teacher_width:
            teacher = dense_teacher(space, config.teacher_width)
        elif teacher is None:
            teacher = extract(float_net, largest)
        networks: list[tuple[Phase, nn.Module]] = []
        plain = Phase(
            name="teacher",
            n_steps=config.n_steps("teacher", n_images),
            learning_rate=TINY_RATE,
            resolution=max(space.resolutions),
            subnets=lambda rng, step: [None],
        )
        if config.teacher_width:
            networks.append((plain, teacher))
        steps = config.n_steps("float", n_images)
        float_phase = replace(
            plain, name="float", n_steps=steps, subnets=lambda rng, step: [largest]
        )
        if steps:
            networks.append((float_phase, float_net))
        whole_parts = -(-config.parts // processes)
        times = [
            PhaseTime(
                phase.name,
                phase.n_steps,
                scale * whole_parts * _seconds(phase, net, source, config),
            )
            for phase, net in networks
        ]
        along = None
        if is_teacher_run_along:
            teacher = teacher.eval().to(device)
            along = Teacher(teacher, max(space.resolutions), space.n_classes)
        else:
            labelled = n_images * n_views(n_images, config)
            labelling = _seconds_of_labels(teacher, source) / processes
            place = len(times) - (1 if steps else 0)  # before the float phase, which learns from it
            times.insert(place, PhaseTime("soft labels", labelled, labelling, is_fixed=True))
            times.insert(0, PhaseTime("images", n_images, decoding, is_fixed=True))
        # 32 bits, a choice of the first steps, is a little faster and not timed by itself.
        final = bit_phases(space, n_images, replace(config, mixed_epochs=0, mixed_steps=0))[-1]
        final = replace(final, learning_rate=TINY_RATE, teacher=along)
        parts_at_once = config.parts * _longest_share(_drawn_costs(space, config), processes)
        seconds = scale * parts_at_once * _seconds(final, Supernet(space), source, config)
        times += [
            PhaseTime(phase.name, phase.n_steps, seconds)
            for phase in bit_phases(space, n_images, config)
        ]
        times += [
            PhaseTime(phase.name, phase.n_steps, seconds, is_certain=False)
            for phase in further_rounds(space, n_images, config)
        ]
        return times


@torch.no_grad()
def _seconds_of_labels(teacher: nn.Module, source: RandomPixels) -> float:
    """Time that the teacher takes for an image, the first batch not counted."""
    device = _device()
    teacher = teacher.eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    images = source.batch(0, 0, {0: max(source.space.resolutions)})[0].images
    images = images.to(device, memory_format=torch.channels_last)
    began = 0.0
    for number in range(N_STEPS):
        if number == 1:
            began = time.perf_counter()
        teacher(images).cpu()
    return (time.perf_counter() - began) / ((N_STEPS - 1) * len(images))


def default_processes(space: SearchSpace, config: TrainConfig) -> int:
    """One for each core or each GPU, or the fewest that are about as fast.

    A step cannot last less than its largest subnet, so that more would wait for it.
    """
    from joblib import cpu_count

    most = torch.cuda.device_count() if torch.cuda.is_available() else cpu_count()
    most = max(1, min(most, config.parts * (2 + config.n_random)))
    drawn = _drawn_costs(space, config)
    shares = [_longest_share(drawn, n) for n in range(1, most + 1)]
    return 1 + next(i for i, s in enumerate(shares) if s <= ABOUT_AS_FAST * min(shares))


def _drawn_costs(space: SearchSpace, config: TrainConfig) -> list[list[list[float]]]:
    """Costs of every subnet in some quantized steps."""
    phase = bit_phases(space, config.images_per_step, config)[-1]
    steps = range(max(1, N_DRAWN_PARTS // config.parts))
    return [drawn_costs(phase, space, config, step) for step in steps]


def _longest_share(drawn: Sequence[Sequence[Sequence[float]]], processes: int) -> float:
    """Share of a step's work that falls to the process with the most, on average."""
    shares = [longest(costs, processes) / sum(map(sum, costs)) for costs in drawn]
    return sum(shares) / len(shares)


def told(times: Sequence[PhaseTime], processes: int) -> str:
    """The estimate in one line."""
    certain = [time for time in times if time.is_certain]
    rounds = [time for time in times if not time.is_certain]
    least, most = (sum(time.seconds for time in some) for some in (certain, times))
    enough = max(1.0, LEAST_SHARE_TOLD * least)
    worth_telling = [time for time in certain if not time.is_fixed or time.seconds >= enough]
    phases = ", ".join(f"{time.name} {duration(time.seconds)}" for time in worth_telling)
    where = "one process" if processes == 1 else f"{processes} processes"
    if not rounds:
        return f"about {duration(least)} on {where}: {phases}"
    more = f"{len(rounds)} further rounds" if len(rounds) > 1 else "a further round"
    each = " each" if len(rounds) > 1 else ""
    return (
        f"about {_range(least, most)} on {where}: {phases}; if much is left to gain "
        f"{more} of {duration(rounds[0].seconds)}{each}"
    )


def _range(least: float, most: float) -> str:
    """Two times, the unit once where it is the same."""
    low, high = duration(least), duration(most)
    value, _, unit = low.rpartition(" ")
    return f"{value} to {high}" if unit == high.rpartition(" ")[2] else f"{low} to {high}"


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes / 60 / 24:.0f} days"


def probe_batch(space: SearchSpace, config: TrainConfig) -> int:
    """Images of the batches that are timed: the recipe's, or fewer on a CPU if it would last."""
    if torch.cuda.is_available():
        return config.batch_size
    return min(config.batch_size, max(2, PIXELS_ON_CPU // max(space.resolutions) ** 2))


def step_memory(space: SearchSpace, config: TrainConfig) -> tuple[float, tuple[int, ...]]:
    """Bytes that a process needs at most for a training step, and the batches it is known from.

    It is the largest network's step that needs most. On a CPU each batch runs in a process of
    its own, whose growth counts; two smaller batches are extended in a straight line where the
    recipe's own would last too long.
    """
    batches: tuple[int, ...] = (config.batch_size,)
    probe = probe_batch(space, config)
    if probe < config.batch_size:
        batches = (probe, 3 * probe)
    spawned = multiprocessing.get_context("spawn")
    peaks = []
    for batch in batches:
        with ProcessPoolExecutor(1, mp_context=spawned) as pool:
            try:
                peaks.append(pool.submit(_peak_bytes, space, config, batch, os.getpid()).result())
            except BrokenProcessPool:
                raise TrainingError(
                    f"a step of {batch} images was killed, which the system does when memory is "
                    "short: give a smaller --batch-size or --resolution"
                ) from None
    if len(batches) == 1:
        return peaks[0], batches
    per_image = (peaks[1] - peaks[0]) / (batches[1] - batches[0])
    return peaks[0] + per_image * (config.batch_size - batches[0]), batches


def _peak_bytes(space: SearchSpace, config: TrainConfig, batch_size: int, parent: int) -> float:
    """Growth of this fresh process, or of its GPU's memory, over two steps."""
    end_with(parent)
    reuse_freed_memory()
    torch.set_num_threads(1)
    before = peak_resident_bytes()
    subnet = space.largest()
    phase = Phase(
        name="memory",
        n_steps=2,
        learning_rate=TINY_RATE,
        resolution=subnet.resolution,
        subnets=lambda rng, step: [subnet],
    )
    _run(phase, Supernet(space), RandomPixels(space, batch_size, batch_size), config)
    if torch.cuda.is_available():
        return float(torch.cuda.max_memory_allocated())
    return peak_resident_bytes() - before


def _seconds(phase: Phase, network: nn.Module, source: RandomPixels, config: TrainConfig) -> float:
    """Mean time of a part, the first one not counted."""
    marks = _run(replace(phase, n_steps=N_STEPS), network, source, config)
    return (marks[-1] - marks[0]) / (len(marks) - 1)


def _run(
    phase: Phase, network: nn.Module, source: RandomPixels, config: TrainConfig
) -> list[float]:
    """Run steps of one part each; returns when each of them was done."""
    marks: list[float] = []
    world = World(device=_device())
    network.to(world.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    with TemporaryDirectory() as folder:
        run_phase(
            phase,
            network,
            source,
            replace(config, parts=1, batch_size=source.batch_size),
            Path(folder),
            world=world,
            on_step=lambda progress: marks.append(time.perf_counter()),
        )
    return marks


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
