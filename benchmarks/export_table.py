"""What exported files weigh, and whether they are equal: four subnets in every format.

    python -m benchmarks.export_table [--supernet S] [--data D] [--images N] [--replay N]

Smallest, middle, knee and largest member of a front of the supernet's whole space, recalibrated as
they are measured. Bytes of every format, top-1 of every engine on the test images, ties in the
replay, and flash, RAM and instructions of the C file on an emulated Cortex-M4 where its toolchain
is installed; the same kernels with 8-bit weights beside it. Writes export_table.csv, .md and .png.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from benchmarks.parts.report import (
    COLOURS,
    command,
    machine,
    markdown_table,
    new_figure,
    tidy,
    write_report,
)
from predictors import size_bytes
from predictors.files import read_metadata, write_text
from qfa_search import ParetoFront, search
from qfa_search.deployment.c_comparison import normalized, pixels_of
from qfa_search.deployment.c_source import c_source
from qfa_search.deployment.emulator.cortex_m import (
    check_toolchain,
    cortex_m_sizes,
    run_on_cortex_m,
)
from qfa_search.deployment.engines import onnx_session
from qfa_search.deployment.export import export
from qfa_search.deployment.formats import export_format
from qfa_search.deployment.host_c import compiled_c, host_compiler
from qfa_search.deployment.integers import integer_plan
from qfa_search.deployment.onnx_file import onnx_model
from qfa_search.deployment.plan import NetworkPlan, network_plan
from qfa_search.deployment.preprocessing import Preprocessing
from qfa_search.deployment.verify import verify_plan
from qfa_search.errors import ExportError
from qfa_search.images.memory import Images
from qfa_search.measuring.subnets import measure_config, measured_images, measured_network
from qfa_search.supernet.extract import StaticNetwork
from qfa_search.supernet.files import resolve_supernet
from search_spaces import LayerBits, Subnet
from search_spaces.arrays import Floats
from search_spaces.subnet import FLOAT_BITS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BATCH = 250
QONNX_IMAGES = 200  # its executor takes a hundred times as long as onnxruntime
EMULATED_IMAGES = 2
FORMATS = ("onnx", "qonnx", "torch", "npz")
BYTES = {
    "float32": "float32 ONNX",
    "onnx8": "8-bit ONNX",
    "onnx21": "opset 21",
    "onnx": "ONNX",
    "npz": "npz",
    "torch": "torch",
    "qonnx": "QONNX",
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--supernet")
    parser.add_argument("--data")
    parser.add_argument("--front", type=Path, help="one to choose from, in place of a search")
    parser.add_argument("--images", type=int, default=10**9, help="test images for top-1")
    parser.add_argument("--replay", type=int, default=1000, help="of them to replay")
    parser.add_argument("--population", type=int, default=300)
    parser.add_argument("--generations", type=int, default=100)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    given = sys.argv[1:] if arguments is None else list(arguments)
    options = parser.parse_args(given)
    files = resolve_supernet(options.supernet)
    config = measure_config(files.weights, files.data(options.data), "test", device="cpu")
    front = (
        search(
            supernet=files.weights,
            population=options.population,
            generations=options.generations,
        )
        if options.front is None
        else ParetoFront.load(options.front)
    )
    images = measured_images(config)
    assert isinstance(images, Images)
    images = images.drawn(options.images)
    metadata = read_metadata(files.weights, "supernet")
    preprocessing = Preprocessing.of_supernet(front.space, metadata)
    members = {
        "smallest": front.space.smallest(),
        "middle": front[len(front) // 2].subnet,
        "knee": front.knee().subnet,
        "largest": front.space.largest(),
    }
    rows = []
    for name, subnet in members.items():
        print(f"{name} ...", file=sys.stderr)
        network = measured_network(config, subnet).cpu()
        rows.append({"member": name} | _row(network, images, preprocessing, options.replay))
    frame = pd.DataFrame(rows)
    options.out.mkdir(parents=True, exist_ok=True)
    write_text(options.out / "export_table.csv", frame.to_csv(index=False, float_format="%.6g"))
    text = _text(frame, front.space.name, command("export_table", given))
    write_report(options.out, "export_table", text, _figure(frame))


def _row(
    network: StaticNetwork, images: Images, preprocessing: Preprocessing, n_replay: int
) -> dict[str, object]:
    plan = network_plan(network, mean=preprocessing.mean, std=preprocessing.std)
    subnet: Subnet = network.subnet
    row: dict[str, object] = {
        "resolution": subnet.resolution,
        "bits": _bits(plan),
        "mmacs": sum(layer.spec.macs for layer in plan.layers) / 1e6,
        "size_bytes": size_bytes(network.space, subnet),
    }
    with tempfile.TemporaryDirectory() as folder:
        row |= _bytes(network, plan, preprocessing, Path(folder))
        row |= _replays(network, plan, images, Path(folder), n_replay)
        row |= _top1(network, plan, images, Path(folder))
    return row | _on_cortex_m(plan, images, "c") | _on_cortex_m(_in_8_bits(plan), images, "c8")


def _bytes(
    network: StaticNetwork, plan: NetworkPlan, preprocessing: Preprocessing, folder: Path
) -> dict[str, object]:
    """Bytes of every format; the files stay in `folder`."""
    found: dict[str, object] = {}
    for name in FORMATS:
        file = folder / f"{name}{export_format(name, folder).suffix}"
        done = export(network, file, format=name, preprocessing=preprocessing)
        found[f"{name}_bytes"] = done.n_bytes
    export(network, folder / "net.c", preprocessing=preprocessing)
    models = {
        "onnx21": onnx_model(plan, opset=21),
        "onnx8": onnx_model(_in_8_bits(plan)),
        "float32": onnx_model(plan, in_floating_point=True),
    }
    return found | {f"{name}_bytes": m.ByteSize() for name, m in models.items()}


def _replays(
    network: StaticNetwork, plan: NetworkPlan, images: Images, folder: Path, n: int
) -> dict[str, object]:
    """Codes, ties and wrong codes of each format on the first test images."""
    found: dict[str, object] = {}
    for name in ("onnx", "torch", "qonnx"):
        chosen = export_format(name, folder)
        part = images.take(range(min(len(images), QONNX_IMAGES if name == "qonnx" else n)))
        batches = part.batches(plan.resolution, BATCH)
        verdict = verify_plan(network, plan, folder / f"{name}{chosen.suffix}", chosen, batches)
        told = [seen.to_dict() for seen in verdict.comparisons]
        found |= {
            f"{name}_replayed": len(part),
            f"{name}_codes": told[0]["n_codes"],
            f"{name}_ties": max(t["n_ties"] for t in told),
            f"{name}_wrong": max(t["n_wrong"] for t in told),
            f"{name}_logits": max(t["logit_difference"] for t in told),
            f"{name}_verified": verdict.is_proof,
        }
    return found


@torch.inference_mode()
def _top1(
    network: StaticNetwork, plan: NetworkPlan, images: Images, folder: Path
) -> dict[str, object]:
    """Percent that each engine gets right, and in how many images it gives torch's class."""
    session = onnx_session((folder / "onnx.onnx").read_bytes())
    names = ["torch", "ort"] + (["pixels", "c"] if host_compiler() is not None else [])
    right, same = dict.fromkeys(names, 0), dict.fromkeys(names, 0)
    program = compiled_c(folder / "net.c", network.space.n_classes) if "c" in right else None
    with program or nullcontext(None) as run:
        for batch, labels in images.batches(plan.resolution, BATCH):
            pixels = pixels_of(batch, plan)
            own = network(batch).argmax(1).numpy()
            classes = {
                "torch": own,
                "ort": session.run(None, {"image": batch.numpy()})[0].argmax(1),
            }
            if run is not None:
                classes["c"] = run(pixels).argmax(1)
                seen = normalized(pixels, plan)
                at_once = torch.equal(seen, batch)  # no image was resized
                classes["pixels"] = own if at_once else network(seen).argmax(1).numpy()
                same["c"] += int((classes["c"] == classes["pixels"]).sum())
            same["ort"] += int((classes["ort"] == own).sum())
            for name in names:
                right[name] += int((classes[name] == labels.numpy()).sum())
    n = len(images)
    equal = {f"{name}_equal": same[name] for name in ("ort", "c") if name in names}
    return {"images": n} | {f"{name}_top1": 100 * right[name] / n for name in names} | equal


def _on_cortex_m(plan: NetworkPlan, images: Images, column: str) -> dict[str, object]:
    """Flash, RAM and instructions of the C file; nothing without the toolchain."""
    try:
        check_toolchain()
    except ExportError as error:
        print(f"left out: {error}", file=sys.stderr)
        return {}
    source, header = c_source(integer_plan(plan), name="net")
    sizes = cortex_m_sizes(source, header, "net")
    part = images.take(range(EMULATED_IMAGES))
    pixels = pixels_of(next(part.batches(plan.resolution, BATCH))[0], plan)
    run = run_on_cortex_m(source, header, "net", pixels, len(plan.layers))
    return {
        f"{column}_flash": sizes.code + sizes.constants,
        f"{column}_ram": sizes.ram,
        f"{column}_minstructions": float(np.mean(run.instructions)) / 1e6,
    }


def _in_8_bits(plan: NetworkPlan) -> NetworkPlan:
    """The same network with every weight code stored in 8 bits."""
    layers = []
    for layer in plan.layers:
        bits = layer.spec.bits
        if bits.w_bits != FLOAT_BITS:
            bits = LayerBits(8, bits.a_bits)
        layers.append(replace(layer, spec=replace(layer.spec, bits=bits)))
    return replace(plan, layers=tuple(layers))


def _bits(plan: NetworkPlan) -> str:
    """Lowest and highest bits of the searchable layers."""
    inner = [layer.spec.bits for layer in plan.layers[1:-1] if layer.spec.bits.w_bits < FLOAT_BITS]
    w, a = sorted({b.w_bits for b in inner}), sorted({b.a_bits for b in inner})
    return f"{w[0]}-{w[-1]}/{a[0]}-{a[-1]}"


def _text(frame: pd.DataFrame, space: str, line: str) -> str:
    parts = [
        "# Exported files",
        f"Subnets of {space}, recalibrated as they are measured. `{line}`",
        "Bytes of the file, and how many times smaller than float32 ONNX with the norms folded:",
        markdown_table(["member", "px", "bits w/a", "size_kb", *BYTES.values()], _byte_rows(frame)),
        "Top-1 on test images, and images with torch's class. C starts from 8-bit pixels at the "
        "subnet's resolution; torch on those stands beside it:",
        markdown_table(
            [
                *("member", "images", "torch", "onnxruntime", "equal"),
                *("torch, 8-bit pixels", "C", "equal"),
            ],
            _top1_rows(frame),
        ),
        "Replay: codes compared, ties (other codes at a rounding threshold), wrong codes, largest "
        "difference of a logit once ties are decided alike:",
        markdown_table(
            ["member", "file", "images", "codes", "ties", "wrong", "logits", "verified"],
            _replay_rows(frame),
        ),
    ]
    if "c_flash" in frame:
        parts += [
            "C on an emulated Cortex-M4, bytes of flash (code and constants) and RAM, millions of "
            "instructions for an image; the same kernels with 8-bit weights:",
            markdown_table(
                [
                    *("member", "flash", "x size_kb", "RAM", "M instr.", "per MAC"),
                    *("8 bits: flash", "M instr."),
                ],
                _device_rows(frame),
            ),
        ]
    return "\n\n".join([*parts, machine()]) + "\n"


def _byte_rows(frame: pd.DataFrame) -> Iterator[list[object]]:
    for row in frame.to_dict("records"):
        yield [
            row["member"],
            row["resolution"],
            row["bits"],
            f"{row['size_bytes'] / 1e3:.1f}",
            *(
                f"{row[f'{n}_bytes']:,} ({row['float32_bytes'] / row[f'{n}_bytes']:.1f})"
                for n in BYTES
            ),
        ]


def _top1_rows(frame: pd.DataFrame) -> Iterator[list[object]]:
    for row in frame.to_dict("records"):
        columns = [f"{row['torch_top1']:.2f}", f"{row['ort_top1']:.2f}", row["ort_equal"]]
        if "c_top1" in row:
            columns += [f"{row['pixels_top1']:.2f}", f"{row['c_top1']:.2f}", row["c_equal"]]
        else:
            columns += ["-"] * 3
        yield [row["member"], row["images"], *columns]


def _replay_rows(frame: pd.DataFrame) -> Iterator[list[object]]:
    for row in frame.to_dict("records"):
        for name in ("onnx", "torch", "qonnx"):
            seen = {k: row[f"{name}_{k}"] for k in ("replayed", "codes", "ties", "wrong", "logits")}
            verdict = "yes" if row[f"{name}_verified"] else "no"
            numbers = [f"{seen['codes'] / 1e6:.1f} M", seen["ties"], seen["wrong"]]
            yield [
                *(row["member"], name, seen["replayed"], *numbers),
                *(f"{seen['logits']:.1e}", verdict),
            ]


def _device_rows(frame: pd.DataFrame) -> Iterator[list[object]]:
    for row in frame.to_dict("records"):
        yield [
            row["member"],
            f"{row['c_flash']:,}",
            f"{row['c_flash'] / row['size_bytes']:.2f}",
            f"{row['c_ram']:,}",
            f"{row['c_minstructions']:.1f}",
            f"{row['c_minstructions'] / row['mmacs']:.2f}",
            f"{row['c8_flash']:,}",
            f"{row['c8_minstructions']:.1f}",
        ]


def _figure(frame: pd.DataFrame) -> Figure:
    """Bytes of each member by format."""
    figure = new_figure(7.5, 3.6)
    axes = figure.add_subplot()
    columns = {n: label for n, label in BYTES.items() if n not in ("torch", "qonnx")}
    width = 0.8 / (len(columns) + 1)
    at: Floats = np.arange(len(frame), dtype=np.float64)
    for i, (name, label) in enumerate(columns.items()):
        values = frame[f"{name}_bytes"] / 1e3
        axes.bar(at + i * width, values, width, label=label, color=COLOURS[i])
    if "c_flash" in frame:
        flash, i = frame["c_flash"] / 1e3, len(columns)
        axes.bar(at + i * width, flash, width, label="C, flash", color=COLOURS[i])
    axes.set_xticks(at + width * len(columns) / 2, frame["member"])
    axes.set_yscale("log")
    axes.set_ylabel("kB")
    figure.legend(frameon=False, fontsize=8, ncols=len(columns) + 1, loc="outside lower center")
    axes.set_title("Bytes of a subnet by format")
    tidy(figure)
    return figure


if __name__ == "__main__":
    main()
