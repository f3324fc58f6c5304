"""Weights as the 32-bit words that the C kernels read; every field is offset to be unsigned."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from predictors.c_memory import UNIT
from qfa_search.deployment.integers import IntegerLayer, Integers

Words = NDArray[np.uint32]


def packed_weights(layer: IntegerLayer) -> Words:
    """The weights of one layer in the order of its kernel."""
    if layer.plan.spec.kind == "squeeze_excite":
        return _as_words(layer.weights.astype("<i2").tobytes())
    offset = layer.weights + (1 << (layer.w_bits - 1))
    if layer.pixels is not None:
        offset = _stem_rows(offset, 1 << (layer.w_bits - 1))
    if layer.plan.spec.kernel_size > 1:
        # The kernel reads windows of two bytes, so that one more has to be there.
        return _as_words(_packed_fields(offset.reshape(-1), layer.w_bits) + b"\0")
    return _packed_rows(offset.reshape(len(offset), -1), layer.w_bits)


def _stem_rows(weights: Integers, zero: int) -> Integers:
    """Weights `(out, in, 3, 3)` row by row as pixels lie, an even number in a row."""
    rows = weights.transpose(0, 2, 3, 1).reshape(len(weights), 3, -1)
    return np.pad(rows, ((0, 0), (0, 0), (0, rows.shape[2] % 2)), constant_values=zero)


def _packed_fields(values: Integers, bits: int) -> bytes:
    """Unsigned values of `bits` bits each, one after the other from the lowest bit on."""
    each = (values[:, None] >> np.arange(bits)) & 1
    return np.packbits(each.astype(np.uint8), bitorder="little").tobytes()


def _packed_rows(rows: Integers, bits: int) -> Words:
    """Weights `(out, in)` of a 1x1 layer, two output channels and eight inputs at a time.

    The 16 weights of such a unit make 8 pairs, each for the two halves of a word: inputs i and
    i + 4 of one channel, then of the other, for i from 0 to 3. With three bits the lower two
    bits of all weights come first, then the upper ones, 16 bits for a unit.
    """
    n_rows, n_columns = rows.shape
    zero = 1 << (bits - 1)
    rows = np.pad(rows, ((0, n_rows % 2), (0, -n_columns % UNIT)), constant_values=zero)
    # row pair, row, unit, half, i  ->  row pair, unit, i, row, half
    units = rows.reshape(len(rows) // 2, 2, -1, 2, UNIT // 2).transpose(0, 2, 4, 1, 3)
    units = units.reshape(-1, UNIT, 2)
    if bits == 3:
        low = _halves(units & 3, 2)
        high = (units >> 2 << np.arange(UNIT)[:, None]).sum(1)
        return np.concatenate(
            [low, _as_words((high[:, 0] | high[:, 1] << 8).astype("<u2").tobytes())]
        )
    return _halves(units, bits)


def _halves(pairs: Integers, bits: int) -> Words:
    """Pairs `(n, 8, 2)` of fields, as many in a word as fit."""
    per_word = 16 // bits
    grouped = pairs.reshape(-1, per_word, 2)
    halves = (grouped << (bits * np.arange(per_word))[:, None]).sum(1)
    both: Words = (halves[:, 0] | halves[:, 1] << 16).astype(np.uint32)
    return both


def _as_words(data: bytes) -> Words:
    return np.frombuffer(data + bytes(-len(data) % 4), dtype="<u4").astype(np.uint32)
