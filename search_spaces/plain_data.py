"""Plain data out of files that anybody may have written, read strictly.

A number is never rounded, cut or taken from a truth value: what is not exactly what belongs there
is a ValueError in one line that names the place.
"""

from __future__ import annotations

import json
import math
import reprlib
import tomllib
from operator import index
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

LARGEST = 2**31 - 1  # of whole numbers in files
# Far beyond any TOML file that is meant, so that absurd ones end at once.
MAX_CHARACTERS = 100_000
MAX_DOTS = 1000  # of a line

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60
_SHORT.maxlevel = 2


def read_text(path: str | Path, what: str) -> str:
    """The text of a UTF-8 file, with or without a byte order mark.

    Args:
        path: The file.
        what: What it should be, for the message, such as "front".

    Raises:
        ValueError: It cannot be read, or is no text.
    """
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ValueError(f"cannot read {what} {path}: {error.strerror or error}") from error
    except ValueError as error:  # no UTF-8, or a zero byte in the path
        raise ValueError(f"cannot read {what} {path}: it is no text ({error})") from error


def parse_json(text: str) -> object:
    """The value of a JSON text.

    Raises:
        ValueError: No JSON, nested without end, NaN or Infinity in it, or a key twice.
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_once)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def parse_toml(text: str) -> dict[str, object]:
    """The table of a TOML text.

    Raises:
        ValueError: No TOML, nested without end, or absurdly long.
    """
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"it has more than {MAX_CHARACTERS:,} characters")
    # tomllib descends from the top once for every dot of a key.
    if any(line.count(".") > MAX_DOTS for line in text.splitlines()):
        raise ValueError(f"a line has more than {MAX_DOTS} dots")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def whole_number(name: str, value: object, least: int = 0, most: int = LARGEST) -> int:
    """`value`, if it is an integer from `least` to `most`, which is 2^31 - 1 by default.

    Args:
        name: What the message calls it.
        value: What a file has there.
        least: Smallest value.
        most: Largest value.

    Raises:
        ValueError: A fraction, truth value, text, list, or out of range.
    """
    try:
        number = index(value)  # type: ignore[arg-type]
    except TypeError:
        number = None
    if number is None or isinstance(value, bool):
        raise ValueError(f"{name} must be a whole number, got {shown(value)}")
    if number < least:
        raise ValueError(f"{name} must be at least {least}, got {shown(number)}")
    if number > most:
        raise ValueError(f"{name} must be at most {most}, got {shown(number)}")
    return number


def finite_number(name: str, value: object) -> float:
    """`value` as a float, if it is a finite number.

    Args:
        name: What the message calls it.
        value: What a file has there.

    Raises:
        ValueError: A truth value, text, list, NaN or infinity.
    """
    if not isinstance(value, bool) and isinstance(value, int | float):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isfinite(number):
            return number
    raise ValueError(f"{name} must be a finite number, got {shown(value)}")


def shown(value: object) -> str:
    """`value` in a message: short, whatever it is."""
    try:
        return _SHORT.repr(value)
    except ValueError:  # Python writes no numbers of more than 4300 digits
        return "a number of thousands of digits"


def read_integers(path: Path) -> NDArray[np.integer]:
    """The integers of a .npy file, after a look at its header; objects are never loaded.

    Raises:
        ValueError: It cannot be read, is damaged, or holds something else.
    """
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            # Other versions serve field names, which no array of integers has.
            if version != (1, 0):
                raise ValueError(f"format {version} is none of plain integers")
            shape, _, dtype = np.lib.format.read_array_header_1_0(file)
            start = file.tell()
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror or error}") from error
    except Exception as error:  # NumPy's reader of damaged headers raises errors of any kind
        raise ValueError(f"{path} is not a .npy array: {' '.join(str(error).split())}") from error
    if not np.issubdtype(dtype, np.integer):
        raise ValueError(f"{path} must hold integers, got {dtype}")
    if path.stat().st_size != start + math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{path} is damaged: its size is not that of an array {shown(shape)}")
    return np.asarray(np.load(path, allow_pickle=False))


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is no number")


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {shown(twice)} is there twice")
    return found
