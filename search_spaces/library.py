"""Built-in spaces and spaces from TOML files."""

from __future__ import annotations

import tomllib
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

from search_spaces.plain_data import read_text
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
# Far beyond any space that can be searched, so that absurd files end at once.
MAX_CHARACTERS = 100_000
MAX_DOTS = 1000  # of a line


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
        if len(text) > MAX_CHARACTERS:
            raise ValueError(f"it has more than {MAX_CHARACTERS:,} characters")
        # tomllib descends from the top once for every dot of a key.
        if any(line.count(".") > MAX_DOTS for line in text.splitlines()):
            raise ValueError(f"a line has more than {MAX_DOTS} dots")
        return SearchSpace.from_dict(tomllib.loads(text))
    except ValueError as error:  # TOMLDecodeError is one
        raise ValueError(f"{origin} does not describe a search space: {error}") from error
    except RecursionError:
        raise ValueError(f"{origin} does not describe a search space: nested too deeply") from None
