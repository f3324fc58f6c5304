from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
from importlib.metadata import version

import numpy as np
import pytest
from typer.testing import CliRunner

from predictors.files import save_tensors
from qfa_search import cli
from qfa_search.cli import app
from qfa_search.commands import tables
from qfa_search.commands.tables import print_table
from search_spaces import Subnet, fitted, to_toml


def run(*arguments):
    return CliRunner().invoke(app, list(map(str, arguments)))


def test_the_version_is_printed():
    result = run("--version")
    assert (result.exit_code, result.stdout) == (0, f"qfa-search {version('qfa-search')}\n")


def test_a_narrow_terminal_loses_no_digit(monkeypatch, capsys):
    row = [f"{i}23,456,789" for i in range(1, 9)]
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr(tables.sys.stdout, "isatty", lambda: True, raising=False)
    print_table(["index", *map(str, range(8))], [["0", *row]])
    lines = re.sub(r"\x1b\[\d*m", "", capsys.readouterr().out).splitlines()
    assert max(map(len, lines)) <= 40
    assert all(any(cell in line for line in lines) for cell in row)


def test_names_are_no_markup(capsys):
    print_table(["space"], [["a[/]b"], ["a[red]b"], ["a:smile:\x1b[31m"]])
    out = capsys.readouterr().out
    assert all(name in out for name in ("a[/]b", "a[red]b", r"a:smile:\x1b[31m"))


@pytest.mark.parametrize("closed", [(1,), (2,), (1, 2), (0, 1, 2)])
def test_closed_streams_stop_no_command(tmp_path, closed):
    code = "; ".join([*(f"os.close({fd})" for fd in closed), "os.execv(sys.argv[1], sys.argv[1:])"])
    command = [sys.executable, "-m", "qfa_search", "show", str(tmp_path / "front.json:knee")]
    out = subprocess.run(
        [sys.executable, "-c", f"import os, sys; {code}", *command], capture_output=True, text=True
    )
    assert out.returncode == 1  # there is no such file
    assert "Traceback" not in out.stderr
    assert ("cannot read" in out.stderr) == (2 not in closed)


def test_a_reader_of_stderr_that_has_gone_stops_no_command():
    code = (
        "import os, sys, logging; from qfa_search.commands.terminal import open_streams, say; "
        "open_streams(); say('nobody'); logging.warning('reads'); print('done')"
    )
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=write, text=True)
    os.close(write)
    assert (done.returncode, done.stdout) == (0, "done\n")


def test_a_member_is_shown_and_written_as_a_subnet(rising_front, tmp_path):
    path, out = tmp_path / "front.json", tmp_path / "subnet.json"
    rising_front.save(path)
    result = run("show", f"{path}:knee", "--out", out)
    assert result.exit_code == 0, result.output
    member = rising_front.knee()
    assert f"{member.costs['macs']:,}" in result.stdout
    assert "stages.0.0.depthwise" in result.stdout
    assert Subnet.from_dict(json.loads(out.read_text())) == member.subnet
    assert "exists already" in run("show", f"{path}:knee", "--out", out).stderr
    (tmp_path / "link.json").symlink_to("nowhere")
    assert "exists already" in run("show", f"{path}:knee", "--out", tmp_path / "link.json").stderr
    below = run("show", f"{path}:knee", "--out", path / "subnet.json").stderr
    assert (
        below
        == f"error: {path}/subnet.json: cannot be made: a file is in the place of its folder\n"
    )
    shown = json.loads(run("show", f"{path}:best", "--json").stdout)
    assert shown["costs"]["top1_predicted"] == rising_front.best().top1
    assert "one is needed" in run("show", path).stderr
    assert run("show", out).exit_code == 2  # a subnet does not bring its space
    csv = run("show", f"{path}:0", "--csv").stdout.splitlines()
    assert csv[0].startswith("layer,kind,in,out")


def _supernet(predictor, folder, samples=None):
    metadata = {"space": predictor.space.to_dict()}
    save_tensors(folder / "supernet.safetensors", "supernet", {"w": np.zeros(3)}, metadata)
    if samples is not None:
        (folder / "samples.sqlite").write_bytes(samples)


def test_damaged_samples_beside_a_supernet_are_told(predictor, tmp_path, caplog):
    from qfa_search.evolution.target import resolve_target

    _supernet(predictor, tmp_path, b"SQLite format 3\x00" + bytes(500))
    target = resolve_target(supernet=tmp_path, predictor=predictor)
    with caplog.at_level(logging.WARNING):
        assert target.known_front(("top1", "mflops")) is None
    assert "does not start from the supernet's samples" in caplog.text


def test_a_predictor_of_another_supernet_is_refused(predictor, tmp_path):
    import qfa_search

    _supernet(predictor, tmp_path)
    predictor.supernet = "0123456789abcdef"
    with pytest.raises(qfa_search.QFAError, match="fitted to samples of supernet 0123456789abcdef"):
        qfa_search.search(supernet=tmp_path, predictor=predictor, population=8, generations=0)


def test_settings_are_given_by_name_or_as_a_value(predictor):
    import qfa_search
    from qfa_search import SearchConfig

    config = SearchConfig(population=8, generations=1)
    by_value = qfa_search.search(config, predictor=predictor)
    by_name = qfa_search.search(predictor=predictor, population=8, generations=1)
    assert np.array_equal(by_value.X, by_name.X)
    with pytest.raises(TypeError, match="unknown setting 'max_watts'"):
        qfa_search.search(predictor=predictor, max_watts=3)
    with pytest.raises(TypeError, match="within config"):
        qfa_search.search(config, predictor=predictor, seed=3)
    for name in ("population", "generations", "seed"):
        with pytest.raises(ValueError, match=f"{name} must be from"):
            qfa_search.search(predictor=predictor, **{name: 10**30})


def test_costs_and_spaces_are_printed_for_programs(rising_front, tmp_path):
    rising_front.save(tmp_path / "front.json")
    rows = json.loads(run("cost", tmp_path / "front.json", "--json").stdout)
    assert [row["macs"] for row in rows] == rising_front.costs["macs"].tolist()
    lines = run("spaces", "--csv").stdout.splitlines()
    head = "name,n_genes,log10_size,resolutions_low,resolutions_high,w_bits,a_bits,"
    assert lines[0].startswith(head)
    assert lines[0].count("published_mflops") == 2
    assert any(line.startswith("fashion-mnist,") for line in lines)


@pytest.mark.parametrize(
    ("error", "is_told"),
    [
        (MemoryError("Unable to allocate 7 GiB"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("CUDA out of memory. Tried to allocate 20 MiB"), True),
        (RuntimeError("shapes do not match"), False),
    ],
)
def test_full_memory_is_one_line_and_no_other_fault_is_hidden(error, is_told, monkeypatch):
    def fail(*args):
        raise error

    monkeypatch.setattr("search_spaces.load", fail)
    result = run("show", "x.json", "--space", "cifar10")
    assert (result.exception is error) != is_told
    told = f"error: there is not enough memory ({error})\n"
    assert result.stderr == (told if is_told else "")


def test_full_memory_is_told_before_a_command_begins(monkeypatch, capsys):
    def fail():
        raise SystemError("error return without exception set")

    monkeypatch.setattr(cli, "open_streams", lambda: None)
    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    assert capsys.readouterr().err.startswith("error: there is not enough memory")


def test_a_cost_that_some_subnets_do_not_have_is_a_dash(tmp_path):
    space = fitted(image_size=16, channels=1, n_classes=2, w_bit_choices=(2, 32))
    (tmp_path / "space.toml").write_text(to_toml(space))
    np.save(tmp_path / "x.npy", [space.layout.lowest(), space.layout.highest()])
    arguments = ["cost", str(tmp_path / "x.npy"), "--space", str(tmp_path / "space.toml")]
    shown = CliRunner().invoke(app, arguments)
    assert (shown.exit_code, " - " in shown.output) == (0, True), shown.output
    rows = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).output)
    assert [row["flash_kb"] is None for row in rows] == [False, True]
