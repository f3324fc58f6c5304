from types import SimpleNamespace

from qfa_search.commands import progress
from qfa_search.commands.progress import measuring_progress


def test_a_log_file_gets_a_line_each_half_minute(monkeypatch, capsys):
    times = iter([0.0, 10.0, 31.0, 40.0, 59.0])
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: next(times)))
    with measuring_progress("sampling", quiet=False) as (on_start, on_sample):
        on_start(4)
        for _ in range(4):
            on_sample(None)
    assert capsys.readouterr().err.splitlines() == [
        "sampling: 2 of 4, about 1 min left",
        "sampling: 4 of 4",
    ]


def test_quiet_is_quiet(capsys):
    with measuring_progress("sampling", quiet=True) as (on_start, on_sample):
        on_start(1)
        on_sample(None)
    assert capsys.readouterr().err == ""
