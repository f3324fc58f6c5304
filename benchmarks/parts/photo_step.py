"""A sandwich step on the space of photos: its float steps, matrix products and profile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

import search_spaces
from benchmarks.parts.report import markdown_table
from benchmarks.parts.steps import cpu_ms, random_batch, run_all, stepping
from qfa_search.supernet.mobilenet_v3 import Supernet
from qfa_search.training.sandwich import sandwich, with_uniform_bits
from search_spaces import LayerBits, LayerSpec, layer_specs
from search_spaces.subnet import FLOAT_BITS

SPACE, BATCH, N_RANDOM = "cifar10", 64, 2
N_COSTS = 8  # that are shown
TARGET = 1.3

Product = tuple[int, int, int, bool]  # rows, inner and outer size; whether inputs have a gradient


@dataclass(frozen=True, slots=True)
class PhotoStep:
    """CPU milliseconds of forward and backward, one thread.

    Attributes:
        quantized: Of the subnets of a sandwich.
        in_float: Of the same architectures in floating point.
        products: Of their matrix products alone.
        n_images: That they see together.
        costs: Operators by their own share of the quantized time, the largest first.
    """

    quantized: float
    in_float: float
    products: float
    n_images: int
    costs: tuple[tuple[str, float], ...]


def photo_step(repeats: int, seed: int) -> PhotoStep:
    """Measure one sandwich, the largest, the smallest and two random subnets."""
    space = search_spaces.load(SPACE)
    torch.manual_seed(seed)
    supernet = Supernet(space)
    rng = np.random.default_rng(seed)
    subnets = sandwich(space, rng, n_random=N_RANDOM, float_bits=False)
    batches = [random_batch(space, subnet.resolution, BATCH, seed) for subnet in subnets]

    def steps(bits: LayerBits | None) -> Callable[[], object]:
        drawn = subnets if bits is None else [with_uniform_bits(s, bits) for s in subnets]
        pairs = zip(drawn, batches, strict=True)
        return partial(run_all, [stepping(supernet, subnet, *batch) for subnet, batch in pairs])

    quantized = steps(None)
    times = cpu_ms(
        {"quantized": quantized, "float": steps(LayerBits(FLOAT_BITS, FLOAT_BITS))}, repeats
    )
    layers = [spec for subnet in subnets for spec in layer_specs(space, subnet)]
    return PhotoStep(
        quantized=times["quantized"],
        in_float=times["float"],
        products=products_ms(layers, BATCH, repeats),
        n_images=BATCH * len(subnets),
        costs=_profile(quantized),
    )


def products(layers: Sequence[LayerSpec], n_images: int) -> Counter[Product]:
    """The matrix products that the layers are, each with its number; depthwise ones are none."""
    return Counter(
        (
            n_images * (1 if spec.kind == "linear" else spec.out_size**2),
            spec.in_channels * spec.kernel_size**2,
            spec.out_channels,
            spec.name != "stem",
        )
        for spec in layers
        if spec.groups == 1
    )


def products_ms(layers: Sequence[LayerSpec], n_images: int, repeats: int) -> float:
    """CPU milliseconds of the layers' matrix products by themselves, forward and backward.

    Each shape is timed by itself on dense random matrices that lie as the product wants them, so
    the sum is what no way of computing the layers on this machine is expected to go below.
    """
    counts = products(layers, n_images)
    generator = torch.Generator().manual_seed(0)

    def call(rows: int, inner: int, outer: int, has_input_gradient: bool) -> Callable[[], object]:
        shapes = (rows, inner), (inner, outer), (rows, outer)
        x, weight, gradient = (torch.randn(*shape, generator=generator) for shape in shapes)

        def run() -> None:
            x @ weight
            x.T @ gradient
            if has_input_gradient:
                gradient @ weight.T

        return run

    by_name = {str(product): product for product in counts}
    times = cpu_ms({name: call(*product) for name, product in by_name.items()}, repeats)
    return sum(times[name] * counts[product] for name, product in by_name.items())


def photo_text(found: PhotoStep, about: str) -> str:
    """The page, in Markdown."""
    ratio = found.quantized / found.in_float
    rows = [(name, f"{share:.0f} %") for name, share in found.costs]
    rate = 1000 * found.n_images / found.quantized
    sections = [
        f"# Speed of training on photos: a sandwich step, {SPACE}, batch {BATCH}",
        about,
        "CPU milliseconds of forward and backward of the largest, the smallest and two random "
        "subnets, each on a batch of its own, without the making of batches and the update.",
        markdown_table(
            ("what", "CPU ms"),
            [
                ("quantized", f"{found.quantized:.0f}"),
                ("the same architectures in float", f"{found.in_float:.0f}"),
                ("their matrix products alone", f"{found.products:.0f}"),
            ],
        ),
        f"The sandwich takes {ratio:.2f} times as long as its float steps (target: at most "
        f"{TARGET:g}) and trains {rate:.0f} images/s in one thread; processes share its parts. "
        f"The matrix products are {100 * found.products / found.quantized:.0f} % of it: every "
        "convolution but the depthwise ones, and the classifier, as dense products of the same "
        "sizes, for outputs, weights and inputs, timed by themselves.",
        f"Where the time goes, by torch's profiler: the {len(found.costs)} operators with the "
        "largest share of their own, which the profiler's own cost is part of.",
        markdown_table(("operator", "share"), rows),
    ]
    return "\n\n".join(sections) + "\n"


def _profile(run: Callable[[], object]) -> tuple[tuple[str, float], ...]:
    """Operators and their share of a call's time, in percent, without what they call."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
        run()
    events = [(event.key, float(event.self_cpu_time_total)) for event in profiler.key_averages()]
    total = sum(time for _, time in events)
    largest = sorted(events, key=lambda event: -event[1])[:N_COSTS]
    return tuple((name, 100 * time / total) for name, time in largest)
