"""A supernet as one file: weights, and in its metadata the space, the data and the recipe."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from predictors.files import load_tensors, save_tensors
from qfa_search.errors import CheckpointMismatchError
from qfa_search.supernet.files import resolve_supernet, space_of
from qfa_search.supernet.mobilenet_v3 import Supernet


def save_supernet(path: str | Path, supernet: Supernet, metadata: Mapping[str, Any]) -> None:
    """Write `supernet` to a safetensors file, whole or not at all."""
    tensors = {name: value.detach().cpu().numpy() for name, value in supernet.state_dict().items()}
    save_tensors(path, "supernet", tensors, {**metadata, "space": supernet.space.to_dict()})


def read_supernet(path: str | Path) -> tuple[Supernet, dict[str, Any]]:
    """The supernet and the metadata of a file.

    Raises:
        ValueError: Missing, truncated or foreign file.
        CheckpointMismatchError: Its weights do not fit its space.
    """
    tensors, metadata = load_tensors(path, "supernet")
    supernet = Supernet(space_of(Path(path), metadata))
    state = {name: torch.from_numpy(value) for name, value in tensors.items()}
    try:
        supernet.load_state_dict(state)
    except RuntimeError as error:
        raise CheckpointMismatchError(
            f"{path} does not fit its space: {' '.join(str(error).split())[:300]}"
        ) from error
    return supernet, metadata


def load_supernet(name: str | Path | None = None) -> Supernet:
    """A bundled supernet by name, or the one in a file or folder.

    Its statistics are those it was stored with: recalibrate what you extract from it.

    Raises:
        ValueError: No such supernet, or an unreadable file.
        CheckpointMismatchError: Its weights do not fit its space.
    """
    return read_supernet(resolve_supernet(name).weights)[0]
