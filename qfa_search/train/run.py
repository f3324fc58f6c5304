"""One whole training: images, split, supernet, its scores, the file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from qfa_search.data import open_data
from qfa_search.errors import DataError, QFAError
from qfa_search.supernet.storage import save_supernet
from qfa_search.train.config import TrainConfig
from qfa_search.train.distributed import join_world
from qfa_search.train.loop import Progress, train_supernet
from qfa_search.train.scores import corner_scores
from search_spaces import SearchSpace

SUPERNET_FILE = "supernet.safetensors"


def train(
    space: SearchSpace,
    source: str,
    out: Path,
    config: TrainConfig,
    *,
    resume: bool = False,
    on_step: Callable[[Progress], None],
) -> Path:
    """Train a supernet of `space` on the images of `source`; returns the file it is in.

    Args:
        space: What to train.
        source: "fashion-mnist" or a folder.
        out: Folder for the checkpoints and `supernet.safetensors`.
        config: Recipe.
        resume: Go on from the checkpoints in `out`.
        on_step: Called after every step, in the first process only.

    Raises:
        QFAError: `out` holds a supernet already, or checkpoints and `resume` is not set.
        DataError: The images do not fit the space or cannot be read.
        TrainingError: The loss is not a number any more.
    """
    path = out / SUPERNET_FILE
    if path.exists():
        raise QFAError(f"{path} exists already: choose another --out")
    if not resume and any(out.glob("*.ckpt")):
        raise QFAError(f"{out} holds an unfinished training: add --resume, or choose another --out")
    data = open_data(
        source, channels=space.input_channels, resolution=max(space.resolutions), split_seed=0
    )
    if data.n_classes != space.n_classes:
        raise DataError(f"{source} has {data.n_classes} classes, {space.name} {space.n_classes}")
    out.mkdir(parents=True, exist_ok=True)
    with join_world() as world:
        supernet = train_supernet(
            space,
            data.images("train"),
            config,
            out,
            world=world,
            on_step=on_step if world.is_first else _silent,
        )
        if world.is_first:
            metadata = {
                "data": source if source == "fashion-mnist" else Path(source).name,
                "split": {"seed": data.split_seed, "digest": data.split_digest},
                "recipe": asdict(config),
                "processes": world.size,
                "scores": corner_scores(
                    supernet, data.images("train"), data.images("val"), config.batch_size
                ),
            }
            save_supernet(path, supernet, metadata)
    return path


def _silent(progress: Progress) -> None:
    """What processes other than the first show."""
