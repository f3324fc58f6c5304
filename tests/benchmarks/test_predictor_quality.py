import pandas as pd

from benchmarks import predictor_quality

SMALL = ["--sizes", "20", "--draws", "1", "--jobs", "1"]


def test_every_model_is_scored_on_both_sets(tmp_path, pool_file, samples_file):
    files = ["--data", str(pool_file), "--samples", str(samples_file)]
    predictor_quality.main([*SMALL, *files, "--out", str(tmp_path)])
    scores = pd.read_csv(tmp_path / "predictor_quality.csv", comment="#")
    models = [predictor_quality.OURS, *predictor_quality.BASELINES]
    assert scores["model"].tolist() == models * 2
    assert scores["data"].unique().tolist() == ["ImageNet pool", "toy samples"]
    assert (scores["kendall_tau"] > 0.2).all()
    text = (tmp_path / "predictor_quality.md").read_text()
    assert "python -m benchmarks.predictor_quality --sizes 20" in text
    assert "| **ours** |" in text
    assert (tmp_path / "predictor_quality.png").is_file()


def test_missing_files_are_named_and_the_rest_runs(tmp_path, capsys, samples_file):
    models = ["--models", "Ridge", "--samples", str(samples_file), "--out", str(tmp_path)]
    predictor_quality.main([*SMALL, *models, "--data", str(tmp_path / "none.csv")])
    assert "there is no none.csv" in capsys.readouterr().err
    assert "Left out: ImageNet pool" in (tmp_path / "predictor_quality.md").read_text()


def test_nothing_to_do_writes_nothing(tmp_path, capsys):
    predictor_quality.main(["--samples", str(tmp_path / "none"), "--out", str(tmp_path / "out")])
    assert "nothing to try predictors on" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
