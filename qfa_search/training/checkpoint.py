"""The state of an unfinished phase, saved often enough to lose little; the last two are kept."""

from __future__ import annotations

import hashlib
import io
import logging
import pickle
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from predictors.files import atomic_path
from qfa_search.errors import CheckpointMismatchError
from qfa_search.training.config import TrainConfig, read_recipe

# The first line of a file, with the SHA-256 of everything after it. Files of older versions begin
# with what torch writes and have no digest.
MARK = b"qfa-search checkpoint, sha256 "
OLDER_MARK = b"PK"
PARTS = {"config": dict, "step": int, "network": dict, "optimizer": dict, "scaler": dict}

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a phase is saved to and loaded from.

    Attributes:
        path: File of the newest state; the one before it has `.previous` in its name.
        config: Recipe, which must not change on the way.
        origins: What else must not: space, images, teacher and start, as JSON values by name.
        network: Network in training.
        optimizer: Its optimizer.
        scaler: Of the loss; idle unless the training runs in float16.
    """

    path: Path
    config: TrainConfig
    origins: Mapping[str, object]
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
            "origins": dict(self.origins),
            "step": step,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
        }
        content = io.BytesIO()  # to a file, torch tells of a full disk as an error of its own
        torch.save(state, content)
        digest = hashlib.sha256(content.getbuffer()).hexdigest().encode()
        with atomic_path(self.path) as temporary:
            with temporary.open("wb") as file:
                file.write(MARK + digest + b"\n")
                file.write(content.getbuffer())
            if self.path.exists():
                self.path.replace(self.previous)

    def load(self) -> int:
        """Load the newest readable state; returns the step to go on with, 0 without any.

        Raises:
            CheckpointMismatchError: No file is readable, or the newest that is comes from another
                recipe, space, data set, teacher or start.
        """
        damaged = []
        for path in (self.path, self.previous):
            if not path.is_file():
                continue
            try:
                state = _read(path)
            except (ValueError, OSError) as error:
                damaged.append(f"{path} ({error})")
                continue
            self._check(path, state)
            try:
                self.network.load_state_dict(state["network"])
                self.optimizer.load_state_dict(state["optimizer"])
                self.scaler.load_state_dict(state["scaler"])
            except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
                raise CheckpointMismatchError(
                    f"{path} is not a readable checkpoint of this training: it holds another "
                    "network or optimizer; remove it to start again, or give another --out"
                ) from error
            if damaged:
                logger.warning("not a readable checkpoint: %s; going on from %s", damaged[0], path)
            return int(state["step"])
        if damaged:
            raise CheckpointMismatchError(
                f"not a readable checkpoint: {' and '.join(damaged)}; remove it to start again"
            )
        return 0

    def _check(self, path: Path, state: Mapping[str, Any]) -> None:
        """Raise if anything that must not change did; the message names each difference."""
        try:
            then = asdict(read_recipe(state["config"]))
        except ValueError as error:
            raise CheckpointMismatchError(
                f"{path} is not a readable checkpoint: {error}"
            ) from error
        differ = [
            f"{name} {then[name]!r}, now {value!r}"
            for name, value in asdict(self.config).items()
            if then[name] != value
        ]
        origins = state.get("origins")
        if isinstance(origins, dict):
            differ += [
                f"another {name}{_keys(origins.get(name), value)}"
                for name, value in self.origins.items()
                if origins.get(name) != value
            ]
        if differ:
            raise CheckpointMismatchError(
                f"{path} was made with other settings ({', '.join(differ)}): give the same, or "
                "another --out"
            )


def _keys(then: object, now: object) -> str:
    """Which entries of two different values differ, if both have entries."""
    if not (isinstance(then, dict) and isinstance(now, dict)):
        return ""
    names = sorted(key for key in {*then, *now} if then.get(key) != now.get(key))
    return f": {', '.join(names)}"


def _read(path: Path) -> dict[str, Any]:
    """The state in a file, which is complete and of the right types.

    Raises:
        ValueError: The content is damaged, foreign or of an older layout.
        OSError: The file cannot be read.
    """
    content = path.read_bytes()
    if content.startswith(MARK):
        head, _, content = content.partition(b"\n")
        if hashlib.sha256(content).hexdigest().encode() != head.removeprefix(MARK):
            raise ValueError("its content is not what was written")
    elif not content.startswith(OLDER_MARK):
        raise ValueError("it is no checkpoint, or its first bytes are damaged")
    try:
        # Without any code from the file: tensors, numbers and texts alone.
        state = torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
    except (pickle.UnpicklingError, RuntimeError, EOFError, LookupError, TypeError, ValueError):
        raise ValueError("torch cannot read it, or it holds more than tensors") from None
    if not isinstance(state, dict) or any(
        not isinstance(state.get(name), kind) for name, kind in PARTS.items()
    ):
        raise ValueError("it is a torch file of something else, or of an older layout")
    return state
