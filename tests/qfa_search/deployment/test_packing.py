import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qfa_search.deployment.packing import pack, unpack


@given(bits=st.sampled_from([2, 3, 4, 8]), data=st.data())
def test_unpack_inverts_pack(bits, data):
    half = 2 ** (bits - 1)
    codes = data.draw(st.lists(st.integers(-half, half - 1), max_size=40))
    packed = pack(np.array(codes, dtype=np.int8), bits)
    assert len(packed) == -(-len(codes) * bits // 8)
    assert unpack(packed, bits, len(codes)).tolist() == codes


def test_the_first_code_is_in_the_low_bits():
    assert pack(np.array([1, -2, -1, 0, 1], dtype=np.int8), 2) == bytes([0b00_11_10_01, 0b01])
    assert pack(np.array([1, -8, 7], dtype=np.int8), 4) == bytes([0x81, 0x07])
    assert pack(np.array([1, -4, 3], dtype=np.int8), 3) == bytes([0b11_100_001, 0b0])


@pytest.mark.parametrize("bits", [2, 4])
def test_onnx_reads_what_is_packed(bits):
    onnx = pytest.importorskip("onnx")
    kind = {2: onnx.TensorProto.INT2, 4: onnx.TensorProto.INT4}[bits]
    half = 2 ** (bits - 1)
    codes = np.random.default_rng(0).integers(-half, half, 13).astype(np.int8)
    tensor = onnx.TensorProto(data_type=kind, dims=[13], raw_data=pack(codes, bits))
    assert onnx.numpy_helper.to_array(tensor).astype(np.int8).tolist() == codes.tolist()
