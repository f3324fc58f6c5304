"""A stand-in for a clone of the published release: same formats, generated contents."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

import predictors
from tests.qfa_search.published.filling import SPACE, filled_state


def top1_of(X, rng: np.random.Generator) -> np.ndarray:
    """Made-up accuracies that rise with the cost."""
    cost = predictors.costs(SPACE, X)["published_mflops"].to_numpy()
    return 75 - 60 / np.sqrt(cost) + rng.normal(0, 0.1, len(X))


def sample_rows(n: int, seed: int = 0) -> list[dict]:
    """Samples in the published form."""
    rng = np.random.default_rng(seed)
    X = SPACE.layout.sample(rng, n)
    genes = SPACE.layout.to_published(X).tolist()
    costs = predictors.costs(SPACE, X)["published_mflops"].tolist()
    rows = []
    for gene, cost, top1 in zip(genes, costs, top1_of(X, rng).tolist(), strict=True):
        bits = gene[46:]
        blocks = [bits[6 * b : 6 * b + 6] for b in range(21)]
        rows.append(
            {
                "ks": gene[:20],
                "e": gene[20:40],
                "d": gene[40:45],
                "r": gene[45],
                "bs": [[32, 32], *blocks, bits[126:128], bits[128:130], [8, 8]],
                "acc1": top1,
                "lut_flops": cost,
            }
        )
    return rows


def write_release(folder: Path, *, n_samples: int, n_architectures: int = 5) -> Path:
    """The three files, in a new folder."""
    folder.mkdir()
    torch.save(filled_state(), folder / "b234_ps.pth")
    (folder / "qsamples_8k.json").write_text(json.dumps(sample_rows(n_samples)))
    X = SPACE.layout.sample(np.random.default_rng(1), n_architectures)
    np.save(folder / "pareto_archs.npy", SPACE.layout.to_published(X))
    return folder


def write_images(folder: Path, *, n_classes: int = 1000, per_class: int = 3) -> Path:
    """An image folder of small JPEGs; a few different ones, linked under many names."""
    from PIL import Image

    rng = np.random.default_rng(0)
    pool = folder / "pool"
    pool.mkdir(parents=True)
    for i in range(8):
        width, height = rng.integers(24, 48, 2)
        pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(pool / f"{i}.jpg", quality=95)
    for part, n in (("train", per_class), ("val", 1)):
        for label in range(n_classes if part == "train" else 12):
            target = folder / "images" / part / f"n{label:08d}"
            target.mkdir(parents=True)
            for i in range(n):
                (target / f"{i}.JPEG").hardlink_to(pool / f"{(label + i) % 8}.jpg")
    return folder / "images"
