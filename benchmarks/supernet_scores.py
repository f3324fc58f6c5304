"""Top-1 of a supernet at its corners: largest, middle, smallest at 4, 3 and 2 bits throughout.

python -m benchmarks.supernet_scores --split test --jobs 2
"""

from __future__ import annotations

import argparse

import numpy as np

from predictors import cost_arrays
from qfa_search.bundled import resolve_supernet
from qfa_search.measuring import measure_all, measure_config
from search_spaces import SearchSpace
from search_spaces.genome import Genomes


def corners(space: SearchSpace) -> tuple[list[str], Genomes]:
    """Names and canonical genomes `(n, n_genes)`: three architectures at every bit width."""
    layout = space.layout
    highest = layout.n_choices - 1
    architectures = {"largest": highest, "middle": highest // 2, "smallest": layout.lowest()}
    is_bits = np.arange(layout.n_genes) >= layout.groups["resolution"].stop
    names, genomes = [], []
    for name, architecture in architectures.items():
        for index, bits in reversed(list(enumerate(space.bit_choices))):
            names.append(f"{name} {bits}/{bits}")
            genomes.append(np.where(is_bits, index, architecture))
    return names, layout.canonicalize(np.array(genomes))


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--supernet", help="name, file or folder; the bundled one by default")
    parser.add_argument("--data", default="fashion-mnist")
    parser.add_argument("--split", choices=["val", "test"], default="val")
    parser.add_argument("--jobs", type=int, default=1)
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


if __name__ == "__main__":
    main()
