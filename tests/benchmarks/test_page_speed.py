import shutil
import sys

import pytest

from benchmarks import page_speed


@pytest.mark.slow
@pytest.mark.skipif(
    not (shutil.which("chromium") and shutil.which("chromedriver")),
    reason="chromium and chromedriver (chromium-driver) are not here",
)
def test_writing_and_opening_are_timed(monkeypatch, capsys):
    pytest.importorskip("selenium", reason="selenium is not installed")
    words = ["--space", "fashion-mnist", "--members", "20", "--repeats", "1"]
    monkeypatch.setattr(sys, "argv", ["page_speed", *words])
    page_speed.main()
    out = capsys.readouterr().out
    assert "20 members of fashion-mnist" in out
    assert "| opening, main thread |" in out
    assert "| opening, until drawn |" in out
