import json
import shutil

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import predictors
import qfa_search
from qfa_search.cli import app
from qfa_search.measuring.samples import read_samples
from qfa_search.measuring.scoring import RecalibrationSetting
from qfa_search.measuring.subnets import measure_all, measure_config
from qfa_search.published.importing import TEMPORARY
from qfa_search.supernet.files import resolve_supernet
from tests.qfa_search.published.published_release import (
    SPACE,
    sample_rows,
    write_images,
    write_release,
)


def _run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    return write_release(tmp_path_factory.mktemp("release") / "clone", n_samples=60)


@pytest.fixture(scope="module")
def imported(release):
    out = release.parent / "imported"
    result = _run("import-published", release, "--out", out)
    assert result.exit_code == 0, result.output
    assert "3867 keys, 1976 used" in result.output
    assert "Kendall tau" in result.output
    return out


@pytest.mark.slow
def test_an_imported_release_is_searched_and_evaluated(imported, tmp_path):
    for option in ("--max-published-mflops", "--max-mflops"):
        out = tmp_path / option.strip("-")
        result = _run(
            *("--supernet", imported, option, 20, "--population", 40, "--generations", 5),
            *("--out", out, "-q"),
        )
        assert result.exit_code == 0, result.output
        front = pd.read_csv(out / "front.csv")
        assert front[option.removeprefix("--max-").replace("-", "_")].max() <= 20
    images = write_images(tmp_path, per_class=2)
    subnet = tmp_path / "subnet.json"
    subnet.write_text(json.dumps(SPACE.smallest().to_dict()))
    result = _run(
        *("evaluate", "--supernet", imported, "--data", images, "--split", "test", subnet)
    )
    assert result.exit_code == 0, result.output
    assert "12 test images each" in result.output
    assert "images/s" in result.output


@pytest.mark.slow
def test_the_released_setting_is_used_to_measure_an_imported_supernet(imported, tmp_path):
    from dataclasses import replace

    weights = resolve_supernet(imported).weights
    config = measure_config(weights, str(write_images(tmp_path, per_class=2)), "test")
    assert str(config.recalibration) == "30x64"
    X = SPACE.layout.lowest()[None]
    found = measure_all(
        replace(config, recalibration=RecalibrationSetting(n_batches=1, batch_size=4)), X
    )
    assert found[0].n_images == 12


@pytest.mark.slow
def test_published_samples_have_no_cross_entropy(imported):
    samples = read_samples(
        imported / "samples.sqlite", supernet=resolve_supernet(imported).digest()
    )
    assert len(samples.X) == 60
    assert samples.cross_entropy() is None


def test_samples_alone_give_a_predictor_to_search_with(tmp_path, monkeypatch):
    monkeypatch.setattr("predictors.mlp.N_STEPS", 20)
    monkeypatch.setattr("predictors.gaussian_process.MAX_ITERATIONS", 5)
    clone, out = tmp_path / "clone", tmp_path / "out"
    clone.mkdir()
    (clone / "qsamples_8k.json").write_text(json.dumps(sample_rows(40)))
    result = _run("import-published", clone, "--out", out, "--drop-outliers")
    assert result.exit_code == 0, result.output
    assert "b234_ps.pth: not in" in result.output
    assert "outlier rule" in result.output
    assert sorted(path.name for path in out.iterdir()) == [
        "predictor.safetensors",
        "samples.sqlite",
    ]
    front = qfa_search.search(
        predictor=out / "predictor.safetensors", max_mflops=20, population=20, generations=2
    )
    assert max(front.costs["mflops"]) <= 20
    with pytest.raises(ValueError, match=r"--predictor .*predictor\.safetensors"):
        qfa_search.search(supernet=out)


def test_architectures_alone_are_a_front_with_costs_and_no_accuracy(tmp_path):
    clone, out = tmp_path / "clone", tmp_path / "out"
    clone.mkdir()
    X = SPACE.layout.sample(np.random.default_rng(0), 6)
    np.save(clone / "pareto_archs.npy", SPACE.layout.to_published(X))
    assert _run("import-published", clone, "--out", out).exit_code == 0
    front = qfa_search.ParetoFront.load(out / "architectures.json")
    assert np.isnan(front.top1).all()
    want = np.sort(predictors.costs(SPACE, X)["published_mflops"])
    np.testing.assert_allclose(front.costs["published_mflops"], want)


@pytest.mark.parametrize("name", ["b234_ps.pth", "qsamples_8k.json", "pareto_archs.npy"])
def test_a_broken_file_leaves_nothing_behind(tmp_path, name):
    clone, out = tmp_path / "clone", tmp_path / "out"
    clone.mkdir()
    (clone / name).write_bytes(b"broken")
    result = _run("import-published", clone, "--out", out)
    assert result.exit_code == 1
    assert name in result.output
    assert not list(out.iterdir())


def test_a_folder_with_none_of_the_files_is_refused(tmp_path):
    result = _run("import-published", tmp_path, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "none of b234_ps.pth" in result.output


def test_an_earlier_import_stays_as_it_is(tmp_path):
    clone, out = tmp_path / "clone", tmp_path / "out"
    clone.mkdir()
    np.save(clone / "pareto_archs.npy", SPACE.layout.to_published(SPACE.layout.lowest()[None]))
    assert _run("import-published", clone, "--out", out).exit_code == 0
    result = _run("import-published", clone, "--out", out)
    assert result.exit_code == 1
    assert "already" in result.output
    shutil.rmtree(out)
    assert _run("import-published", clone, "--out", out).exit_code == 0


def test_an_outlier_rule_without_samples_is_refused(tmp_path):
    clone = write_release(tmp_path / "clone", n_samples=60)
    (clone / "qsamples_8k.json").unlink()
    result = _run("import-published", clone, "--drop-outliers", "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "--drop-outliers is for qsamples_8k.json" in result.output


def test_what_a_killed_import_left_goes(tmp_path, release):
    left = tmp_path / "out" / f"{TEMPORARY}x"
    left.mkdir(parents=True)
    only = tmp_path / "clone"
    only.mkdir()
    shutil.copy(release / "pareto_archs.npy", only)
    assert _run("import-published", only, "--out", tmp_path / "out").exit_code == 0
    assert not left.exists()
