"""Supernet, predictor and samples in the package belong together."""

import pytest

from predictors import AccuracyPredictor
from qfa_search.measuring.samples import read_samples
from qfa_search.supernet.files import BUNDLED_SUPERNETS, resolve_supernet
from qfa_search.supernet.storage import load_supernet

LARGEST = 4_000_000  # bytes of the three files of a supernet


@pytest.fixture(params=BUNDLED_SUPERNETS)
def files(request):
    files = resolve_supernet(request.param)
    if not files.weights.is_file():
        pytest.skip("the bundled supernets are not in this checkout")
    return files


def test_the_predictor_is_fitted_to_the_samples_of_the_supernet(files):
    supernet, predictor = load_supernet(files.name), AccuracyPredictor.load(files.predictor)
    samples = read_samples(files.samples, supernet=files.digest())
    assert supernet.space == predictor.space == samples.space == files.space()
    assert predictor.supernet == files.digest()
    assert predictor.n_samples == len(samples.X)
    assert predictor.report.kendall_tau > 0.85


def test_the_files_are_small(files):
    sizes = [path.stat().st_size for path in (files.weights, files.predictor, files.samples)]
    assert sum(sizes) <= LARGEST
