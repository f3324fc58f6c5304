"""Measured subnets of the toy space and of the ImageNet pool's, made up."""

from __future__ import annotations

import numpy as np
import pytest

import search_spaces
from benchmarks.parts import baselines
from predictors import cost_arrays, gaussian_process, mlp
from qfa_search.measuring.samples import Sample, Setting
from qfa_search.measuring.store import SampleStore


def _accuracy(space, X, rng):
    macs = cost_arrays(space, X, ["macs"])["macs"]
    return 70 + 8 * macs / macs.max() + rng.normal(0, 0.1, len(X))


@pytest.fixture(scope="module", autouse=True)
def quick_fits():
    """Predictors of few steps: these tests ask what a benchmark does, not how well."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mlp, "N_STEPS", 20)
        patch.setattr(gaussian_process, "MAX_ITERATIONS", 5)
        patch.setattr(baselines, "MLP_STEPS", 20)
        yield


@pytest.fixture(scope="session")
def samples_file(tmp_path_factory, toy_space):
    """Samples of the toy space, 80 subnets."""
    rng = np.random.default_rng(0)
    X = np.unique(toy_space.layout.sample(rng, 100), axis=0)[:80]
    path = tmp_path_factory.mktemp("samples") / "samples.sqlite"
    setting = Setting(supernet="0" * 16, split="val", recalibration="1x1")
    top1 = _accuracy(toy_space, X, rng)
    samples = [
        Sample(genome=x, top1=float(y), cross_entropy=float(3 - y / 50))
        for x, y in zip(X, top1, strict=True)
    ]
    SampleStore(path, toy_space).add(setting, samples)
    return path


@pytest.fixture(scope="session")
def pool_file(tmp_path_factory):
    """A CSV like that of the ImageNet pool, 90 subnets."""
    import pandas as pd

    rng = np.random.default_rng(1)
    space = search_spaces.load("ofa-mobilenet-v3-w1.0")
    X = space.layout.sample(rng, 90)
    names = [f"kernel_size_{i}" for i in range(20)] + [f"expand_ratio_{i}" for i in range(20)]
    table = pd.DataFrame(
        space.layout.to_published(X)[:, :45], columns=[*names, *(f"depth_{i}" for i in range(5))]
    )
    table["top1"] = _accuracy(space, X, rng)
    path = tmp_path_factory.mktemp("pool") / "pool.csv"
    table.to_csv(path, index=False)
    return path
