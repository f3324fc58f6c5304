"""Whether a file of torch.export can be read without running anything that it brings along.

`torch.export.load` unpickles what the archive says is pickled, and hands the sizes of tensors to a
parser that evaluates them: a file of somebody else's could start programs.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from zipfile import BadZipFile, ZipFile

from qfa_search.errors import ExportError, is_full_memory

# A side of a tensor as torch writes it: numbers, symbols, and what is computed of them.
SYMBOL = r"Symbol\('[su]\d+'(?:, [a-z_]+=(?:True|False))*\)"
OPERATION = r"(?:Add|FloorDiv|Integer|Max|Min|Mod|Mul|Pow)(?=\()"
SIZE = re.compile(rf"(?:{SYMBOL}|{OPERATION}|[su]\d+|\d+|[\s+*/(),-])*")
LARGEST_JSON = 10**8  # bytes
# Compiled code, and objects that only an unpickler makes.
FOREIGN = re.compile(r"(?:^|/)(?:aotinductor/|custom_obj_|opaque_obj_)")


def check_program(path: Path) -> None:
    """Nothing, if a file holds tensors and a graph alone, as those of this package do.

    Raises:
        ExportError: It holds pickled objects, code or other expressions, or is damaged.
        OSError: It cannot be read.
    """
    try:
        with ZipFile(path) as archive:
            found = _what_could_run(archive)
    except (BadZipFile, ValueError, KeyError, NotImplementedError, EOFError) as error:
        told = " ".join(str(error).split())[:300]
        raise ExportError(f"{path} is no readable program of torch.export: {told}") from error
    if found is not None:
        raise ExportError(f"{path} is refused, as it could run code: {found}")


def _what_could_run(archive: ZipFile) -> str | None:
    names = [PurePosixPath(name) for name in archive.namelist()]
    if len(set(names)) < len(names) or len({name.parts[0] for name in names}) > 1:
        return "its members have no names of their own"
    for info in archive.infolist():
        name = info.filename
        if FOREIGN.search(name):
            return f"it holds {name}"
        if name.endswith(".json"):
            if info.file_size > LARGEST_JSON:
                return f"{name} is too large"
            for key, value in _pairs(json.loads(archive.read(info))):
                if key == "use_pickle" and value is not False:
                    return f"{name} has pickled objects"
                if key == "expr_str" and not (isinstance(value, str) and SIZE.fullmatch(value)):
                    return f"{name} has other sizes than numbers and symbols"
        elif name.endswith(".pt") and not _is_plain(archive.read(info)):
            return f"{name} holds other things than tensors and plain data"
    return None


def _is_plain(content: bytes) -> bool:
    """Whether a pickle of torch needs no more than tensors and plain data."""
    import torch

    try:
        torch.load(io.BytesIO(content), weights_only=True)
    except Exception as error:  # the unpickler raises whatever damaged bytes lead it to
        if is_full_memory(error):
            raise
        return False
    return True


def _pairs(data: object) -> Iterator[tuple[str, object]]:
    """Every key with its value, at any depth."""
    if isinstance(data, dict):
        for key, value in data.items():
            yield str(key), value
            yield from _pairs(value)
    elif isinstance(data, list):
        for value in data:
            yield from _pairs(value)
