"""The toy supernet as claims need it."""

import shutil

import numpy as np
import pytest

from benchmarks.claims.bench import Bench
from benchmarks.parts.measured_subnets import supernet_samples
from qfa_search.supernet.files import resolve_supernet


@pytest.fixture(scope="module")
def supernet_folder(tmp_path_factory, toy_run, samples_file):
    """The toy supernet with samples and a predictor beside it."""
    folder = tmp_path_factory.mktemp("supernet")
    for path in toy_run.iterdir():
        if path.is_file():
            shutil.copy(path, folder)
    shutil.copy(samples_file, folder / "samples.sqlite")
    data = supernet_samples(samples_file)
    data.fit(np.arange(20), 0).save(folder / "predictor.safetensors")
    return folder


@pytest.fixture
def bench(tmp_path, supernet_folder, image_folder):
    return Bench(resolve_supernet(supernet_folder), str(image_folder), tmp_path / "runs")
