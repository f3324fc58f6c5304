from __future__ import annotations

import json
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from predictors.files import save_tensors
from qfa_search.cli import app
from qfa_search.front.front import ParetoFront
from qfa_search.measuring.result import Evaluation
from qfa_search.measuring.samples import Sample, read_samples
from qfa_search.measuring.store import SampleStore
from qfa_search.measuring.subnets import Measurement
from qfa_search.supernet.files import resolve_supernet

QUICK = ["--population", "20", "--generations", "3"]


@pytest.fixture
def supernet(tmp_path, monkeypatch, spread_predictor):
    """A folder as training leaves it, with a predictor that needs no fitting."""
    folder = tmp_path / "fm"
    metadata = {"space": spread_predictor.space.to_dict(), "classes": ["a", "b", "c", "d"]}
    save_tensors(folder / "supernet.safetensors", "supernet", {"w": np.zeros(3)}, metadata)
    (folder / "predictor.safetensors").touch()
    monkeypatch.setattr(
        "qfa_search.evolution.target._load_predictor", lambda path: spread_predictor
    )
    monkeypatch.chdir(tmp_path)
    return folder


def run(*args):
    return CliRunner().invoke(app, [str(arg) for arg in args])


def test_a_search_prints_and_writes_the_front(supernet, tmp_path):
    result = run("--supernet", supernet, "--max-mflops", 0.1, "--out", tmp_path / "a", *QUICK)
    assert result.exit_code == 0, result.stderr
    table = pd.read_csv(tmp_path / "a" / "front.csv")
    front = ParetoFront.load(tmp_path / "a" / "front.json")
    assert table["mflops"].max() <= 0.1
    assert len(table) == len(front)
    assert [tuple(map(int, g.split())) for g in table["genome"]] == [m.genome for m in front]
    assert (tmp_path / "a" / "front.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == [
        "front.csv",
        "front.json",
        "front.png",
        "report.html",
    ]
    last = result.stderr.splitlines()[-1]
    assert last == f"look at it: {(tmp_path / 'a' / 'report.html').as_uri()}"
    assert "predicted" in result.stdout
    assert "knee" in result.stdout
    assert "published" not in result.stdout
    assert "hypervolume" in result.stderr
    assert "Traceback" not in result.stderr
    assert front.supernet_digest is not None
    assert front.predictor_scores["kendall_tau"] == 0.9


def test_equal_commands_write_equal_files(supernet, tmp_path):
    for name in ("a", "b"):
        assert run("--supernet", supernet, "--out", tmp_path / name, *QUICK).exit_code == 0
    for name in ("front.json", "front.csv", "front.png"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_without_out_every_search_gets_a_folder_of_its_own(supernet, tmp_path):
    for number in (1, 2):
        result = run("--supernet", supernet, *QUICK)
        assert result.exit_code == 0, result.stderr
        folder = f"runs/search-00{number}"
        assert folder in result.stderr
        assert (tmp_path / folder / "front.json").is_file()


def test_an_earlier_front_is_refused_and_stays(supernet, tmp_path):
    out = tmp_path / "a"
    out.mkdir()
    (out / "front.csv").write_text("precious")
    result = run("--supernet", supernet, "--out", out, *QUICK)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert [p.name for p in out.iterdir()] == ["front.csv"]
    assert (out / "front.csv").read_text() == "precious"


def test_json_is_all_that_stdout_gets(supernet, tmp_path):
    result = run("--supernet", supernet, "--json", "--out", tmp_path / "a", *QUICK)
    assert json.loads(result.stdout) == json.loads((tmp_path / "a" / "front.json").read_text())


def test_quiet_says_nothing_on_stderr(supernet):
    result = run("--supernet", supernet, "-q", *QUICK)
    assert result.exit_code == 0
    assert result.stderr == ""


def test_an_impossible_limit_is_told_in_one_line(supernet, tmp_path):
    result = run("--supernet", supernet, "--max-mflops", "0.000001", "--out", tmp_path / "a")
    assert result.exit_code == 1
    line = result.stderr.strip().splitlines()[-1]
    assert line.startswith("error: no subnet of toy fits max_mflops=1e-06: the cheapest needs")
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "a").exists()
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    "args",
    [
        ("--max-mflops", "nan"),
        ("--max-mflops", "-3"),
        ("--max-mflops", "many"),
        ("--population", "1"),
        ("--generations", "-1"),
        ("--objectives", "top1"),
        ("--objectives", "top1,watts"),
        ("--measure", "0"),
        ("--resume",),
        ("--no-such-option",),
        ("no-such-command",),
        ("--seed", "3", "spaces"),
        ("--data", "photos"),
        ("--jobs", "2", "--device", "cpu"),
    ],
)
def test_wrong_usage_has_exit_code_2(supernet, args):
    result = run(*args)
    assert result.exit_code == 2
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    "args",
    [
        ("--supernet", "nowhere"),
        ("--space", "nowhere"),
        ("--latency-table", "nowhere.csv", "--max-latency-ms", "3"),
        ("--max-latency-ms", "3"),
        ("--space", "mobilenet-v3-w1.2"),
    ],
)
def test_what_the_user_can_mend_has_exit_code_1(supernet, args):
    options = args if "--supernet" in args else ("--supernet", supernet, *args)
    result = run(*options, *QUICK)
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].startswith("error: ")


def test_an_interrupt_has_exit_code_130_and_leaves_nothing(supernet, tmp_path, spread_predictor):
    def interrupted(X):
        raise KeyboardInterrupt

    spread_predictor.predict = interrupted
    result = run("--supernet", supernet, "--out", tmp_path / "a", *QUICK)
    assert result.exit_code == 130
    assert result.stderr.splitlines()[-1] == "interrupted"
    assert not (tmp_path / "a").exists()


def test_an_interrupted_search_that_left_a_state_says_how_to_go_on(
    supernet, tmp_path, spread_predictor, monkeypatch
):
    from qfa_search.evolution import state_file

    monkeypatch.setattr(state_file, "SAVE_SECONDS", 0.0)
    predict, calls = spread_predictor.predict, []

    def interrupted(X):
        calls.append(len(X))
        if len(calls) == 4:
            raise KeyboardInterrupt
        return predict(X)

    spread_predictor.predict = interrupted
    folder = tmp_path / "a"
    result = run("--supernet", supernet, "--out", folder, *QUICK)
    assert result.exit_code == 130
    assert f"--out {folder} --resume goes on" in result.stderr.splitlines()[-1]
    assert run("--supernet", supernet, "--out", folder, "--resume", *QUICK).exit_code == 0
    assert (folder / "front.json").is_file()


def test_measured_members_make_the_front(supernet, tmp_path, monkeypatch):
    def measure(config, X, *, workers):
        assert config.data == "images"
        assert config.split == "val"
        for i in reversed(range(len(X))):
            confusion = np.diag([50, 60, 70, 60 + 4 * i])
            confusion[:, 0] += 100 - confusion.sum(axis=1)
            top1 = confusion.trace() / 4
            yield Measurement(i, Evaluation(top1, 1.0, 400, confusion), 0.1)

    monkeypatch.setattr("qfa_search.measuring.sampling.measure", measure)
    options = ["--measure", 4, "--data", "images", *QUICK]
    result = run("--supernet", supernet, "--out", tmp_path / "a", *options)
    assert result.exit_code == 0, result.stderr
    table = pd.read_csv(tmp_path / "a" / "front.csv")
    assert len(table) == 4
    assert table["top1_measured"].diff()[1:].tolist() == [1, 1, 1]
    assert (table["top1"] == table["top1_measured"]).all()
    assert table["top1_predicted"].notna().all()
    found = json.loads((tmp_path / "a" / "front.json").read_text())
    assert found["class_names"] == ["a", "b", "c", "d"]
    members = found["members"]
    assert [member["class_top1"][3] for member in members] == [60, 64, 68, 72]
    assert "top1 measured on the validation split of all subnets" in result.stdout
    # `sample` and `evaluate` leave scores beside the supernet: these are known, one is better.
    stored = read_samples(tmp_path / "a" / "samples.sqlite")
    files = resolve_supernet(supernet)
    best = files.space().layout.sample(np.random.default_rng(7), 1)[0]
    known = [Sample(genome=genome, top1=60.0) for genome in stored.X]
    SampleStore(files.samples, files.space()).add(
        stored.setting, [*known, Sample(genome=best, top1=99.0)]
    )
    monkeypatch.setattr(
        "qfa_search.measuring.sampling.measure", lambda config, X, *, workers: X[:0]
    )
    assert run("--supernet", supernet, "--out", tmp_path / "b", *options).exit_code == 0
    assert pd.read_csv(tmp_path / "b" / "front.csv")["top1_measured"].max() == 99


def test_a_floor_that_nothing_measured_reaches_ends_the_search(supernet, tmp_path, monkeypatch):
    asked = []

    def measure(config, X, *, workers):
        asked.append(len(X))
        for i in range(len(X)):
            yield Measurement(i, Evaluation(20.0 + i, 1.0, 400), 0.1)

    monkeypatch.setattr("qfa_search.measuring.sampling.measure", measure)
    options = ["--supernet", supernet, "--out", tmp_path / "a", "--measure", 4, "--data", "x"]
    missed = run(*options, *QUICK, "--min-top1", 30)
    assert missed.exit_code == 1
    assert "no measured subnet reaches min_top1=30 (the best reached 23.00)" in missed.stderr
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["samples.sqlite"]
    found = run(*options, *QUICK, "--min-top1", 10)
    assert found.exit_code == 0, found.stderr
    assert pd.read_csv(tmp_path / "a" / "front.csv")["top1_measured"].max() == 23


def test_what_a_search_measures_is_its_own_and_known_to_evaluate(supernet, tmp_path, monkeypatch):
    asked = []

    def measure(config, X, *, workers):
        asked.append(len(X))
        for i in range(len(X)):
            confusion = np.diag([60 + i] * 4)
            confusion[:, 0] += 40 - i
            yield Measurement(i, Evaluation(60.0 + i, 1.0, 400, confusion), 0.1)

    monkeypatch.setattr("qfa_search.measuring.sampling.measure", measure)
    options = ["--supernet", supernet, "--data", "x"]
    for n, name in ((4, "a"), (9, "other"), (4, "b")):
        done = run(*options, *QUICK, "--measure", n, "--out", tmp_path / name)
        assert done.exit_code == 0, done.stderr
    assert asked == [4, 9, 4]
    one, two = (tmp_path / name / "front.csv" for name in "ab")
    assert one.read_bytes() == two.read_bytes()
    done = run("evaluate", *options, one.with_suffix(".json"))
    assert done.exit_code == 0, done.stderr
    assert asked[3:] == [0]
    # A file of that name that is another program's is none of its business.
    one.with_name("samples.sqlite").write_text("mine")
    assert run("evaluate", *options, one.with_suffix(".json")).exit_code == 0


def test_a_store_that_cannot_be_used_is_told_before_the_search(supernet, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "samples.sqlite").write_text("mine")
    options = ["--supernet", supernet, "--measure", 4, "--data", "x", *QUICK]
    result = run(*options, "--out", tmp_path / "a")
    assert result.exit_code == 1
    assert "is not a samples file" in result.stderr
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["samples.sqlite"]


def test_a_killed_measuring_goes_on_with_the_rest(supernet, tmp_path, monkeypatch):
    asked = []

    def measure(config, X, *, workers):
        asked.append(len(X))
        for i in range(len(X)):
            if len(asked) == 1 and i == 3:
                raise KeyboardInterrupt
            yield Measurement(i, Evaluation(60.0 + i, 1.0, 400), 0.1)

    monkeypatch.setattr("qfa_search.measuring.sampling.measure", measure)
    options = ["--supernet", supernet, "--out", tmp_path / "a", "--measure", 5, "--data", "x"]
    assert run(*options, *QUICK).exit_code == 130
    resumed = run(*options, *QUICK, "--resume")
    assert resumed.exit_code == 0, resumed.output
    assert asked == [5, 2]


def test_a_page_that_cannot_be_written_costs_no_result(supernet, tmp_path, monkeypatch):
    def fail(fronts, path):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("qfa_search.report.page.write_page", fail)
    result = run("--supernet", supernet, "--out", tmp_path / "a", *QUICK)
    assert result.exit_code == 0
    assert (tmp_path / "a" / "front.json").is_file()
    last = result.stderr.splitlines()[-1]
    assert last.startswith(f"no {tmp_path / 'a' / 'report.html'}: ")
    assert "No space left" in last


def test_the_table_says_what_is_predicted_and_how_well(supernet, spread_predictor):
    result = run("--supernet", supernet, *QUICK)
    assert "top1 predicted; predictor on unseen subnets: Kendall tau 0.90" in result.stdout
    assert "warning" not in result.stderr
    spread_predictor.report = {"kendall_tau": 0.856, "n_test": 812, "rmse": 0.4}
    result = run("--supernet", supernet, *QUICK)
    assert "on 812 unseen subnets: Kendall tau 0.86, RMSE 0.40 points" in result.stdout


def test_extrapolations_are_warned_of_in_one_line(supernet, spread_predictor, tmp_path):
    spread_predictor.extrapolates = lambda X: X[:, 0] == 1
    result = run("--supernet", supernet, "--out", tmp_path / "a", *QUICK)
    warnings = [line for line in result.stderr.splitlines() if line.startswith("warning: ")]
    marked = pd.read_csv(tmp_path / "a" / "front.csv")["extrapolates"].sum()
    assert [f"{marked} of " in line for line in warnings] == [True]
    assert "polated" in result.stdout


def test_spaces_are_listed(toy_space):
    result = run("spaces")
    assert result.exit_code == 0
    assert "mobilenet-v3-w1.2" in result.stdout
    rows = json.loads(run("spaces", "--json").stdout)
    assert {row["name"]: row["n_genes"] for row in rows}["mobilenet-v3-w1.2"] == 176


def test_cost_reads_subnets_fronts_and_gene_arrays(supernet, tmp_path, toy_space):
    import search_spaces
    from predictors import costs

    space = search_spaces.load("fashion-mnist")
    X = space.layout.sample(np.random.default_rng(0), 3)
    expected = costs(space, X)
    np.save(tmp_path / "published.npy", space.layout.to_published(X))
    np.save(tmp_path / "indices.npy", X)
    for name in ("published.npy", "indices.npy"):
        result = run("cost", "--space", "fashion-mnist", tmp_path / name, "--csv")
        assert result.exit_code == 0, result.stderr
        (tmp_path / "out.csv").write_text(result.stdout)
        pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "out.csv"), expected)
    subnet = tmp_path / "subnet.json"
    subnet.write_text(json.dumps(space.layout.decode(X[0]).to_dict()))
    result = run("cost", "--space", "fashion-mnist", subnet)
    assert result.exit_code == 0
    assert f"{int(expected['macs'][0]):,}" in result.stdout
    assert run("--supernet", supernet, "--out", tmp_path / "a", *QUICK).exit_code == 0
    result = run("cost", tmp_path / "a" / "front.json", "--csv")
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 1 + len(pd.read_csv(tmp_path / "a" / "front.csv"))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"\x93NUMPY", b"\xff\xfe"])
@pytest.mark.parametrize("name", ["x.json", "x.npy"])
def test_cost_of_a_broken_file_is_told_in_one_line(tmp_path, content, name):
    (tmp_path / name).write_bytes(content)
    result = run("cost", "--space", "fashion-mnist", tmp_path / name)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert name in result.stderr
    assert result.stderr.count("\n") == 1


def test_cost_of_genes_of_another_space_names_the_gene(tmp_path):
    np.save(tmp_path / "genes.npy", np.full((2, 176), 7))
    result = run("cost", "--space", "mobilenet-v3-w1.2", tmp_path / "genes.npy")
    assert result.exit_code == 1
    assert "expand_ratio_0" in result.stderr
    assert run("cost", tmp_path / "genes.npy").exit_code == 2


def test_help_answers_without_heavy_imports():
    code = (
        "import sys; from typer.testing import CliRunner; from qfa_search.cli import app; "
        "result = CliRunner().invoke(app, ['--help']); assert result.exit_code == 0; "
        "heavy = {'torch', 'pandas', 'scipy', 'sklearn', 'pymoo', 'matplotlib', 'numpy'}; "
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_package_runs_as_a_module():
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "qfa_search", "--help"], capture_output=True, text=True, check=True
    )
    assert "--max-mflops" in done.stdout
    assert time.perf_counter() - started < 10
