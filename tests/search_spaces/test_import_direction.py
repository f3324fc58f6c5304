import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("search_spaces", "predictors", "qfa_search", "benchmarks")
# The rooms of qfa_search from the ground up: each may import from itself and those before it.
ROOMS = (
    "errors",
    "images",
    "quantizers",
    "supernet",
    "measuring",
    "front",
    "evolution",
    "training",
    "published",
    "deployment",
    "report",
    "commands",
    "cli",
    "__main__",
)
LOOSE = {"__init__", "__main__", "cli", "errors"}
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def _name(path):
    """Dotted name of a module."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = {_name(path) for path in MODULES}


def _imported(path):
    """Modules that a module imports anywhere in its code, for types too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in {path}"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in NAMES else node.module


def _room(name):
    return name.split(".")[1]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path):
    rank = PACKAGES.index(path.relative_to(ROOT).parts[0])
    later = set(PACKAGES[rank + 1 :])
    assert not later & {name.partition(".")[0] for name in _imported(path)}


@pytest.mark.parametrize(
    "path",
    [path for path in MODULES if path.is_relative_to(ROOT / "qfa_search")],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_rooms_import_from_the_rooms_below_them(path):
    name = _name(path)
    if name in ("qfa_search", "qfa_search.pretrained"):  # names of all rooms, and files alone
        return
    rank = ROOMS.index(_room(name))
    rooms = {_room(other) for other in _imported(path) if other.startswith("qfa_search.")}
    assert rooms <= {*ROOMS[: rank + 1], "pretrained"}


def test_no_modules_import_each_other_in_a_circle():
    arrows = {_name(path): set(_imported(path)) & NAMES - {_name(path)} for path in MODULES}
    # The tops of the packages export what is below them.
    arrows = {name: names for name, names in arrows.items() if name not in PACKAGES}
    try:
        TopologicalSorter(arrows).prepare()
    except CycleError as error:
        pytest.fail(f"circle: {' -> '.join(error.args[1])}")


def test_only_the_door_stands_outside_of_the_rooms():
    assert {path.stem for path in (ROOT / "qfa_search").glob("*.py")} == LOOSE


def test_search_spaces_needs_only_numpy_and_the_standard_library():
    modules = [path for path in MODULES if path.is_relative_to(ROOT / "search_spaces")]
    tops = {name.partition(".")[0] for path in modules for name in _imported(path)}
    assert tops - sys.stdlib_module_names == {"numpy", "search_spaces"}


@pytest.mark.parametrize("package", ["search_spaces", "predictors"])
def test_importing_loads_no_heavy_package(package):
    heavy = ("torch", "pymoo", "pandas", "sklearn", "scipy")
    code = f"import sys, {package}; print([m for m in {heavy} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert result.stdout.strip() == "[]", result.stderr
