"""Subnets with measured accuracy that predictors and searches are tried on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import search_spaces
from predictors import AccuracyPredictor, cost_arrays
from qfa_search.measuring.samples import read_samples
from qfa_search.supernet.files import resolve_supernet
from search_spaces import SearchSpace
from search_spaces.arrays import Floats
from search_spaces.genome import Genomes

POOL_SPACE = "ofa-mobilenet-v3-w1.0"
POOL_RESOLUTION = 224


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredSubnets:
    """Genomes and what was measured of them.

    Attributes:
        name: What tables call them.
        space: Their space.
        X: Canonical genomes, `(n, n_genes)`.
        top1: Percent, `(n,)`.
        cross_entropy: `(n,)`, or None if it is not known.
    """

    name: str
    space: SearchSpace
    X: Genomes
    top1: Floats
    cross_entropy: Floats | None = None

    def mflops(self) -> Floats:
        """Millions of 8-bit-equivalent MACs, `(n,)`; just MACs in a space in floating point."""
        return np.asarray(cost_arrays(self.space, self.X, ["mflops"])["mflops"])

    def fit(self, rows: NDArray[np.int64], seed: int) -> AccuracyPredictor:
        """Our predictor, fitted to some of the subnets as `qfa-search fit` does it."""
        entropy = None if self.cross_entropy is None else self.cross_entropy[rows]
        return AccuracyPredictor.fit(
            self.space, self.X[rows], self.top1[rows], cross_entropy=entropy, seed=seed
        )


def imagenet_pool(path: Path) -> MeasuredSubnets:
    """Float subnets of OFA-MobileNetV3 at 224 pixels with their real ImageNet top-1.

    Args:
        path: CSV with a row per subnet: 45 published gene values (kernel sizes, expand ratios,
            depths), params, macs, top1.
    """
    import pandas as pd

    table = pd.read_csv(path)
    space = search_spaces.load(POOL_SPACE)
    names = [f"kernel_size_{i}" for i in range(20)] + [f"expand_ratio_{i}" for i in range(20)]
    values = table[[*names, *(f"depth_{i}" for i in range(5))]].to_numpy(dtype=np.int64)
    genes = np.column_stack([values, np.full(len(values), POOL_RESOLUTION)])
    X = space.layout.canonicalize(space.layout.from_published(genes))
    return MeasuredSubnets(
        name="ImageNet pool", space=space, X=X, top1=table["top1"].to_numpy(dtype=np.float64)
    )


def supernet_samples(path: Path) -> MeasuredSubnets:
    """The samples that a supernet's predictor is fitted to."""
    found = read_samples(path)
    return MeasuredSubnets(
        name=f"{found.space.name} samples",
        space=found.space,
        X=found.X,
        top1=found.frame["top1"].to_numpy(dtype=np.float64),
        cross_entropy=found.cross_entropy(),
    )


def available(pool: Path | None, samples: Path | None) -> tuple[list[MeasuredSubnets], list[str]]:
    """What there is of the two, and a sentence for each that is missing.

    Args:
        pool: CSV of the ImageNet pool, if given.
        samples: Samples file; those of the bundled fashion-mnist by default.
    """
    found, missing = [], []
    if pool is not None and pool.is_file():
        found.append(imagenet_pool(pool))
    else:
        what = f"there is no {pool.name}" if pool else "no CSV of measured subnets was passed"
        missing.append(f"ImageNet pool: {what} (--data FILE).")
    samples = resolve_supernet("fashion-mnist").samples if samples is None else samples
    if samples.is_file():
        found.append(supernet_samples(samples))
    else:
        missing.append(f"Samples of the supernet: there is no {samples.name} (--samples FILE).")
    return found, missing
