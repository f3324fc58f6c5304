"""Integer codes as bit strings: the first code in the low bits, the last byte filled with zeros."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def pack(codes: NDArray[np.integer], bits: int) -> bytes:
    """Signed or unsigned `codes` at `bits` bits each, in C order, two's complement.

    At 2, 4 and 8 bits this is the layout of ONNX tensors; 3-bit codes run across bytes.
    """
    values = np.ascontiguousarray(codes).astype(np.uint8).reshape(-1, 1)
    return np.packbits(
        np.unpackbits(values, axis=1, count=bits, bitorder="little"), bitorder="little"
    ).tobytes()


def unpack(data: bytes, bits: int, n_codes: int) -> NDArray[np.int8]:
    """The signed codes that `pack` packed, int8 `(n_codes,)`."""
    stream = np.unpackbits(
        np.frombuffer(data, dtype=np.uint8), count=bits * n_codes, bitorder="little"
    )
    values = np.packbits(stream.reshape(-1, bits), axis=1, bitorder="little")[:, 0]
    unused = 8 - bits  # the sign bit goes to the top of the byte and comes back with the shift
    return (values << unused).astype(np.uint8).view(np.int8) >> unused
