"""Every example and command on the site's pages and in README runs, and prints what they say."""

from __future__ import annotations

import ast
import contextlib
import importlib
import io
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from typer.main import get_command
from typer.testing import CliRunner

from qfa_search.cli import app
from qfa_search.deployment.emulator import cortex_m
from qfa_search.deployment.host_c import host_compiler
from qfa_search.images.fashion_mnist import DEBIAN_FOLDER
from qfa_search.supernet.files import resolve_supernet
from tests.docs.pages import FILES, ROOT, commands, named, page_text, shape, steps
from tests.docs.shortened import MORE, NOT_RUN
from tests.qfa_search.published.published_release import write_release

TOOLS = (cortex_m.COMPILER, cortex_m.SIZE, cortex_m.EMULATOR)
N_PHOTOS = 30  # of each class of own photos, in place of 500
FIXTURES = ("toy_run", "toy_front", "toy_space_file", "image_folder")


class Reader:
    """Somebody who types what a page says, in the current folder.

    Attributes:
        told: What the commands printed, one after the other.
    """

    def __init__(self, places: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
        """Reader who has `places` for the braces of `MORE`."""
        self.told = ""
        self._places, self._monkeypatch = places, monkeypatch
        self._variables: dict[str, str] = {}
        self._done: set[str] = set()

    def types(self, command: str) -> None:
        """Run a command of a page, unless it was run before."""
        if command in self._done or command in NOT_RUN:
            return
        self._done.add(command)
        if found := re.fullmatch(r'(\w+)="(.*)"', command):
            self._variables[found[1]] = found[2]
            return
        line = re.sub(r"\$(\w+)", lambda name: self._variables[name[1]], command)
        words = shlex.split(line.removeprefix("time "), comments=True)
        words += shlex.split(MORE.get(command, "").format(**self._places))
        if words[0] == "qfa-search":
            result = CliRunner().invoke(app, words[1:])
            assert result.exit_code == 0, f"{command}\n{result.output}"
            self.told += result.output
            return
        assert words[:2] == ["python", "-m"], f"{command} is neither run nor in NOT_RUN"
        self._monkeypatch.setattr(sys, "argv", words[2:])
        with contextlib.redirect_stdout(io.StringIO()) as out:
            importlib.import_module(words[2]).main()
        self.told += out.getvalue()


@pytest.fixture
def reader(request, monkeypatch):
    return Reader({name: request.getfixturevalue(name) for name in FIXTURES}, monkeypatch)


def _prepare(name: str, image_folder: Path) -> None:
    """What a reader of the page has in the current folder, or fetched."""
    Image.new("RGB", (40, 30), "grey").save("photo.jpg")
    if name == "published":
        write_release(Path("ml-batchquant"), n_samples=60)
    for page, folder in (("scale", "signs"), ("README", "photos")):
        if name == page:
            shutil.copytree(image_folder, folder)


def _keep_few_photos() -> None:
    for folder in Path("photos").glob("*"):
        for path in sorted(folder.iterdir())[N_PHOTOS:]:
            path.unlink()


def _run_c(text: str) -> None:
    """Lines of C beside the files they include: both ways give the same class of an image."""
    includes, lines = text.split("\n", 1)
    stem = includes.removeprefix('#include "').removesuffix('.h"')
    upper = stem.upper()
    pixels = " * ".join(f"{upper}_{side}" for side in ("RESOLUTION", "RESOLUTION", "CHANNELS"))
    program = f"""{includes}
static uint8_t image[{pixels}];
static int32_t logits[{upper}_CLASSES];
int main(void) {{
{lines}
    for (int i = 0; i < {upper}_CLASSES; i++)
        if (logits[i] > logits[found]) return 1;
    return logits[found] == 0;
}}
"""
    Path("main.c").write_text(program, encoding="utf-8")
    compiler = host_compiler()
    assert compiler is not None
    subprocess.run([compiler, "-std=c99", "-Werror", "main.c", f"{stem}.c", "-o", stem], check=True)
    subprocess.run([f"./{stem}"], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_a_page_is_followed_and_prints_what_it_says(
    name, tmp_path, monkeypatch, reader, image_folder
):
    text = page_text(name)
    if not resolve_supernet("fashion-mnist").weights.is_file():
        pytest.skip("the bundled supernet is not in this checkout")
    if ("--data fashion-mnist" in text or "/fashion-mnist" in text) and not DEBIAN_FOLDER.is_dir():
        pytest.skip("Fashion-MNIST is not installed (Debian's dataset-fashion-mnist)")
    if name in ("microcontroller", "costs") and not all(map(shutil.which, TOOLS)):
        pytest.skip(f"no Cortex-M toolchain: apt install {cortex_m.PACKAGES}")
    if any(step.kind == "c" for step in steps(name)) and host_compiler() is None:
        pytest.skip("no C compiler")
    monkeypatch.chdir(tmp_path)
    _prepare(name, image_folder)
    names: dict[str, object] = {}
    printed = ""
    for step in steps(name):
        if step.kind == "python":
            with contextlib.redirect_stdout(io.StringIO()) as out:
                exec(compile(step.text, f"{name}.md", "exec"), names)
            printed = out.getvalue()
            if name == "own-images":
                _keep_few_photos()
        elif step.kind == "text":
            assert printed == step.text
        elif step.kind == "c":
            _run_c(step.text)
        elif step.kind == "shell":
            reader.types(step.text)
        else:
            assert shape(step.text) in shape(reader.told), f"{step.text}\n\n{reader.told}"
    for command in filter(_is_complete, named(text)):
        reader.types(command)


def _is_complete(command: str) -> bool:
    """Whether a command inside a sentence is one to type, and no name of a command or option."""
    return command.startswith(("python -m", "pip", "pytest", "make", "git"))


def _all_commands() -> list[str]:
    return [c for name in FILES for c in (*commands(name), *named(page_text(name)))]


def test_what_is_shortened_or_not_run_stands_on_a_page():
    assert MORE.keys() | NOT_RUN.keys() <= {*_all_commands()}
    assert not MORE.keys() & NOT_RUN.keys()


def test_the_search_that_make_begins_is_one_that_runs(tmp_path, monkeypatch):
    told = subprocess.run(
        ["make", "--dry-run", "--no-print-directory", "search"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert told.splitlines()[-1] == ".venv/bin/qfa-search --max-mflops 20"
    monkeypatch.chdir(tmp_path)
    words = ["--max-mflops", "20", "--generations", "1", "--population", "20"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[-1].endswith("report.html")


def test_commands_have_options_that_exist():
    root = get_command(app)
    lines = re.findall(r"\bqfa[-_]search (.+)", "\n".join(_all_commands()))
    assert len(lines) >= 30
    for line in lines:
        words = shlex.split(line, comments=True)
        command = root.commands.get(words[0], root) if words else root
        known = {option for parameter in command.params for option in parameter.opts}
        used = {word for word in words if word.startswith("--") and word != "--help"}
        assert used <= known, line


def _written() -> list[Path]:
    """Every file of words in the repository."""
    return [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("benchmarks/results/**/*.md")]


def test_benchmarks_that_are_named_anywhere_are_there_with_their_options():
    found = {
        (path.name, module, " ".join(options.split()))
        for path in _written()
        for module, options in re.findall(
            r"python -m benchmarks\.([\w.]+)([^`|)]*?)(?=`|\n\n|\n[^ -]|$)", path.read_text("utf-8")
        )
    }
    assert len({module for _, module, _ in found}) >= 10
    for name, module, options in found:
        path = ROOT / "benchmarks" / f"{module.replace('.', '/')}.py"
        path = path if path.is_file() else path.with_suffix("") / "__main__.py"
        known = {
            node.args[0].value
            for node in ast.walk(ast.parse(path.read_text("utf-8")))
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "add_argument"
        }
        used = {word for word in shlex.split(options) if word.startswith("--")}
        assert used <= known, f"{name}: {module} {options}"
