"""What a trained supernet and its teacher reach on the validation split."""

from __future__ import annotations

from qfa_search.images.memory import Images
from qfa_search.images.on_disk import FolderImages
from qfa_search.measuring.evaluation import evaluate
from qfa_search.measuring.subnets import LARGEST_SEQUENTIAL_SIDE
from qfa_search.supernet.extract import extract
from qfa_search.supernet.recalibrate import recalibrate
from qfa_search.training.recipe import Trained
from qfa_search.training.sandwich import with_uniform_bits

RECALIBRATION_BATCHES = 16
EVALUATION_BATCH = 250


def corner_scores(
    trained: Trained,
    train: Images | FolderImages,
    held_out: Images | FolderImages,
    batch_size: int,
) -> dict[str, float]:
    """Top-1 in percent of the teacher, and of largest and smallest architecture at each bit width.

    Args:
        trained: Supernet and teacher.
        train: Images to recalibrate on.
        held_out: Images to score on.
        batch_size: Images per batch of the training, which activation ranges depend on.
    """
    supernet, teacher = trained.supernet, trained.teacher
    space = supernet.space
    drawn = train.drawn(RECALIBRATION_BATCHES * batch_size)
    sequential = isinstance(train, Images) and max(space.resolutions) <= LARGEST_SEQUENTIAL_SIDE
    batches = held_out.batches(teacher.resolution, EVALUATION_BATCH)
    scores = {"teacher": evaluate(teacher.network, batches).top1}
    for name, architecture in (("largest", space.largest()), ("smallest", space.smallest())):
        for bits in reversed(space.bit_choices):
            network = extract(supernet, with_uniform_bits(architecture, bits))
            network.to(next(supernet.parameters()).device)
            side = architecture.resolution
            batches = drawn.batches(side, batch_size)
            recalibrate(network, batches, RECALIBRATION_BATCHES, sequential=sequential)
            batches = held_out.batches(side, EVALUATION_BATCH)
            scores[f"{name} {bits}/{bits}"] = evaluate(network, batches).top1
    return scores
