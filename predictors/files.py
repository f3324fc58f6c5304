"""Files that are whole or absent: safetensors with JSON metadata, written through a rename."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

FORMAT_VERSION = 1
DIGEST_LENGTH = 16
# The one key of the safetensors metadata: with several, their order would change from run to run.
HEADER = "qfa-search"

Tensors = dict[str, NDArray[Any]]


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place when the block ends well.

    When the block raises (a full disk, Ctrl-C), the temporary file goes and `path` stays as it
    was. Parent folders are made.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        if error.filename is None and error.errno is not None:  # of a write: say which file
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_text(path: str | Path, text: str) -> None:
    """Write a UTF-8 text file, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def save_tensors(
    path: str | Path, kind: str, tensors: Mapping[str, NDArray[Any]], metadata: Mapping[str, Any]
) -> None:
    """Write arrays and JSON metadata as one safetensors file, whole or not at all.

    Args:
        path: Where to.
        kind: What the file is ("supernet", "predictor"); `load_tensors` checks it.
        tensors: Arrays by name.
        metadata: JSON-serializable values.
    """
    header = {
        "format_version": FORMAT_VERSION,
        "package_version": version("qfa-search"),
        "kind": kind,
        "metadata": dict(metadata),
    }
    contiguous = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    with atomic_path(path) as temporary:
        try:
            text = json.dumps(header, sort_keys=True)
            save_file(contiguous, temporary, metadata={HEADER: text})
        except SafetensorError as error:
            raise OSError(f"cannot write {path}: {error}") from error


def load_tensors(path: str | Path, kind: str) -> tuple[Tensors, dict[str, Any]]:
    """Arrays and metadata of a file that `save_tensors` wrote.

    Raises:
        ValueError: No such file, a truncated or foreign one, one of another kind, or one of a
            newer format.
    """
    with _open(path, kind) as (file, metadata):
        return {name: file.get_tensor(name) for name in file.keys()}, metadata  # noqa: SIM118


def read_metadata(path: str | Path, kind: str) -> dict[str, Any]:
    """The metadata of a file that `save_tensors` wrote, without its arrays.

    Raises:
        ValueError: As `load_tensors`.
    """
    with _open(path, kind) as (_, metadata):
        return metadata


@contextmanager
def _open(path: str | Path, kind: str) -> Iterator[tuple[Any, dict[str, Any]]]:
    """The open safetensors file and its metadata, after a check of its header."""
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"no {kind} at {path}: there is no such file")
    try:
        with safe_open(path, framework="np") as file:
            stored = file.metadata() or {}
            if HEADER not in stored:
                raise ValueError(f"{path} is a safetensors file, but not one of qfa-search")
            header = json.loads(stored[HEADER])
            if header["kind"] != kind:
                raise ValueError(f"{path} holds a {header['kind']}, expected a {kind}")
            if header["format_version"] > FORMAT_VERSION:
                raise ValueError(
                    f"{path} has format version {header['format_version']}, this version of "
                    f"qfa-search reads up to {FORMAT_VERSION}: install a newer one"
                )
            yield file, header["metadata"]
    except (SafetensorError, OSError, KeyError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is not a readable {kind} file: {error}") from error


def file_digest(path: str | Path) -> str:
    """SHA-256 of a file, the first 16 hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:DIGEST_LENGTH]


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
