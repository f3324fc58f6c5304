import pandas as pd

from benchmarks import refine_quality

SMALL = ["--seeds", "1", "--start", "20", "--batch", "3", "--rounds", "2"]
QUICK = ["--population", "16", "--generations", "2", "--jobs", "1"]


def test_all_ways_measure_equally_many_from_the_same_start(tmp_path, samples_file):
    files = ["--samples", str(samples_file), "--out", str(tmp_path)]
    refine_quality.main([*SMALL, *QUICK, *files])
    found = pd.read_csv(tmp_path / "refine_quality.csv", comment="#")
    volumes = found.pivot(index="measured", columns="method", values="hypervolume")
    assert volumes.index.tolist() == [0, 3, 6]
    assert set(volumes) == set(refine_quality.METHODS)
    # They part only once the predictor has been fitted again.
    chosen_alike = volumes.loc[[0, 3], [refine_quality.ONE, refine_quality.ROUNDS]]
    assert (chosen_alike.nunique(axis=1) == 1).all()
    assert (tmp_path / "refine_quality.png").is_file()
    assert "toy samples" in (tmp_path / "refine_quality.md").read_text()
