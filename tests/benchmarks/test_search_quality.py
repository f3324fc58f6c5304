import numpy as np
import pandas as pd
import pytest

from benchmarks import search_quality
from benchmarks.parts import pool_replay
from benchmarks.parts.fixed_mlp import FixedMlp
from benchmarks.parts.measured_subnets import imagenet_pool
from benchmarks.parts.rivals import SEARCHES, Problem, Recorder, affordable
from predictors import cost_arrays


@pytest.fixture(scope="module")
def problem(toy_space):
    limit = float(cost_arrays(toy_space, toy_space.layout.highest()[None], ["mflops"])["mflops"][0])
    return Problem(
        name="toy", oracle=FixedMlp(toy_space), limit=limit / 3, ref_point=(limit / 3, -5.0)
    )


@pytest.mark.parametrize("method", SEARCHES)
def test_searches_start_alike_and_never_lose_volume(problem, method):
    trace = search_quality.run(problem, method, seed=0, population=20, generations=3)
    counts, volumes = zip(*trace, strict=True)
    other = search_quality.run(problem, "random search", seed=0, population=20, generations=0)
    assert trace[1] == other[1]
    assert list(volumes) == sorted(volumes)
    assert 40 < counts[-1] <= 80


def test_recorder_counts_only_what_is_inside_the_limit(problem):
    recorder = Recorder(problem)
    recorder.predict(problem.space.layout.highest()[None])
    assert recorder.trace == [(0, 0.0), (1, 0.0)]


def test_affordable_genomes_are_inside_the_limit_and_different(problem):
    X = affordable(problem, np.random.default_rng(0), 50)
    assert (cost_arrays(problem.space, X, ["mflops"])["mflops"] <= problem.limit).all()
    assert len(np.unique(X, axis=0)) == 50


def test_replay_measures_a_batch_at_a_time_and_ends_with_the_budget(pool_file):
    data = imagenet_pool(pool_file)
    found = pool_replay.replay(data, seed=0, budget=40, batch=20)
    assert list(found) == [20, 40]
    assert found[20] == pool_replay.random_choice(data, seed=0, budget=40, batch=20)[20]
    assert 0 < found[20] <= found[40]


def test_report_has_every_problem_and_says_what_is_missing(tmp_path):
    small = ["--seeds", "1", "--population", "20", "--generations", "2", "--jobs", "1"]
    files = ["--samples", str(tmp_path / "none.sqlite"), "--out", str(tmp_path)]
    search_quality.main([*small, *files])
    text = (tmp_path / "search_quality.md").read_text()
    assert "## fixed MLP" in text
    assert "- Against pymoo integer SBX/PM: at least its median after " in text
    assert "Left out: ImageNet pool" in text
    assert "there is no none.sqlite" in text
    found = pd.read_csv(tmp_path / "search_quality.csv", comment="#")
    assert set(found["method"]) == set(SEARCHES)
    assert (tmp_path / "search_quality.png").is_file()
