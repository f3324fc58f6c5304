"""Instructions per MAC of each kind of layer, as C on an emulated Cortex-M4.

    python -m benchmarks.layer_instructions [--space fashion-mnist] [--save]

The largest subnets of a space with random weights, all layers alike at 2, 3 and 4 bits, one for
each size of kernel that the C file has. Equal layers are one row; --save writes
layer_instructions.md.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

import search_spaces
from benchmarks.parts.report import command, machine, markdown_table
from predictors.c_memory import KERNEL_SIZES
from qfa_search.deployment.timing import cortex_m_instructions, plan_for_timing
from qfa_search.supernet.mobilenet_v3 import Supernet
from search_spaces import LayerSpec, SearchSpace

BITS = (2, 3, 4)
Found = dict[str, dict[int, tuple[float, int]]]  # instructions per MAC and MACs, by layer and bits


def name(layer: LayerSpec) -> str:
    """What tells a layer from others in the table."""
    size = f"{layer.kernel_size}x{layer.kernel_size}"
    stride = f", stride {layer.stride}" if layer.stride > 1 else ""
    if layer.kind == "depthwise":
        return f"depthwise {size}, {layer.in_channels}, {layer.in_size} px{stride}"
    where = f"{layer.name}: " if "." not in layer.name else ""
    return f"{where}{size}, {layer.in_channels} to {layer.out_channels}, {layer.in_size} px{stride}"


def measured(space: SearchSpace, kernel_sizes: Sequence[int] = KERNEL_SIZES) -> Found:
    """Instructions per MAC of every kind of layer at every bit width.

    Raises:
        ExportError: The toolchain is missing.
    """
    found: Found = defaultdict(dict)
    for kernel_size in kernel_sizes:
        for bits in BITS:
            stages = tuple(replace(stage, kernel_sizes=(kernel_size,)) for stage in space.stages)
            only = replace(space, stages=stages, bit_choices=(bits,))
            torch.manual_seed(0)
            plan = plan_for_timing(Supernet(only), only.largest())
            for layer, instructions in zip(*cortex_m_instructions(plan), strict=True):
                found[name(layer)].setdefault(bits, (instructions / layer.macs, layer.macs))
    return found


def main(arguments: list[str] | None = None) -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--space", default="fashion-mnist")
    parser.add_argument("--save", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"), metavar="DIR")
    arguments = sys.argv[1:] if arguments is None else arguments
    args = parser.parse_args(arguments)
    rows = [
        (layer, f"{by_bits[BITS[0]][1]:,}", *(f"{by_bits[bits][0]:.2f}" for bits in BITS))
        for layer, by_bits in measured(search_spaces.load(args.space)).items()
    ]
    text = (
        "# Instructions of layers\n\n"
        f"Written by `{command('layer_instructions', arguments)}`: instructions per MAC on an "
        "emulated Cortex-M4, arm-none-eabi-gcc at -O2, weights and activations of 2, 3 and 4 bits "
        "(stem and classifier 8).\n\n"
        f"Machine: {machine()}\n\n"
        + markdown_table(("layer", "MACs", *(f"{bits} bits" for bits in BITS)), rows)
        + "\n"
    )
    print(text)
    if args.save:
        (args.out / "layer_instructions.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
