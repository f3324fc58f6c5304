"""The golden files of the published network: what it gives for generated weights and images."""

from __future__ import annotations

import json

import numpy as np

import qfa_search
from tests.golden.files import write_npz
from tests.qfa_search.published.filling import SPACE, filling
from tests.qfa_search.published.test_checkpoint import (
    VARIANTS,
    bits_that_run,
    key_digest,
    layer_outputs,
    logits,
    recalibrated_statistics,
)
from tests.reference import GOLDEN

CLASSES = 25  # of 1000; each depends on every layer before the classifier
INPUT_SEEDS = (1, 2)
CALIBRATION_SEED = 3


def record_supernet(rng: np.random.Generator) -> None:
    """Two subnets of low resolution: logits, outputs of layers, statistics, bits and keys."""
    filled = filling("golden")
    supernet = qfa_search.import_published_supernet(filled.state)
    X = SPACE.layout.sample(rng, 2)
    X[:, SPACE.layout.groups["resolution"]] = [[0], [1]]
    genes = SPACE.layout.to_published(X).astype(np.int16)
    inputs = {"genes": genes, "input_seed": np.array(INPUT_SEEDS)}
    recalibrated = {"recal_index": np.array([0]), "recal_seed": np.array([CALIBRATION_SEED])}
    found = {}
    for variant in VARIANTS:
        rows = [
            logits(filled, supernet, gene, seed, variant)
            for gene, seed in zip(genes, INPUT_SEEDS, strict=True)
        ]
        found[variant] = np.stack(rows)[..., :CLASSES]
        seeds = {"seed": INPUT_SEEDS[0], "calibration_seed": CALIBRATION_SEED}
        row = logits(filled, supernet, genes[0], variant=variant, **seeds)
        found[f"recal_{variant}"] = row[None, :, :CLASSES]
    write_npz("supernet_logits", inputs | recalibrated)
    write_npz("supernet_logits_f64", found)

    outputs = layer_outputs(filled, supernet, genes[0], INPUT_SEEDS[0])
    modules = [
        {"name": name, "shape": shape, "first8": values[4:]}
        | dict(zip(("mean", "std", "min", "max"), values[:4], strict=True))
        for name, (shape, values) in outputs.items()
    ]
    first = {"gene_index": 0}
    _write_json("supernet_stages", first | {"input_seed": INPUT_SEEDS[0], "modules": modules})
    changed = recalibrated_statistics(filled, supernet, genes[0], CALIBRATION_SEED)
    _write_json(
        "supernet_recalibrated_stats",
        first | {"calibration_seed": CALIBRATION_SEED, "changed_statistics": changed},
    )
    bits = {
        name: {
            f"{i}.{side}_quantizer": pair[j]
            for i, pair in enumerate(found)
            for j, side in enumerate("wa")
        }
        for name, found in zip(
            ("bits_intended", "bits_official_eval"), bits_that_run(genes[0]), strict=True
        )
    }
    _write_json("supernet_bits", first | bits)
    keys = {"n": len(filled.state), "sha256": key_digest(filled.state)}
    _write_json("supernet_keys", keys)


def _write_json(name: str, value: dict) -> None:
    rounded = json.loads(json.dumps(value), parse_float=lambda text: float(f"{float(text):.8g}"))
    (GOLDEN / f"{name}.json").write_text(json.dumps(rounded, indent=0) + "\n")
