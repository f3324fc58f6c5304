import pandas as pd
import pytest

from benchmarks.claims.__main__ import PLANS, chosen, main
from benchmarks.claims.finished import FinishedRuns

TINY_SIZES = ["--batch-size", "22", "--population", "8", "--generations", "1"]


def test_every_claim_runs_and_a_second_call_reads_what_is_finished(
    tmp_path, supernet_folder, image_folder, monkeypatch, capsys
):
    arguments = [
        *["--quick", "--supernet", str(supernet_folder), "--data", str(image_folder)],
        *["--out", str(tmp_path / "runs"), "--results", str(tmp_path), *TINY_SIZES],
        *["--steps", "4", "--float-steps", "4", "--seeds", "1", "--optimizers", "adamw", "sgd"],
        *["--epochs", "0.5", "--long-epochs", "1", "--images", "0", "22", "44"],
        *["--sizes", "1000", "--splits", "1"],  # all there are
        *["--teacher", str(supernet_folder / "supernet.safetensors")],
    ]
    main([*arguments, "--only", "a,d"])
    assert (
        "Not run yet: retraining, mixed, predictor, cures." in (tmp_path / "claims.md").read_text()
    )
    main([*arguments, "--only", "b,c,e,f"])
    text = (tmp_path / "claims.md").read_text()
    assert text.strip() in capsys.readouterr().out
    assert "Not run yet" not in text
    assert text.count("*Result") >= 8
    tables = {name: pd.read_csv(tmp_path / f"claims_{name}.csv") for name in PLANS}
    for name, table in tables.items():
        assert f"](claims_{name}.png)" in (tmp_path / f"claims_{name}.md").read_text()
        assert (tmp_path / f"claims_{name}.png").stat().st_size > 10_000
        scores = table[table["metric"].str.startswith("top1")]["value"]
        assert scores.between(0, 100).all()

    files = {path: path.read_bytes() for path in tmp_path.rglob("*.json")}
    monkeypatch.setattr(FinishedRuns, "numbers", _only_reads(FinishedRuns.numbers))
    main(arguments)
    for name, table in tables.items():
        again = pd.read_csv(tmp_path / f"claims_{name}.csv")
        pd.testing.assert_frame_equal(again, table)
    assert files == {path: path.read_bytes() for path in tmp_path.rglob("*.json")}


def _only_reads(numbers):
    def fail(folder):
        raise AssertionError(f"{folder} was run again")

    return lambda self, name, settings, run: numbers(self, name, settings, fail)


def test_claims_are_chosen_by_letter_or_name():
    assert chosen("a,predictor") == ["stability", "predictor"]
    with pytest.raises(Exception, match="unknown claim 'g'"):
        chosen("g")
