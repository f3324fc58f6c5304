import re
from pathlib import Path

import pytest

from qfa_search.supernet.files import resolve_supernet

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def _examples():
    return re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


def test_the_readme_has_a_python_example():
    assert _examples()


@pytest.mark.parametrize("code", _examples())
def test_python_examples_run(code, tmp_path, monkeypatch, capsys):
    if not resolve_supernet().weights.is_file():
        pytest.skip("the bundled supernet is not in this checkout")
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})
    assert "mflops" in capsys.readouterr().out


def test_commands_in_the_readme_have_options_that_exist():
    from typer.main import get_command

    from qfa_search.cli import app

    root = get_command(app)
    lines = re.findall(r"^    (?:.*\s)?qfa[-_]search (.+)$", README, flags=re.MULTILINE)
    assert len(lines) >= 5
    for line in lines:
        words = line.split()
        command = root.commands.get(words[0], root)
        known = {option for parameter in command.params for option in parameter.opts}
        used = {word for word in words if word.startswith("--")}
        assert used <= known, line


def test_links_to_files_lead_somewhere():
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", README):
        assert (ROOT / target).exists(), target
