"""Which versions a result depends on."""

from __future__ import annotations

import platform
from importlib.metadata import version

PACKAGES = ("qfa-search", "numpy", "pymoo", "moocore")


def package_versions() -> dict[str, str]:
    """Versions of the interpreter and of the packages that decide the course of a search."""
    return {
        "python": platform.python_version(),
        **{package: version(package) for package in PACKAGES},
    }
