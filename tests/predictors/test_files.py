import json
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from predictors.files import (
    atomic_path,
    file_digest,
    identity,
    load_tensors,
    read_metadata,
    save_tensors,
    temporary_folder,
    write_text,
)

TENSORS = {"a": np.arange(6.0).reshape(2, 3), "b": np.array(3, dtype=np.int64)}


def _on_a_full_disk(code):
    """Error of `code`, run in a process whose files may not grow over 1 kB."""

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    imports = "import numpy as np; from predictors.files import save_tensors, write_text; "
    command = [sys.executable, "-B", "-c", imports + code]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, preexec_fn=limit)
    assert done.returncode == 1
    return done.stderr.strip().splitlines()[-1]


def test_tensors_and_metadata_read_back_equal(tmp_path):
    save_tensors(tmp_path / "f", "predictor", TENSORS, {"x": [1, "two"]})
    tensors, metadata = load_tensors(tmp_path / "f", "predictor")
    assert metadata == {"x": [1, "two"]} == read_metadata(tmp_path / "f", "predictor")
    assert tensors.keys() == TENSORS.keys()
    for name, value in TENSORS.items():
        np.testing.assert_array_equal(tensors[name], value)


def test_equal_contents_are_equal_bytes(tmp_path):
    for name in "fg":
        save_tensors(tmp_path / name, "predictor", TENSORS, {"x": 1})
    assert (tmp_path / "f").read_bytes() == (tmp_path / "g").read_bytes()


def test_a_full_disk_leaves_the_earlier_file_as_it_was(tmp_path):
    path = tmp_path / "f.txt"
    write_text(path, "good")
    error = _on_a_full_disk(f"write_text({str(path)!r}, 'x' * 5000)")
    assert error.startswith("OSError")
    assert "f.txt" in error
    assert path.read_text() == "good"
    assert os.listdir(tmp_path) == ["f.txt"]


def test_a_full_disk_leaves_the_earlier_tensors_as_they_were(tmp_path):
    path = tmp_path / "f"
    save_tensors(path, "predictor", TENSORS, {})
    code = f"save_tensors({str(path)!r}, 'predictor', dict(a=np.zeros(5000)), dict())"
    assert _on_a_full_disk(code).startswith("OSError: cannot write")
    assert load_tensors(path, "predictor")[0].keys() == TENSORS.keys()
    assert os.listdir(tmp_path) == ["f"]


def test_an_interrupt_leaves_no_temporary_file(tmp_path):
    with pytest.raises(KeyboardInterrupt), atomic_path(tmp_path / "f"):
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == []


def _without_memory(parent):
    """Run in a process of its own: take all memory in a folder that is to be temporary."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    limit = pages * resource.getpagesize() + 2**23
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    taken = []
    with temporary_folder(parent, ".f.") as folder:
        (folder / "part").write_text("x")
        for size in (2**16, 2**13, 2**10):
            with suppress(MemoryError):
                while True:
                    taken.append(bytearray(size))
        (parent / "reached").touch()
        raise MemoryError


def test_a_temporary_folder_goes_where_all_memory_is_taken(tmp_path):
    process = multiprocessing.get_context("spawn").Process(target=_without_memory, args=[tmp_path])
    process.start()
    process.join()
    assert process.exitcode == 1
    assert os.listdir(tmp_path) == ["reached"]


def test_a_file_of_another_kind_is_refused(tmp_path):
    save_tensors(tmp_path / "f", "predictor", TENSORS, {})
    with pytest.raises(ValueError, match="holds a predictor, expected a supernet"):
        load_tensors(tmp_path / "f", "supernet")


@pytest.mark.parametrize("content", [b"", b"short", b"\x08\x00\x00\x00\x00\x00\x00\x00{}      "])
def test_foreign_files_are_refused_by_name(tmp_path, content):
    (tmp_path / "strange").write_bytes(content)
    with pytest.raises(ValueError, match="strange"):
        load_tensors(tmp_path / "strange", "predictor")


def _changed_byte(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 64
    path.write_bytes(data)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_flipped_bit_in_the_arrays_is_noticed(tmp_path, share):
    path = tmp_path / "f"
    save_tensors(path, "predictor", {"a": np.arange(1000.0)}, {})
    first = 8 + int.from_bytes(path.read_bytes()[:8], "little")
    _changed_byte(path, first + int(8000 * share))
    assert read_metadata(path, "predictor") == {}
    for read in (load_tensors, identity):
        with pytest.raises(ValueError, match=r"predictor .* is damaged"):
            read(path, "predictor")


def test_a_changed_description_is_noticed(tmp_path):
    path = tmp_path / "f"
    save_tensors(path, "predictor", TENSORS, {"share": 0.25})
    data = path.read_bytes()
    assert data.count(b"0.25") == 1
    path.write_bytes(data.replace(b"0.25", b"0.75"))
    with pytest.raises(ValueError, match="is damaged: its description"):
        read_metadata(path, "predictor")


def test_the_identity_is_that_of_the_arrays(tmp_path):
    paths = [tmp_path / name for name in ("a", "b", "c")]
    save_tensors(paths[0], "supernet", {"a": np.arange(3.0)}, {"x": (1, 2)})
    save_tensors(paths[1], "supernet", {"a": np.arange(3.0)}, {"class_names": ["ant"]})
    save_tensors(paths[2], "supernet", {"a": np.arange(4.0)}, {"x": (1, 2)})
    first, second, third = (identity(path, "supernet") for path in paths)
    assert first == second != third


def test_a_file_without_digests_is_read_and_called_by_the_whole_file(tmp_path):
    path = tmp_path / "f"
    header = {"format_version": 1, "kind": "supernet", "metadata": {"space": {}}}
    save_file({"a": np.arange(3.0)}, path, metadata={"qfa-search": json.dumps(header)})
    tensors, metadata = load_tensors(path, "supernet")
    assert tensors["a"].tolist() == [0, 1, 2]
    assert metadata == {"space": {}}
    assert identity(path, "supernet") == file_digest(path)


@pytest.mark.parametrize(
    "header",
    [
        [1],
        "x",
        {},
        {"kind": ["supernet"], "format_version": 1, "metadata": {}},
        {"kind": "supernet", "format_version": "1", "metadata": {}},
        {"kind": "supernet", "format_version": 1},
        {"kind": "supernet", "format_version": 1, "metadata": [1]},
    ],
)
def test_a_header_of_another_form_is_refused(tmp_path, header):
    save_file(TENSORS, tmp_path / "f", metadata={"qfa-search": json.dumps(header)})
    with pytest.raises(ValueError, match=r"not a readable supernet|expected a supernet"):
        read_metadata(tmp_path / "f", "supernet")
