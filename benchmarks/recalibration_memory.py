"""Memory and time of a sequential recalibration, of one subnet in a process of its own.

python -m benchmarks.recalibration_memory --space cifar10

Prints what the largest subnet takes beside the same in one pass over a tensor of all images.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from dataclasses import replace

import torch
from torch import nn

import search_spaces
from qfa_search.measuring.scoring import RecalibrationSetting
from qfa_search.supernet.allocator import peak_resident_bytes, reuse_freed_memory
from qfa_search.supernet.extract import extract
from qfa_search.supernet.mobilenet_v3 import Supernet
from qfa_search.supernet.recalibrate import recalibrate


def measured(space_name: str, resolution: int, n_batches: int, *, in_parts: bool) -> list[float]:
    """Megabytes before and at the peak, and seconds of processor time."""
    reuse_freed_memory()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    space = search_spaces.load(space_name)
    network = extract(Supernet(space), replace(space.largest(), resolution=resolution))
    size = RecalibrationSetting().batch_size
    shape = size, space.input_channels, resolution, resolution
    batches = ((torch.randn(shape), torch.zeros(size)) for _ in range(n_batches))
    before = peak_resident_bytes() / 2**20
    started = time.process_time()
    # Modules that are no StaticNetwork go through in one pass over a tensor of all images.
    recalibrate(
        network if in_parts else nn.Sequential(network), batches, n_batches, sequential=True
    )
    seconds = time.process_time() - started
    return [before, peak_resident_bytes() / 2**20, seconds]


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--space", default="fashion-mnist")
    parser.add_argument("--resolution", type=int, help="the largest of the space by default")
    parser.add_argument("--batches", type=int, default=RecalibrationSetting().n_batches)
    arguments = parser.parse_args()
    resolution = arguments.resolution or max(search_spaces.load(arguments.space).resolutions)
    print("| maps | MB before | MB at the peak | CPU seconds |")
    print("| --- | --- | --- | --- |")
    for name, in_parts in (("in one tensor", False), ("in parts", True)):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            row = pool.apply(
                measured,
                (arguments.space, resolution, arguments.batches),
                {"in_parts": in_parts},
            )
        print(f"| {name} | {row[0]:.0f} | {row[1]:.0f} | {row[2]:.1f} |", flush=True)


if __name__ == "__main__":
    main()
