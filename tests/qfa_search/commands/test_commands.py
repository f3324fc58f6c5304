import json
import re
import shutil
import time

import numpy as np
import pytest
from typer.testing import CliRunner

from qfa_search.cli import app
from qfa_search.measuring.samples import read_samples
from tests.interrupting import run_until


def _run(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def finished(toy_run, image_folder, tmp_path_factory):
    """A folder with supernet, samples, predictor and front, made by the commands."""
    run = tmp_path_factory.mktemp("finished")
    shutil.copy(toy_run / "supernet.safetensors", run)
    data, samples = ["--data", image_folder], run / "samples.sqlite"
    steps = [
        _run("sample", "--supernet", run, *data, "--n", 30, "--out", samples),
        _run("fit", "--samples", samples, "--out", run / "predictor.safetensors"),
        _run(
            *("--supernet", run, "--max-mflops", 0.1, "--population", 20, "--generations", 3),
            *("--measure", 3, *data, "--out", run / "front"),
        ),
    ]
    for step in steps:
        assert step.exit_code == 0, step.output
    return run


def test_samples_predictor_and_measured_front_come_out_of_the_commands(finished):
    assert len(read_samples(finished / "samples.sqlite", drawn_only=True).X) == 30
    front = json.loads((finished / "front" / "front.json").read_text())
    assert all(member["top1_measured"] is not None for member in front["members"])


def test_sampling_again_measures_only_what_is_missing(finished, image_folder):
    samples = finished / "samples.sqlite"
    arguments = ["--supernet", finished, "--data", image_folder, "--out", samples]
    again = _run("sample", *arguments, "--n", 32)
    assert "2 subnets measured, 30 were there" in again.output


def test_fit_reports_how_the_predictor_does_on_unseen_subnets(finished, tmp_path):
    result = _run("fit", "--samples", finished / "samples.sqlite", "--out", tmp_path / "p")
    assert "Kendall tau" in result.output
    assert 50 <= int(re.search(r"90 % intervals cover (\d+) %", result.output)[1]) <= 100


def test_fit_never_overwrites(finished):
    target = finished / "predictor.safetensors"
    result = _run("fit", "--samples", finished / "samples.sqlite", "--out", target)
    assert (result.exit_code, "exists already" in result.output) == (1, True)


def test_fronts_and_subnets_are_evaluated(finished, image_folder, toy_space, tmp_path):
    data = ["--supernet", finished, "--data", image_folder]
    front = _run("evaluate", *data, finished / "front" / "front.json", "--json")
    assert front.exit_code == 0, front.output
    assert all(0 <= row["top1_val"] <= 100 for row in json.loads(front.stdout))
    subnet = tmp_path / "subnet.json"
    subnet.write_text(json.dumps(toy_space.smallest().to_dict()))
    single = _run("evaluate", *data, "--split", "test", subnet)
    assert single.exit_code == 0, single.output
    assert "24 test images" in single.output
    assert _run("evaluate", *data, subnet).exit_code == 0
    assert "taken for" in single.output
    measured = _run("evaluate", *data, "--split", "test", subnet, "--json")
    (row,) = json.loads(measured.stdout)
    assert len(row["class_top1"]) == 4
    assert np.sum(row["confusion"]) == 24
    assert row["top1_test"] == pytest.approx(100 * np.trace(row["confusion"]) / 24)
    record = tmp_path / "test-evaluations.jsonl"
    assert str(record) in single.output
    entries = [json.loads(line) for line in record.read_text().splitlines()]
    assert len(entries) == 2  # the scores of the second use were stored, it is a use all the same
    assert {entry["n_subnets"] for entry in entries} == {1}
    assert len({entry["file_digest"] for entry in entries}) == 1
    assert len(entries[0]["supernet_digest"]) == len(entries[0]["file_digest"]) == 16


@pytest.mark.parametrize("content", ["", "{}", "[1, 2]", '{"stages": 3}', "\x00\x01"])
def test_a_foreign_front_is_refused_in_one_line(finished, image_folder, tmp_path, content):
    path = tmp_path / "front.json"
    path.write_text(content)
    result = _run("evaluate", "--supernet", finished, "--data", image_folder, path)
    assert result.exit_code == 1
    assert "error: " in result.output
    assert len(result.output.strip().splitlines()) == 1


@pytest.mark.parametrize("command", ["train", "sample", "evaluate"])
def test_a_folder_without_images_is_refused(finished, tmp_path, toy_space_file, command):
    arguments = {
        "train": ["--space", toy_space_file, "--out", tmp_path / "run"],
        "sample": ["--supernet", finished, "--out", tmp_path / "s.sqlite"],
        "evaluate": ["--supernet", finished, finished / "front" / "front.json"],
    }[command]
    result = _run(command, *arguments, "--data", tmp_path)
    assert result.exit_code == 1
    assert "class folders" in result.output


def test_wrong_usage_is_exit_code_two():
    assert _run("sample", "--jobs", "0").exit_code == 2
    assert _run("evaluate", "--split", "train", "x.json", "--data", "y").exit_code == 2


@pytest.mark.slow
def test_ctrl_c_during_sampling_keeps_what_was_measured(finished, image_folder, tmp_path):
    out = tmp_path / "s.sqlite"

    def has_samples():
        time.sleep(0.5)
        try:
            return len(read_samples(out).X) > 0
        except ValueError:
            return False

    arguments = ["sample", "--supernet", str(finished), "--data", str(image_folder)]
    code, errors = run_until([*arguments, "--n", "5000", "--out", str(out)], has_samples)
    assert code == 130
    assert "keeps every subnet" in errors
    assert "Traceback" not in errors
    found = read_samples(out)
    assert len(found.X) == len(np.unique(found.X, axis=0)) > 0
