import shutil

import pytest
from typer.testing import CliRunner

from predictors import LatencyTable
from predictors.latency import needed_signatures
from qfa_search.cli import app
from qfa_search.deployment.emulator import cortex_m


def _run(*words):
    return CliRunner().invoke(app, ["latency", *map(str, words)])


def test_a_template_has_a_line_for_every_layer(tmp_path, toy_space, toy_run):
    out = tmp_path / "t.csv"
    result = _run("--template", "--supernet", toy_run, "--out", out)
    assert result.exit_code == 0, result.output
    lines = out.read_text().splitlines()
    assert lines[0] == "signature,ms"
    assert [line.rstrip(",") for line in lines[1:]] == needed_signatures(toy_space)


@pytest.mark.skipif(
    any(shutil.which(t) is None for t in (cortex_m.COMPILER, cortex_m.EMULATOR)),
    reason=f"no Cortex-M toolchain: apt install {cortex_m.PACKAGES}",
)
@pytest.mark.slow
def test_measured_networks_fill_the_table_of_a_space(tmp_path, toy_space, toy_run):
    out = tmp_path / "t.csv"
    result = _run("--target", "cortex-m", "--supernet", toy_run, "--networks", 6, "--out", out)
    assert result.exit_code == 0, result.output
    assert "of 6 measured networks" in result.output
    assert (
        f"qfa-search --supernet {toy_run} --max-minstructions M --latency-table {out}"
        in result.output
    )
    table = LatencyTable.load(out)
    assert (table.unit, sorted(table.values)) == ("minstructions", needed_signatures(toy_space))


@pytest.mark.slow
def test_onnxruntime_is_a_target_too(tmp_path, toy_space, toy_run):
    pytest.importorskip("onnxruntime", reason="the export extra is not installed")
    out = tmp_path / "t.csv"
    result = _run("--target", "onnxruntime", "--supernet", toy_run, "--networks", 6, "--out", out)
    assert result.exit_code == 0, result.output
    assert sorted(LatencyTable.load(out).values) == needed_signatures(toy_space)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ((), 2, "give --target or --template"),
        (("--target", "cortex-m", "--template"), 2, "give --target or --template"),
        (("--target", "cortex-m", "--networks", 4), 2, "at least 5"),
        (("--target", "cortex-m", "--mhz", 0), 2, "above 0"),
        (("--target", "onnxruntime", "--mhz", 100), 2, "--target cortex-m"),
        (("--template", "--seed", 3), 2, "--template measures nothing"),
    ],
)
def test_wrong_usage_is_told(tmp_path, words, code, message):
    result = _run(*words, "--out", tmp_path / "t.csv")
    assert result.exit_code == code
    assert message in result.output


def test_a_missing_toolchain_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    result = _run("--target", "cortex-m", "--out", tmp_path / "t.csv")
    assert result.exit_code == 1
    assert "is not installed: on Debian, apt install gcc-arm-none-eabi" in result.output


def test_a_table_that_is_there_is_kept(tmp_path):
    out = tmp_path / "t.csv"
    out.write_text("mine")
    assert _run("--template", "--out", out).exit_code == 1
    assert out.read_text() == "mine"
