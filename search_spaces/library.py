"""Built-in spaces and spaces from TOML files."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from pathlib import Path

from search_spaces.plain_data import parse_toml, read_text
from search_spaces.space import SearchSpace

BUILT_IN = (
    "cifar10",
    "cifar10-w248-a8",
    "cifar10-w48-a8",
    "fashion-mnist",
    "mobilenet-v3-w1.0",
    "mobilenet-v3-w1.2",
    "ofa-mobilenet-v3-w1.0",
)


def load(name: str | Path) -> SearchSpace:
    """A built-in space by name, or the space that a `.toml` file describes.

    Raises:
        ValueError: No such space, or the file does not describe one.
    """
    if str(name) in BUILT_IN:
        return _built_in(str(name))
    path = Path(name)
    if path.suffix != ".toml":
        raise ValueError(
            f"unknown search space {str(name)!r}: choose one of {', '.join(BUILT_IN)}, "
            "or give a .toml file"
        )
    text = read_text(path, "search space")
    return _parse(text, str(path))


@lru_cache
def _built_in(name: str) -> SearchSpace:
    text = (files("search_spaces") / "builtin" / f"{name}.toml").read_text(encoding="utf-8")
    return _parse(text, name)


def _parse(text: str, origin: str) -> SearchSpace:
    try:
        return SearchSpace.from_dict(parse_toml(text))
    except ValueError as error:
        raise ValueError(f"{origin} does not describe a search space: {error}") from error
