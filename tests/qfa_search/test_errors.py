import pytest
import torch

from qfa_search.errors import is_full_memory


def test_torch_without_memory_is_told_as_such():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**55, dtype=torch.uint8)
    assert is_full_memory(caught.value)
    assert is_full_memory(MemoryError())
    assert not is_full_memory(RuntimeError("expected another shape"))


def test_a_library_that_finds_no_memory_is_told_as_such():
    assert is_full_memory(ImportError("libavif.so: failed to map segment from shared object"))
    assert not is_full_memory(ImportError("No module named 'onnx'"))


def test_python_and_libraries_that_lose_the_word_for_it_are_understood():
    assert is_full_memory(SystemError("error return without exception set"))
    assert not is_full_memory(SystemError("bad call flags"))
    last = RuntimeError("unexpected pos 598976 vs 598868")  # of torch.save
    last.__context__ = MemoryError()
    assert is_full_memory(last)
