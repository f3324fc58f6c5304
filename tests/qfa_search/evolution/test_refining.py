"""Search, measure, refit, again, on a toy supernet."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import qfa_search
from predictors import AccuracyPredictor, cost_arrays
from qfa_search import Limits, SearchConfig
from qfa_search.cli import app
from qfa_search.errors import CheckpointMismatchError, QFAError
from qfa_search.evolution import refining
from qfa_search.evolution.seen import genome_keys
from qfa_search.measuring.samples import read_samples

CONFIG = SearchConfig(limits=Limits(max_mflops=0.1), population=16, generations=4)


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def supernet(toy_run, image_folder, tmp_path_factory):
    """A folder with supernet, samples and predictor."""
    folder = tmp_path_factory.mktemp("refined")
    shutil.copy(toy_run / "supernet.safetensors", folder)
    samples = folder / "samples.sqlite"
    options = ["--supernet", folder, "--data", image_folder, "--out", samples, "--n", 24]
    assert run("sample", *options).exit_code == 0
    fitted = run("fit", "--samples", samples, "--out", folder / "predictor.safetensors")
    assert fitted.exit_code == 0
    return folder


@pytest.fixture(scope="module")
def refined(supernet, image_folder, tmp_path_factory):
    """Front, rounds and folder of two refinements."""
    folder, rounds = tmp_path_factory.mktemp("unbroken"), []
    front = qfa_search.refine(
        CONFIG,
        data=str(image_folder),
        rounds=2,
        folder=folder,
        supernet=supernet,
        batch=3,
        on_round=rounds.append,
    )
    return front, rounds, folder


def test_every_member_was_measured_and_is_inside_the_limits(refined):
    front, _, folder = refined
    samples = read_samples(folder / "samples.sqlite")
    measured = dict(zip(genome_keys(samples.X), samples.frame["top1"], strict=True))
    assert len(front) >= 1
    assert front.top1.tolist() == [measured[key] for key in genome_keys(front.X)]
    assert np.isfinite(front.top1_predicted).all()
    assert cost_arrays(front.space, front.X, ["mflops"])["mflops"].max() <= 0.1
    assert front.predictor_scores["n_test"] > 24


def test_measured_subnets_enter_the_samples_and_the_predictor(refined, supernet):
    _, rounds, folder = refined
    n = [done.n_measured for done in rounds]
    before, after = (read_samples(f / "samples.sqlite") for f in (supernet, folder))
    assert [done.number for done in rounds] == [0, 1, 2]
    assert len(after.X) == len(before.X) + sum(n) > len(before.X)
    assert set(genome_keys(before.X)) < set(genome_keys(after.X))
    assert after.frame["cross_entropy"].notna().all()
    predictor = AccuracyPredictor.load(folder / "predictor.safetensors")
    assert predictor.n_samples == len(before.X) + sum(n[:2])


def test_the_measured_hypervolume_never_falls(refined):
    volumes = [done.hypervolume for done in refined[1]]
    assert volumes == sorted(volumes)
    assert volumes[-1] == pytest.approx(refined[0].hypervolume(), rel=1e-12)


@pytest.mark.parametrize("measured_before", [2, 4])
def test_a_killed_refinement_resumes_to_the_same_front(
    refined, supernet, image_folder, tmp_path, monkeypatch, measured_before
):
    count = 0
    measure = refining.measure_missing

    def killed(*arguments, **options):
        def counted(found):
            nonlocal count
            count += 1
            if count == measured_before:
                raise KeyboardInterrupt

        return measure(*arguments, on_sample=counted, **options)

    options = {"data": str(image_folder), "rounds": 2, "folder": tmp_path, "supernet": supernet}
    monkeypatch.setattr(refining, "measure_missing", killed)
    with pytest.raises(KeyboardInterrupt):
        qfa_search.refine(CONFIG, **options, batch=3)
    monkeypatch.undo()
    resumed = qfa_search.refine(CONFIG, **options, batch=3, resume=True)
    assert resumed.to_dict() == refined[0].to_dict()


def test_a_supernet_without_samples_is_told_how_to_get_them(toy_run, image_folder, tmp_path):
    shutil.copy(toy_run / "supernet.safetensors", tmp_path)
    with pytest.raises(QFAError, match="qfa-search sample"):
        qfa_search.refine(
            CONFIG, data=str(image_folder), rounds=1, folder=tmp_path / "a", supernet=tmp_path
        )


@pytest.mark.parametrize("change", [{"rounds": 0}, {"batch": 0}])
def test_numbers_below_one_are_refused(supernet, tmp_path, change):
    with pytest.raises(ValueError, match="at least 1"):
        qfa_search.refine(
            CONFIG, data="x", folder=tmp_path, supernet=supernet, **({"rounds": 1} | change)
        )


def test_the_command_prints_a_line_per_round_and_writes_a_front(supernet, image_folder, tmp_path):
    options = ["--supernet", supernet, "--max-mflops", 0.1, "--population", 16]
    options += ["--generations", 3, "--refine", 1, "--measure", 2, "--out", tmp_path / "a"]
    result = run(*options, "--data", image_folder)
    assert result.exit_code == 0, result.stderr
    assert "round 0 of 1: " in result.stderr
    assert "round 1 of 1: " in result.stderr
    assert "measured hypervolume" in result.stderr
    assert "top1 measured on the validation split of all subnets" in result.stdout
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == [
        "front.csv",
        "front.json",
        "front.png",
        "predictor.safetensors",
        "report.html",
        "samples.sqlite",
    ]
    table = pd.read_csv(tmp_path / "a" / "front.csv")
    assert table["top1_measured"].notna().all()
    assert run(*options).exit_code == 1


def test_a_round_measures_what_promises_most_and_nothing_twice(refined, supernet):
    front = qfa_search.search(
        supernet=supernet,
        max_mflops=0.1,
        population=40,
        generations=10,
        objectives=("top1", "mflops"),
    )
    assert len(front) > 6
    corner = front.default_ref_point()
    known = set(genome_keys(front.X[:2]))
    nothing = np.empty((0, 2))
    chosen = refining.worth_measuring(front, known, nothing, corner, 3)
    assert len(chosen) == 3
    assert not known & set(genome_keys(chosen.X))
    others = front.subset(np.arange(2, 5))
    assert chosen.hypervolume(corner) >= others.hypervolume(corner)
    # Nothing beats what is measured already: the batch is filled all the same.
    best = np.array([[-100.0, 0.0]])
    assert len(refining.worth_measuring(front, known, best, corner, 3)) == 3


def test_the_supernets_own_samples_and_predictors_stay(supernet, image_folder, tmp_path):
    options = {"data": str(image_folder), "rounds": 1, "supernet": supernet}
    before = {path.name: path.read_bytes() for path in supernet.iterdir()}
    with pytest.raises(QFAError, match="is the supernet's own"):
        qfa_search.refine(CONFIG, **options, folder=supernet)
    assert {path.name: path.read_bytes() for path in supernet.iterdir()} == before
    (tmp_path / "predictor.safetensors").write_bytes(b"of somebody")
    for is_resumed in (False, True):
        with pytest.raises(FileExistsError, match="exists already"):
            qfa_search.refine(CONFIG, **options, folder=tmp_path, resume=is_resumed)
    assert not (tmp_path / "samples.sqlite").exists()


def test_min_top1_is_asked_of_the_last_front_alone(supernet, image_folder, tmp_path, monkeypatch):
    rounds = []
    config = replace(CONFIG, limits=Limits(max_mflops=0.1, min_top1=1.0))
    found = refining.measured_members

    def far_below(front, X, top1, table):
        return found(front, X, np.zeros(len(X)), table)

    floors = []
    search = refining.search

    def searched(config, **options):
        floors.append(config.limits.min_top1)
        return search(config, **options)

    monkeypatch.setattr(refining, "measured_members", far_below)
    monkeypatch.setattr(refining, "search", searched)
    with pytest.raises(QFAError, match="min_top1"):
        qfa_search.refine(
            config,
            data=str(image_folder),
            rounds=1,
            folder=tmp_path,
            supernet=supernet,
            batch=2,
            on_round=rounds.append,
        )
    assert [done.number for done in rounds] == [0, 1]
    assert floors == [1.0, None]
    # Nothing is left to resume, what was measured stays.
    assert [path.name for path in tmp_path.glob("*") if path.is_file()] == ["samples.sqlite"]


def test_a_front_is_measured_on_the_supernet_that_it_is_of(supernet, image_folder, tmp_path):
    front = qfa_search.search(CONFIG, supernet=supernet)
    other = replace(front, supernet_digest="0123456789abcdef")
    with pytest.raises(CheckpointMismatchError, match="give the supernet that was searched"):
        qfa_search.measured_front(other, 2, data=str(image_folder), folder=tmp_path)
    measured = qfa_search.measured_front(front, 2, data=str(image_folder), folder=tmp_path)
    assert measured.supernet_digest == front.supernet_digest
