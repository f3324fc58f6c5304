"""The state of an unfinished training, saved often enough to lose little."""

from __future__ import annotations

import pickle
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from predictors.files import atomic_path
from qfa_search.errors import CheckpointMismatchError
from qfa_search.train.config import TrainConfig


def save_checkpoint(
    path: Path,
    *,
    config: TrainConfig,
    phase: str,
    step: int,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
) -> None:
    """Write what `load_checkpoint` needs, whole or not at all."""
    state = {
        "config": asdict(config),
        "phase": phase,
        "step": step,
        "network": network.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    with atomic_path(path) as temporary:
        torch.save(state, temporary)


def load_checkpoint(
    path: Path,
    *,
    config: TrainConfig,
    phase: str,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
) -> int:
    """Load network and optimizer; returns the step to go on with, 0 if there is nothing.

    Raises:
        CheckpointMismatchError: The file is damaged or comes from another recipe.
    """
    if not path.is_file():
        return 0
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        raise CheckpointMismatchError(
            f"{path} is not a readable checkpoint ({error}): remove it to start again"
        ) from error
    if state["config"] != asdict(config):
        differ = sorted(k for k, v in asdict(config).items() if state["config"].get(k) != v)
        raise CheckpointMismatchError(
            f"{path} was made with other settings ({', '.join(differ)}): give the same, or "
            "another --out"
        )
    if state["phase"] != phase:
        raise CheckpointMismatchError(f"{path} is of phase {state['phase']}, not {phase}")
    network.load_state_dict(state["network"])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["step"])
