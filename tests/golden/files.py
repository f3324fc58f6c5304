"""Files that come out the same, byte by byte, whenever they are written."""

from __future__ import annotations

import io
import zipfile

import numpy as np

from tests.reference import GOLDEN


def write_npz(name: str, arrays: dict[str, np.ndarray]) -> None:
    """A compressed npz in the golden folder; `np.savez_compressed` would store the time."""
    with zipfile.ZipFile(GOLDEN / f"{name}.npz", "w", zipfile.ZIP_DEFLATED) as file:
        for key, array in arrays.items():
            buffer = io.BytesIO()
            np.save(buffer, array)
            file.writestr(zipfile.ZipInfo(f"{key}.npy"), buffer.getvalue(), zipfile.ZIP_DEFLATED)
