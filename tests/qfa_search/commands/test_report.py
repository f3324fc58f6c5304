import shutil

import numpy as np
import pytest
from typer.testing import CliRunner

from predictors import cost_arrays
from qfa_search.cli import app
from qfa_search.front.front import ParetoFront


@pytest.fixture
def folder(toy_space, tmp_path, monkeypatch):
    """A folder with the front of a search."""
    X = toy_space.layout.sample(np.random.default_rng(0), 5)
    unknown = np.full(5, np.nan)
    front = ParetoFront(
        space=toy_space,
        X=X,
        costs=cost_arrays(toy_space, X),
        top1_predicted=np.linspace(60, 70, 5),
        top1_spread=unknown,
        top1_measured=unknown,
    )
    front.save(tmp_path / "a" / "front.json")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "a"


def run(*args):
    return CliRunner().invoke(app, ["report", *map(str, args)])


@pytest.mark.parametrize("name", ["", "front.json"])
def test_the_page_goes_beside_its_front(folder, name):
    result = run(folder / name)
    assert result.exit_code == 0, result.output
    assert result.output == f"written: {folder}/report.html\n"
    assert (folder / "report.html").read_text().startswith("<!doctype html>")


def test_several_fronts_share_a_page_here(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "b")
    assert run("a", "b").output == "written: report.html\n"
    assert '"name":"b"' in (tmp_path / "report.html").read_text()
    assert run("a", "b", "--out", "sub/both.html").exit_code == 0
    assert '"file":"../a/front.json"' in (tmp_path / "sub" / "both.html").read_text()


def test_a_file_that_is_no_page_stays(folder):
    (folder / "report.html").write_text("mine")
    result = run(folder)
    assert result.exit_code == 1
    assert "no page of qfa-search" in result.output
    assert (folder / "report.html").read_text() == "mine"


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"format": "qfa-search front"}'])
def test_what_is_no_front_is_told_in_one_line(tmp_path, content):
    (tmp_path / "front.json").write_text(content)
    result = run(tmp_path / "front.json")
    assert result.exit_code == 1
    assert result.output.startswith("error: ")
    assert len(result.output.strip().splitlines()) == 1


def test_a_page_needs_a_front():
    assert run().exit_code == 2
