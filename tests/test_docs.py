"""Every example on the site's own pages runs, and prints what the page says."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import shutil
from pathlib import Path

import pytest
from PIL import Image
from typer.main import get_command
from typer.testing import CliRunner

from qfa_search.cli import app
from qfa_search.deployment.emulator import cortex_m
from qfa_search.images.fashion_mnist import DEBIAN_FOLDER
from qfa_search.supernet.files import resolve_supernet

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted((ROOT / "docs").glob("*.md"))
# Pages whose examples take minutes are typed by hand, their options are checked here.
RUN = ["index", "concepts", "search", "costs", "predictor", "adding", "bundled"]
RUN += ["deployment", "microcontroller"]
TOOLS = (cortex_m.COMPILER, cortex_m.SIZE, cortex_m.EMULATOR)
BLOCK = re.compile(r"^```(python|sh|text)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@pytest.mark.slow
@pytest.mark.parametrize("name", RUN)
def test_examples_of_a_page_print_what_it_says(name, tmp_path, monkeypatch):
    text = (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
    if not resolve_supernet("fashion-mnist").weights.is_file():
        pytest.skip("the bundled supernet is not in this checkout")
    if "--data fashion-mnist" in text and not DEBIAN_FOLDER.is_dir():
        pytest.skip("Fashion-MNIST is not installed (Debian's dataset-fashion-mnist)")
    if name == "microcontroller" and not all(map(shutil.which, TOOLS)):
        pytest.skip(f"no Cortex-M toolchain: apt install {cortex_m.PACKAGES}")
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (40, 30), "grey").save("photo.jpg")  # a reader's own
    names: dict[str, object] = {}
    printed = ""
    for kind, block in BLOCK.findall(text):
        if kind == "python":
            with contextlib.redirect_stdout(io.StringIO()) as out:
                exec(compile(block, f"{name}.md", "exec"), names)
            printed = out.getvalue()
        elif kind == "text":
            assert printed == block
        else:
            for line in block.splitlines():
                result = CliRunner().invoke(app, shlex.split(line)[1:])
                assert result.exit_code == 0, f"{line}\n{result.output}"


def test_commands_on_the_pages_have_options_that_exist():
    root = get_command(app)
    lines = [
        line
        for page in PAGES
        for line in re.findall(r"^(?:    )?qfa-search (.+)$", page.read_text("utf-8"), re.MULTILINE)
    ]
    assert len(lines) >= 10
    for line in lines:
        words = line.split()
        command = root.commands.get(words[0], root)
        known = {option for parameter in command.params for option in parameter.opts}
        used = {word for word in words if word.startswith("--") and word != "--help"}
        assert used <= known, line
