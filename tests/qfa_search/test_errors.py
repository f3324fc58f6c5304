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
