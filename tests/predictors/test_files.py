import os
import resource
import signal

import numpy as np
import pytest

from predictors.files import atomic_path, load_tensors, read_metadata, save_tensors, write_text

TENSORS = {"a": np.arange(6.0).reshape(2, 3), "b": np.array(3, dtype=np.int64)}


@pytest.fixture
def no_large_files():
    """No file of this process may grow over 1 kB, like a disk that is almost full."""
    old_limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    old_handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, old_limit[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, old_limit)
    signal.signal(signal.SIGXFSZ, old_handler)


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


def test_a_full_disk_leaves_the_earlier_file_as_it_was(tmp_path, no_large_files):
    path = tmp_path / "f.txt"
    write_text(path, "good")
    with pytest.raises(OSError, match=r"f\.txt"):
        write_text(path, "x" * 5000)
    assert path.read_text() == "good"
    assert os.listdir(tmp_path) == ["f.txt"]


def test_a_full_disk_leaves_the_earlier_tensors_as_they_were(tmp_path, no_large_files):
    path = tmp_path / "f"
    save_tensors(path, "predictor", TENSORS, {})
    with pytest.raises(OSError, match="cannot write"):
        save_tensors(path, "predictor", {"a": np.zeros(5000)}, {})
    assert load_tensors(path, "predictor")[0].keys() == TENSORS.keys()
    assert os.listdir(tmp_path) == ["f"]


def test_an_interrupt_leaves_no_temporary_file(tmp_path):
    with pytest.raises(KeyboardInterrupt), atomic_path(tmp_path / "f"):
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == []


def test_a_file_of_another_kind_is_refused(tmp_path):
    save_tensors(tmp_path / "f", "predictor", TENSORS, {})
    with pytest.raises(ValueError, match="holds a predictor, expected a supernet"):
        load_tensors(tmp_path / "f", "supernet")


@pytest.mark.parametrize("content", [b"", b"short", b"\x08\x00\x00\x00\x00\x00\x00\x00{}      "])
def test_foreign_files_are_refused_by_name(tmp_path, content):
    (tmp_path / "strange").write_bytes(content)
    with pytest.raises(ValueError, match="strange"):
        load_tensors(tmp_path / "strange", "predictor")
