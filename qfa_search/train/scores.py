"""What a trained supernet reaches at its corners, on the validation split."""

from __future__ import annotations

from qfa_search.data import Images
from qfa_search.evaluation import evaluate
from qfa_search.supernet.extract import extract
from qfa_search.supernet.mobilenet_v3 import Supernet
from qfa_search.supernet.recalibrate import recalibrate
from qfa_search.train.sandwich import with_uniform_bits

RECALIBRATION_BATCHES = 16


def corner_scores(
    supernet: Supernet, train: Images, held_out: Images, batch_size: int
) -> dict[str, float]:
    """Top-1 in percent of largest and smallest architecture at each bit width throughout.

    Args:
        supernet: After training.
        train: Images to recalibrate on.
        held_out: Images to score on.
        batch_size: Images per batch of the training, which activation ranges depend on.
    """
    space = supernet.space
    drawn = train.drawn(RECALIBRATION_BATCHES * batch_size)
    scores = {}
    for name, architecture in (("largest", space.largest()), ("smallest", space.smallest())):
        for bits in reversed(space.bit_choices):
            network = extract(supernet, with_uniform_bits(architecture, bits))
            side = architecture.resolution
            recalibrate(network, drawn.batches(side, batch_size), RECALIBRATION_BATCHES)
            scores[f"{name} {bits}/{bits}"] = evaluate(network, held_out.batches(side, 250)).top1
    return scores
