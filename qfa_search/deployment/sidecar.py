"""What stands beside an exported file: everything about it that the file itself cannot tell."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from predictors import costs
from predictors.counts import layer_bitops
from qfa_search.deployment.formats import ExportFormat, ExportOptions
from qfa_search.deployment.plan import LayerPlan, NetworkPlan
from qfa_search.deployment.preprocessing import Preprocessing
from qfa_search.deployment.verify import Verification
from search_spaces.arrays import Floats

FORMAT_VERSION = 1
KEY = "qfa_search"


def sidecar_path(file: Path) -> Path:
    """FILE.json beside FILE."""
    return file.with_name(f"{file.name}.json")


def file_metadata(
    plan: NetworkPlan, preprocessing: Preprocessing | None, origin: Mapping[str, str]
) -> dict[str, str]:
    """What the exported file carries itself: enough to feed it and to read its answer."""
    values: dict[str, object] = {
        "format_version": FORMAT_VERSION,
        "package_version": version("qfa-search"),
        "space": plan.space.name,
        "subnet": plan.subnet.to_dict(),
        "resolution": plan.resolution,
        "preprocessing": None if preprocessing is None else preprocessing.to_dict(),
        "class_names": plan.class_names,
        "bits": ",".join(f"{la.spec.bits.w_bits}/{la.spec.bits.a_bits}" for la in plan.layers),
        **origin,
    }
    return {KEY: json.dumps(values, separators=(",", ":"))}


def sidecar(
    plan: NetworkPlan,
    files: Sequence[Path],
    chosen: ExportFormat,
    options: ExportOptions,
    *,
    preprocessing: Preprocessing | None,
    origin: Mapping[str, str],
    verification: Verification | None,
) -> dict[str, Any]:
    """Contents of the sidecar.

    Args:
        plan: What was written.
        files: Where it was written, the main file first.
        chosen: The format.
        options: What the writer was told.
        preprocessing: How pictures become the input, if known.
        origin: Where the network comes from, by what.
        verification: The verdict; None if it was not asked for.
    """
    layers = [_layer(layer, chosen, options) for layer in plan.layers]
    totals = ("macs", "bitops", "packed_weight_bytes", "stored_weight_bytes")
    return {
        "format": chosen.name,
        "format_version": FORMAT_VERSION,
        "package_version": version("qfa-search"),
        "opset": options.opset if chosen.name == "onnx" else None,
        "verified": verification is not None and verification.is_proof,
        "top1": _top1(verification),
        "verification": None if verification is None else verification.to_dict(),
        "files": {
            path.name: {
                "bytes": path.stat().st_size,
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            }
            for path in files
        },
        "origin": dict(origin),
        "space": plan.space.to_dict(),
        "subnet": plan.subnet.to_dict(),
        "resolution": plan.resolution,
        "class_names": plan.class_names,
        "preprocessing": None if preprocessing is None else preprocessing.to_dict(),
        "costs": _costs(plan),
        "totals": {name: sum(layer[name] for layer in layers) for name in totals},
        "layers": layers,
    }


def _top1(verification: Verification | None) -> dict[str, Any] | None:
    """Top-1 of the file, by what runs it, on the images that it was verified on."""
    seen = () if verification is None else verification.comparisons
    found = {each.engine: each.top1 for each in seen if each.top1 is not None}
    return {"n_images": seen[0].n_images, "by_engine": found} if found else None


def _costs(plan: NetworkPlan) -> dict[str, float]:
    """Every cost column that the subnet has."""
    frame = costs(plan.space, plan.space.layout.encode(plan.subnet)[None])
    return {str(name): float(value) for name, value in frame.iloc[0].dropna().items()}


def sidecar_text(about: Mapping[str, Any]) -> str:
    """The sidecar as JSON, a layer a line."""
    head = json.dumps({k: v for k, v in about.items() if k != "layers"}, indent=1)
    layers = ",\n  ".join(json.dumps(layer) for layer in about["layers"])
    return f'{head[:-2]},\n "layers": [\n  {layers}\n ]\n}}\n'


def _layer(layer: LayerPlan, chosen: ExportFormat, options: ExportOptions) -> dict[str, Any]:
    spec, grid = layer.spec, layer.grid
    stored = chosen.stored_bits(spec.bits.w_bits, options)
    values = layer.weights if layer.codes is None else layer.codes
    assert values is not None
    return {
        "name": spec.name,
        "kind": spec.kind,
        "w_bits": spec.bits.w_bits,
        "a_bits": spec.bits.a_bits,
        "macs": spec.macs,
        "bitops": layer_bitops(spec),
        "packed_weight_bytes": -(-spec.n_weights * spec.bits.w_bits // 8),
        "stored_weight_bytes": -(-spec.n_weights * stored // 8),
        "weights_sha256": hashlib.sha256(values.tobytes()).hexdigest(),
        "weight_step": layer.step if layer.codes is not None else None,
        "output_scale": _short(layer.output_scale),
        "bias": _short(layer.bias),
        "input": None
        if grid is None
        else {
            "scale": grid.scale,
            "zero": grid.zero,
            "zero_code": grid.zero_code,
            "fraction": grid.fraction,
            "top": grid.top,
        },
    }


def _short(values: Floats) -> list[float]:
    """Values with the digits of float32."""
    return [float(str(value)) for value in values.astype(np.float32)]
