import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("search_spaces", "predictors", "qfa_search", "benchmarks")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def _imported(path):
    """Top-level packages that a module imports anywhere in its code."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in {path}"
            yield node.module.partition(".")[0]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path):
    rank = PACKAGES.index(path.relative_to(ROOT).parts[0])
    later = set(PACKAGES[rank + 1 :])
    assert not later & set(_imported(path))


def test_search_spaces_needs_only_numpy_and_the_standard_library():
    modules = [path for path in MODULES if path.is_relative_to(ROOT / "search_spaces")]
    foreign = {name for path in modules for name in _imported(path)} - sys.stdlib_module_names
    assert foreign == {"numpy", "search_spaces"}


@pytest.mark.parametrize("package", ["search_spaces", "predictors"])
def test_importing_loads_no_heavy_package(package):
    heavy = ("torch", "pymoo", "pandas", "sklearn", "scipy")
    code = f"import sys, {package}; print([m for m in {heavy} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert result.stdout.strip() == "[]", result.stderr
