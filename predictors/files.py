"""Files that are whole or absent: safetensors with JSON metadata, written through a rename."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import shutil
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

from search_spaces.plain_data import shown

FORMAT_VERSION = 1
DIGEST_LENGTH = 16
# The one key of the safetensors metadata: with several, their order would change from run to run.
HEADER = "qfa-search"
RESERVED_BYTES = 2**20

logger = logging.getLogger(__name__)

Tensors = dict[str, NDArray[Any]]


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Errors of writing say which file it was; those of the system do not."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


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
        with naming(path):
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def temporary_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """A folder in `parent` that is gone with what is in it when the block ends, however it ends.

    Also where the block took all memory: listing what is to be removed takes some, which is kept
    aside until then.
    """
    reserve = bytearray(RESERVED_BYTES)
    folder = Path(tempfile.mkdtemp(dir=parent, prefix=prefix))
    try:
        yield folder
    finally:
        del reserve
        shutil.rmtree(folder)


@contextmanager
def locked_folder(folder: str | Path) -> Iterator[None]:
    """The folder, made if it is missing, for this process alone until the block ends.

    The lock is the system's and ends with the process, however that ends. Where the system or the
    file system has none, the folder is used without.

    Raises:
        BlockingIOError: Another process has it.
        OSError: It cannot be made, or nothing can be written to it.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tempfile.TemporaryFile(dir=folder).close()
    try:
        import fcntl
    except ImportError:  # not a Unix system
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            told = "another command is writing to it: wait for its end, or choose another folder"
            raise BlockingIOError(error.errno, told, str(folder)) from None
        except OSError as error:
            logger.debug("%s cannot be locked: %s", folder, error)
        yield
    finally:
        os.close(handle)


def check_place(path: str | Path) -> None:
    """Nothing, if a new file can be written at `path`: known before the work for it starts.

    Raises:
        FileExistsError: There is something already.
        OSError: The folder cannot be made or written to.
    """
    path = Path(path)
    if path.exists() or path.is_symlink():
        told = "exists already: choose another place, or remove it"
        raise FileExistsError(errno.EEXIST, told, str(path))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path.parent).close()
    except FileExistsError as error:
        told = "cannot be made: a file is in the place of its folder"
        raise NotADirectoryError(errno.ENOTDIR, told, str(path)) from error
    except OSError as error:
        told = f"cannot be made: {error.strerror}"
        raise OSError(error.errno, told, str(path)) from error


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
        kind: What the file is ("supernet", "predictor"); `load_tensors` checks it, and that
            nothing changed since.
        tensors: Arrays by name.
        metadata: JSON-serializable values.
    """
    contiguous = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    plain = {
        "format_version": FORMAT_VERSION,
        "package_version": version("qfa-search"),
        "kind": kind,
        "metadata": dict(metadata),
        "tensors_digest": tensors_digest(contiguous),
    }
    # As it will be read: tuples become lists, numbers as keys become text.
    header = json.loads(json.dumps(plain))
    header["digest"] = _header_digest(header)
    with atomic_path(path) as temporary:
        try:
            text = json.dumps(header, sort_keys=True)
            save_file(contiguous, temporary, metadata={HEADER: text})
        except SafetensorError as error:
            raise OSError(f"cannot write {path}: {error}") from error


def load_tensors(path: str | Path, kind: str) -> tuple[Tensors, dict[str, Any]]:
    """Arrays and metadata of a file that `save_tensors` wrote.

    Raises:
        ValueError: No such file, a truncated, damaged or foreign one, one of another kind, or one
            of a newer format.
    """
    path = Path(path)
    header = _read_header(path, kind)
    tensors = _read_tensors(path, kind)
    expected = header.get("tensors_digest")
    if expected is not None and tensors_digest(tensors) != expected:
        raise ValueError(
            f"the {kind} {path} is damaged: its arrays are not those that were written; "
            "take a copy, or make it again"
        )
    return tensors, header["metadata"]


def read_metadata(path: str | Path, kind: str) -> dict[str, Any]:
    """The metadata of a file that `save_tensors` wrote, without its arrays.

    Raises:
        ValueError: As `load_tensors`.
    """
    metadata: dict[str, Any] = _read_header(Path(path), kind)["metadata"]
    return metadata


def identity(path: str | Path, kind: str) -> str:
    """What other files call a file by: the digest of its arrays, 16 hexadecimal digits.

    A file of an earlier version, which has none, is called by the digest of the whole file.

    Raises:
        ValueError: As `load_tensors`.
    """
    digest = _read_header(Path(path), kind).get("tensors_digest")
    if digest is None:
        return file_digest(path)
    load_tensors(path, kind)  # raises if the digest is not theirs
    return str(digest)


def tensors_digest(tensors: Mapping[str, NDArray[Any]]) -> str:
    """SHA-256 of names, types, shapes and values of arrays, the first 16 hexadecimal digits."""
    found = hashlib.sha256()
    for name, array in sorted(tensors.items()):
        found.update(f"{name}\0{array.dtype.str}\0{array.shape}\0".encode())
        found.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return found.hexdigest()[:DIGEST_LENGTH]


def digest_of(data: bytes) -> str:
    """SHA-256 of `data`, the first 16 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()[:DIGEST_LENGTH]


def _header_digest(header: Mapping[str, Any]) -> str:
    content = {name: value for name, value in header.items() if name != "digest"}
    return digest_of(json.dumps(content, sort_keys=True).encode())


def _read_header(path: Path, kind: str) -> dict[str, Any]:
    """The checked header of a file that `save_tensors` wrote."""
    if not path.is_file():
        raise ValueError(f"no {kind} at {path}: there is no such file")
    try:
        with safe_open(path, framework="np") as file:
            stored = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is not a readable {kind} file: {error}") from error
    if HEADER not in stored:
        raise ValueError(f"{path} is a safetensors file, but not one of qfa-search")
    try:
        header = json.loads(stored[HEADER])
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not a readable {kind} file: {error}") from error
    if not isinstance(header, dict):
        raise ValueError(f"{path} is not a readable {kind} file: its header is no table")
    found, number = header.get("kind"), header.get("format_version")
    if found != kind:
        told = shown(found).strip("'")
        raise ValueError(f"{path} holds a {told}, expected a {kind}")
    if type(number) is not int or number < 1:
        raise ValueError(f"{path} is not a readable {kind} file: format version {shown(number)}")
    if number > FORMAT_VERSION:
        raise ValueError(
            f"{path} has format version {shown(number)}, this version of "
            f"qfa-search reads up to {FORMAT_VERSION}: install a newer one"
        )
    if "digest" in header and header["digest"] != _header_digest(header):
        raise ValueError(
            f"the {kind} {path} is damaged: its description is not the one that was written; "
            "take a copy, or make it again"
        )
    if not isinstance(header.get("metadata"), dict):
        raise ValueError(f"{path} is not a readable {kind} file: it has no metadata")
    return header


def _read_tensors(path: Path, kind: str) -> Tensors:
    try:
        with safe_open(path, framework="np") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, TypeError, AttributeError, ValueError) as error:
        # Types of numbers that NumPy does not have are among these.
        raise ValueError(f"{path} is not a readable {kind} file: {error}") from error


def file_digest(path: str | Path) -> str:
    """SHA-256 of a file, the first 16 hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:DIGEST_LENGTH]


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
