"""The state of an unfinished phase, saved often enough to lose little; the last two are kept."""

from __future__ import annotations

import io
import logging
import pickle
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from predictors.files import atomic_path
from qfa_search.errors import CheckpointMismatchError
from qfa_search.training.config import TrainConfig

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a phase is saved to and loaded from.

    Attributes:
        path: File of the newest state; the one before it has `.previous` in its name.
        config: Recipe, which must not change on the way.
        network: Network in training.
        optimizer: Its optimizer.
        scaler: Of the loss; idle unless the training runs in float16.
    """

    path: Path
    config: TrainConfig
    network: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler

    @property
    def previous(self) -> Path:
        """File of the state before the newest."""
        return self.path.with_suffix(f".previous{self.path.suffix}")

    def save(self, step: int) -> None:
        """Write the state after `step` steps, whole or not at all."""
        state = {
            "config": asdict(self.config),
            "step": step,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
        }
        content = io.BytesIO()  # to a file, torch tells of a full disk as an error of its own
        torch.save(state, content)
        with atomic_path(self.path) as temporary:
            temporary.write_bytes(content.getbuffer())
            if self.path.exists():
                self.path.replace(self.previous)

    def load(self) -> int:
        """Load the newest readable state; returns the step to go on with, 0 without any.

        Raises:
            CheckpointMismatchError: Every file is damaged, or comes from another recipe.
        """
        damaged = []
        for path in (self.path, self.previous):
            if not path.is_file():
                continue
            try:
                state = torch.load(path, weights_only=True, map_location="cpu")
            except (pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
                damaged.append(f"{path} ({error})")
                continue
            if damaged:
                logger.warning("%s is damaged, going on from %s", self.path, path)
            return self._take(path, state)
        if damaged:
            raise CheckpointMismatchError(
                f"not a readable checkpoint: {' and '.join(damaged)}; remove it to start again"
            )
        return 0

    def _take(self, path: Path, state: dict[str, Any]) -> int:
        expected = asdict(self.config)
        if state["config"] != expected:
            differ = sorted(k for k, v in expected.items() if state["config"].get(k) != v)
            raise CheckpointMismatchError(
                f"{path} was made with other settings ({', '.join(differ)}): give the same, or "
                "another --out"
            )
        try:
            self.network.load_state_dict(state["network"])
        except RuntimeError as error:
            raise CheckpointMismatchError(
                f"{path} is of another search space: give the same, or another --out"
            ) from error
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        return int(state["step"])
