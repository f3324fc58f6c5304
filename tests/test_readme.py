import re
from pathlib import Path

import pytest

from qfa_search.supernet.files import resolve_supernet

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def _examples():
    return re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


def test_the_first_python_example_runs(tmp_path, monkeypatch, capsys):
    if not resolve_supernet().weights.is_file():
        pytest.skip("the bundled supernet is not in this checkout")
    monkeypatch.chdir(tmp_path)
    exec(compile(_examples()[0], "README.md", "exec"), {})
    assert "mflops" in capsys.readouterr().out


def test_links_to_files_lead_somewhere():
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", README):
        assert (ROOT / target).exists(), target
