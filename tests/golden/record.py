"""Record the golden files again.

    python -m tests.golden.record

First the tests run that compare this code with the published numbers: without those, or where
one differs, nothing is written. Every file has inputs drawn here from fixed seeds and what this
code makes of them, in the form of the published file of the same name.
"""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd

import predictors
import search_spaces
from benchmarks.parts.measured_subnets import POOL_SPACE
from tests.benchmarks.test_imagenet_table import costs_of_architectures
from tests.golden.files import write_npz
from tests.golden.record_supernet import record_supernet
from tests.qfa_search.quantizers.test_functional import batchquant_case, lsq_case
from tests.qfa_search.supernet.test_elastic import layer_case
from tests.reference import GOLDEN, PUBLISHED

SPACE = search_spaces.load("mobilenet-v3-w1.2")
BITS = (2, 3, 4, 8)
COMPARED = (
    "tests/benchmarks/test_imagenet_table.py",
    "tests/predictors/test_accuracy.py",
    "tests/predictors/test_costs.py",
    "tests/predictors/test_features.py",
    "tests/predictors/test_published_costs.py",
    "tests/qfa_search/published/test_checkpoint.py",
    "tests/qfa_search/quantizers/test_functional.py",
    "tests/qfa_search/supernet/test_elastic.py",
)


def _draw(rng: np.random.Generator, *shape: int, scale: float = 1.0) -> np.ndarray:
    return (scale * rng.standard_normal(shape)).astype(np.float32)


def quantizer_cases(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Activations in training and evaluation, and weights, at all bit widths."""
    activations, weights = [], []
    for i, (bits, signed, training) in enumerate(
        (b, s, t) for b in BITS for s in (0, 1) for t in (0, 1)
    ):
        shape = (2, 3, 4, 4) if i % 3 else (8, 5)
        case = {"x": _draw(rng, *shape, scale=2), "cot": _draw(rng, *shape)}
        alpha, offset = rng.normal(0, 0.5, 2) * (i % 4 > 0)  # every fourth as they start
        case["f"] = np.array([alpha, offset, -rng.uniform(0.5, 2), rng.uniform(1, 4)])
        case["i"] = np.array([bits, signed, training])
        activations.append(case | batchquant_case(case))
    for i, (bits, signed) in enumerate((b, s) for b in BITS for s in (0, 1)):
        shape = (6, 4, 1, 1) if i % 3 else (4, 1, 5, 5)
        case = {"w": _draw(rng, *shape), "cot": _draw(rng, *shape)}
        case["f"] = np.array([rng.uniform(0.5, 2) / 2 ** (bits - 1), np.nan])
        case["i"] = np.array([bits, signed, 0])
        weights.append(case | lsq_case(case))
    cases = {"n_activation": np.array(len(activations)), "n_lsq": np.array(len(weights))}
    for letter, found in (("a", activations), ("w", weights)):
        for i, case in enumerate(found):
            cases |= {f"{letter}{i:03d}_{name}": value for name, value in case.items()}
    return cases


def layer_cases(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Whole layers of every kind, in training and evaluation."""
    cases = {}
    kinds = ("point", "point_nobn", "depth3", "depth5", "depth7", "depth3s2", "linear")
    for i, (kind, mode) in enumerate((k, m) for k in kinds for m in ("train", "eval")):
        case = _layer_inputs(rng, kind) | {
            "kind": np.array(f"{kind}:{mode}"),
            "bits": np.array([(2, 3), (4, 2), (3, 4)][i % 3]),
        }
        cases |= {f"l{i:03d}_{name}": v for name, v in (case | layer_case(case)).items()}
    return cases


def _layer_inputs(rng: np.random.Generator, kind: str) -> dict[str, np.ndarray]:
    """Of a layer whose first channels alone are active."""
    if kind == "linear":
        weight, x, y = (9, 8), (6, 8), (6, 9)
    elif kind == "point_nobn":
        weight, x, y = (10, 6, 1, 1), (5, 6, 1, 1), (5, 10, 1, 1)
    elif kind == "point":
        weight, x, y = (8, 6, 1, 1), (2, 4, 5, 5), (2, 5, 5, 5)
    else:
        side = 3 if kind.endswith("s2") else 5
        weight, x, y = (6, 1, 7, 7), (2, 4, 5, 5), (2, 4, side, side)
    case = {"x": _draw(rng, *x), "cot": _draw(rng, *y), "y": np.zeros(y, np.float32)}
    case["weight"] = _draw(rng, *weight, scale=float(np.prod(weight[1:])) ** -0.5)
    n = weight[0]
    if kind == "linear":
        case["bias"] = _draw(rng, n)
    elif kind != "point_nobn":
        for name, low, high in (("gamma", 0.5, 1.5), ("running_var", 0.2, 1)):
            case[name] = rng.uniform(low, high, n).astype(np.float32)
        case |= {name: _draw(rng, n, scale=0.3) for name in ("beta", "running_mean")}
    if kind.startswith("depth"):
        for name, size in (("7to5_matrix", 25), ("5to3_matrix", 9)):
            case[name] = np.eye(size, dtype=np.float32) + _draw(rng, size, size, scale=0.05)
    # Scale of the weights, alpha and offset, running range; three gradients follow.
    learned = (rng.uniform(0.1, 0.4), rng.normal(0, 0.5), rng.normal(0, 0.5))
    case["q"] = np.array([*learned, -rng.uniform(0.3, 1), rng.uniform(1, 2), *[np.nan] * 3])
    return case


def costs_and_encodings(rng: np.random.Generator) -> tuple[dict, dict]:
    """Published costs and features of random subnets, some of them with silent genes unset."""
    X = np.concatenate([SPACE.layout.sample(rng, 14), [SPACE.layout.highest()]])
    genes = SPACE.layout.to_published(X).astype(np.int16)
    costs = predictors.cost_arrays(SPACE, X, ["published_mflops"])["published_mflops"]
    onehot = predictors.features(SPACE, X).astype(np.uint8)
    return {"genes": genes, "mflops": costs}, {"genes": genes, "onehot": onehot}


def float_subnets(rng: np.random.Generator) -> pd.DataFrame:
    """Random subnets of the pool's space with their costs and a made-up accuracy."""
    space = search_spaces.load(POOL_SPACE)
    X = space.layout.canonicalize(space.layout.sample(rng, 300))
    blocks = [*(f"kernel_size_{i}" for i in range(20)), *(f"expand_ratio_{i}" for i in range(20))]
    table = pd.DataFrame(
        space.layout.to_published(X)[:, :45], columns=[*blocks, *(f"depth_{i}" for i in range(5))]
    )
    costs = predictors.cost_arrays(space, X, ["params", "macs"])
    gains = predictors.features(space, X) @ rng.gamma(1, 0.1, predictors.n_features(space))
    top1 = 70 + 6 * costs["macs"] / costs["macs"].max() + 0.5 * gains / gains.std()
    return table.assign(**costs, top1=(top1 + rng.normal(0, 0.03, len(X))).round(3))


def architectures(rng: np.random.Generator) -> tuple[np.ndarray, pd.DataFrame]:
    """Random published genes and what the table of the ImageNet space says that they cost."""
    X = SPACE.layout.canonicalize(SPACE.layout.sample(rng, 12))
    return SPACE.layout.to_published(X), costs_of_architectures(X).round(4)


def main() -> None:
    """Check against the published numbers, then write every file."""
    if not PUBLISHED.is_dir():
        sys.exit("nothing is recorded: there are no published numbers to check against")
    selected = ["-k", "published and not golden", "-m", "slow or not slow", *COMPARED]
    if subprocess.run([sys.executable, "-m", "pytest", "-q", *selected]).returncode != 0:
        sys.exit("nothing is recorded: this code and the published numbers differ")
    write_npz("quantizer_cases", quantizer_cases(np.random.default_rng(1)))
    write_npz("layer_cases", layer_cases(np.random.default_rng(2)))
    costs, encodings = costs_and_encodings(np.random.default_rng(3))
    write_npz("cost_cases", costs)
    write_npz("encoding_cases", encodings)
    table = float_subnets(np.random.default_rng(4))
    table.to_csv(GOLDEN / "ofa_mbv3_w10_imagenet.csv", index=False)
    genes, costs_of_genes = architectures(np.random.default_rng(5))
    np.save(GOLDEN / "published_pareto_archs.npy", genes.astype(np.int64))
    costs_of_genes.to_csv(GOLDEN / "architecture_costs.csv", index=False)
    record_supernet(np.random.default_rng(6))


if __name__ == "__main__":
    main()
