"""Top-1 of a supernet: largest, middle, smallest at 4, 3 and 2 bits, and random subnets.

python -m benchmarks.supernet_scores --split test --jobs 2 --random 50
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from predictors import cost_arrays
from qfa_search.images.sources import open_data
from qfa_search.measuring.evaluation import evaluate
from qfa_search.measuring.subnets import measure_all, measure_config
from qfa_search.supernet.files import resolve_supernet
from qfa_search.training.sandwich import with_uniform_bits
from qfa_search.training.teacher import load_teacher
from search_spaces import SearchSpace
from search_spaces.genome import Genomes


def corners(space: SearchSpace) -> tuple[list[str], Genomes]:
    """Names and canonical genomes `(n, n_genes)`: three architectures at all `uniform_bits`."""
    layout = space.layout
    highest = layout.n_choices - 1
    architectures = {"largest": highest, "middle": highest // 2, "smallest": layout.lowest()}
    names, genomes = [], []
    for name, architecture in architectures.items():
        subnet = layout.decode(architecture)
        for bits in reversed(space.uniform_bits):
            names.append(f"{name} {bits}")
            genomes.append(layout.encode(with_uniform_bits(subnet, bits)))
    return names, np.array(genomes)


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--supernet", default="fashion-mnist", help="name, file or folder")
    parser.add_argument("--data", default="fashion-mnist")
    parser.add_argument("--split", choices=["val", "test"], default="val")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--random", type=int, default=0, help="how many random subnets")
    parser.add_argument("--seed", type=int, default=0, help="of the random subnets")
    parser.add_argument("--teacher", type=Path, help="teacher.safetensors to score, too")
    arguments = parser.parse_args()
    files = resolve_supernet(arguments.supernet)
    space = files.space()
    names, X = corners(space)
    config = measure_config(files.weights, arguments.data, arguments.split)
    found = measure_all(config, X, jobs=arguments.jobs)
    costs = cost_arrays(space, X, ["mflops", "size_kb"])
    print(f"| subnet, w/a bits | MFLOPs | size KB | top-1 ({arguments.split}) |")
    print("| --- | --- | --- | --- |")
    for i, name in enumerate(names):
        mflops, size_kb = costs["mflops"][i], costs["size_kb"][i]
        print(f"| {name} | {mflops:.3f} | {size_kb:.1f} | {found[i].top1:.2f} |")
    if arguments.teacher:
        print(f"| teacher, float | | | {teacher_top1(arguments, space):.2f} |")
    if arguments.random:
        drawn = space.layout.sample(np.random.default_rng(arguments.seed), arguments.random)
        scores = [e.top1 for e in measure_all(config, drawn, jobs=arguments.jobs)]
        print(
            f"{arguments.random} random subnets, every choice uniform, seed {arguments.seed}: "
            f"{np.mean(scores):.2f} on average, standard deviation {np.std(scores, ddof=1):.2f}, "
            f"{min(scores):.2f} to {max(scores):.2f}"
        )


def teacher_top1(arguments: argparse.Namespace, space: SearchSpace) -> float:
    """Top-1 of the teacher in `arguments.teacher`."""
    teacher = load_teacher(arguments.teacher, space)
    data = open_data(
        arguments.data, channels=space.input_channels, resolution=max(space.resolutions)
    )
    images = data.images(arguments.split)
    return evaluate(teacher.network, images.batches(teacher.resolution, 250)).top1


if __name__ == "__main__":
    main()
