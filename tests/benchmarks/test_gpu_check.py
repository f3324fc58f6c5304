import pytest
import torch

from benchmarks import gpu_check


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_one_line_says_so(capsys):
    gpu_check.main([])
    assert capsys.readouterr().out == (
        "no GPU that torch can use is here: nothing to check (--device cpu tries the script)\n"
    )


@pytest.mark.slow
def test_every_check_passes_on_the_processor(capsys, toy_space_file):
    gpu_check.main(
        ["--device", "cpu", "--space", str(toy_space_file), "--batch", "8", "--steps", "2"]
    )
    rows = [line.split("|")[1:-1] for line in capsys.readouterr().out.splitlines() if "|" in line]
    found = {row[0].strip(): (row[1].strip(), row[3].strip()) for row in rows[2:]}
    assert len(found) == 5
    assert all(result.startswith("ok") for _, result in found.values())
    assert "TMAC/s" in found["training step, bfloat16"][0]
    assert "GB/s" in found["two processes exchange a step"][0]


@pytest.mark.slow
def test_a_check_that_fails_is_told_and_ends_with_one(capsys, toy_space_file, monkeypatch):
    def fail(*_):
        raise RuntimeError("out of\nmemory")

    monkeypatch.setattr(gpu_check, "_training", fail)
    monkeypatch.setattr(gpu_check, "_exchange", lambda length: ("", "", "ok"))
    with pytest.raises(SystemExit, match="1"):
        gpu_check.main(["--device", "cpu", "--space", str(toy_space_file), "--batch", "4"])
    assert "FAILED: out of memory" in capsys.readouterr().out
