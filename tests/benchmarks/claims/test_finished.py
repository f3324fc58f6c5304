import pytest

from benchmarks.claims.finished import FinishedRuns


def test_a_finished_run_is_read_and_one_with_other_settings_runs(tmp_path):
    runs, calls = FinishedRuns(tmp_path), []

    def run(folder):
        calls.append(folder)
        (folder / "state").write_text("x")
        return {"value": len(calls)}

    assert runs.numbers("a", {"seed": 0}, run) == {"value": 1}
    assert runs.numbers("a", {"seed": 0}, run) == {"value": 1}
    assert runs.numbers("a", {"seed": 1}, run) == {"value": 2}
    assert not any(folder.exists() for folder in calls)


def test_an_interrupted_run_finds_its_folder_again(tmp_path):
    def interrupted(folder):
        (folder / "state").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        FinishedRuns(tmp_path).numbers("a", {}, interrupted)
    found = FinishedRuns(tmp_path).numbers("a", {}, lambda f: {"was": (f / "state").read_text()})
    assert found == {"was": "half"}
