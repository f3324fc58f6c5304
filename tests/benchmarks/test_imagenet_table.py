import json

import numpy as np
import pandas as pd
import pytest

from benchmarks import imagenet_table
from qfa_search.published.files import read_architectures
from tests.qfa_search.published.published_release import SPACE, sample_rows
from tests.reference import GOLDEN, check_files

PUBLISHED_ROWS = "QFA, published"
COSTS = ("published_mflops", "mflops", "mflops_as_released")
RESULTS = imagenet_table.OQA_TABLE.parent.parent / "results"


@pytest.fixture
def stored():
    """Costs of the published architectures in the committed table."""
    table = pd.read_csv(RESULTS / "imagenet_table.csv", comment="#")
    return table.loc[table["source"] == PUBLISHED_ROWS, list(COSTS)]


def test_macs_and_parameters_of_every_oqa_row_equal_the_published_ones():
    rows = imagenet_table.oqa_rows()  # raises for a row that differs
    assert len(rows) == 19
    assert (rows["mflops"] > rows["macs_m"] * rows["bits"].astype(int) ** 2 / 64).all()


def test_the_table_says_what_is_missing_and_invents_no_accuracy(tmp_path, capsys):
    X = SPACE.layout.sample(np.random.default_rng(0), 5)
    np.save(tmp_path / "archs.npy", SPACE.layout.to_published(X))
    imagenet_table.main(["--published", str(tmp_path / "archs.npy"), "--out", str(tmp_path)])
    table = pd.read_csv(tmp_path / "imagenet_table.csv", comment="#")
    assert table.groupby("source").size().to_dict() == {"OQA": 19, "QFA, published": 5}
    assert table["top1"].notna().sum() == 19
    text = (tmp_path / "imagenet_table.md").read_text()
    assert "qsamples_8k.json" in text
    assert "b234_ps.pth" in text
    assert text.strip() in capsys.readouterr().out
    assert (tmp_path / "imagenet_table.png").stat().st_size > 10_000


def test_fronts_are_searched_where_there_are_samples(tmp_path):
    (tmp_path / "s.json").write_text(json.dumps(sample_rows(40)))
    imagenet_table.main(
        ["--samples", str(tmp_path / "s.json"), "--generations", "1", "--out", str(tmp_path)]
    )
    table = pd.read_csv(tmp_path / "imagenet_table.csv", comment="#")
    for column in ("mflops", "published_mflops"):
        ours = table[table["source"] == f"ours, {column} <= 20"]
        assert ours[column].max() <= 20
        assert (ours["top1_kind"] == "predicted").all()


def costs_of_architectures(X):
    """The columns of costs that the table has for architectures of the published space."""
    inputs = imagenet_table.Inputs(
        X=X, predictor=None, supernet=None, imagenet=None, split="val", missing=()
    )
    return imagenet_table.space_rows(SPACE, PUBLISHED_ROWS, X, inputs)[list(COSTS)]


@pytest.mark.parametrize("path", check_files("data/published_pareto_archs.npy"))
def test_architectures_cost_what_the_stored_table_says(path, stored):
    found = costs_of_architectures(read_architectures(path, SPACE))
    if path.parent == GOLDEN:
        stored = pd.read_csv(GOLDEN / "architecture_costs.csv")
    np.testing.assert_allclose(stored, found, atol=1e-4)
    assert (found["mflops_as_released"] >= found["mflops"]).all()


def test_fewer_published_architectures_fit_the_limit_than_their_own_table_says(stored):
    assert (stored["published_mflops"] < 20).sum() == 88
    assert (stored["mflops"] < 20).sum() == 77
