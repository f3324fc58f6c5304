"""What a trained supernet and its teacher reach on the validation split."""

from __future__ import annotations

from qfa_search.images.memory import Images
from qfa_search.images.on_disk import FolderImages
from qfa_search.measuring.evaluation import evaluate
from qfa_search.measuring.scoring import (
    EVALUATION_BATCH,
    LARGEST_SEQUENTIAL_SIDE,
    RecalibrationSetting,
    scores,
)
from qfa_search.training.recipe import Trained
from qfa_search.training.sandwich import with_uniform_bits


def corner_scores(
    trained: Trained,
    train: Images | FolderImages,
    held_out: Images | FolderImages,
    batch_size: int,
) -> dict[str, float]:
    """Top-1 in percent of the teacher, and of largest and smallest architecture at uniform bits.

    Args:
        trained: Supernet and teacher.
        train: Images to recalibrate on.
        held_out: Images to score on.
        batch_size: Images per batch of the training, which activation ranges depend on.
    """
    supernet, teacher = trained.supernet, trained.teacher
    space = supernet.space
    setting = RecalibrationSetting.as_trained(
        batch_size,
        sequential=isinstance(train, Images) and max(space.resolutions) <= LARGEST_SEQUENTIAL_SIDE,
    )
    corners = {
        f"{name} {bits}": with_uniform_bits(architecture, bits)
        for name, architecture in (("largest", space.largest()), ("smallest", space.smallest()))
        for bits in reversed(space.uniform_bits)
    }
    found = scores(
        supernet,
        list(corners.values()),
        train.drawn(setting.n_images),
        held_out,
        setting,
        device=str(next(supernet.parameters()).device),
    )
    batches = held_out.batches(teacher.resolution, EVALUATION_BATCH)
    return {
        "teacher": evaluate(teacher.network, batches).top1,
        **{name: score.top1 for name, score in zip(corners, found, strict=True)},
    }
