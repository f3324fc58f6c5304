"""Several subnets scored in one pass over a folder of images: each image is decoded once."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import islice

import torch

from qfa_search.images.on_disk import FolderImages
from qfa_search.measuring.evaluation import Score
from qfa_search.measuring.result import Evaluation
from qfa_search.supernet.extract import extract
from qfa_search.supernet.mobilenet_v3 import Supernet
from qfa_search.supernet.recalibrate import Recalibration
from search_spaces import Subnet

EVALUATION_BATCH = 64
DECODERS_FOR_GPU = 16


def score_together(
    supernet: Supernet,
    subnets: Sequence[Subnet],
    train: FolderImages,
    held_out: FolderImages,
    *,
    n_batches: int,
    batch_size: int,
    device: str,
) -> list[Evaluation]:
    """Extract, recalibrate and evaluate subnets, two passes over images for all of them.

    On a GPU tensors are channels-last, and evaluation runs in half precision where torch's
    autocast allows it; quantizers and recalibration stay in float32.

    Args:
        supernet: Where the subnets come from.
        subnets: What to score.
        train: Images to recalibrate on.
        held_out: Images to score on.
        n_batches: Batches of recalibration.
        batch_size: Images of such a batch.
        device: "cpu", "cuda" or "cuda:N".

    Returns:
        An evaluation for each subnet.
    """
    networks = [
        extract(supernet, subnet).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        for subnet in subnets
    ]
    resolutions = sorted({subnet.resolution for subnet in subnets})
    threads = min(DECODERS_FOR_GPU, os.cpu_count() or 1) if device != "cpu" else 1
    runs = [Recalibration(network) for network in networks]
    for images, _ in islice(train.batches_at(resolutions, batch_size, threads=threads), n_batches):
        for subnet, run in zip(subnets, runs, strict=True):
            run.add(images[subnet.resolution])
    for run in runs:
        run.finish()
    scores = [Score() for _ in networks]
    with torch.inference_mode(), half_precision(device):
        for images, labels in held_out.batches_at(resolutions, EVALUATION_BATCH, threads=threads):
            there = {r: x.to(device, memory_format=torch.channels_last) for r, x in images.items()}
            labels = labels.to(device)
            for subnet, network, score in zip(subnets, networks, scores, strict=True):
                score.add(network(there[subnet.resolution]), labels)
    return [score.result() for score in scores]


def half_precision(device: str) -> AbstractContextManager[object]:
    """Autocast to float16 on a GPU; nothing on a CPU."""
    if device != "cpu":
        return torch.autocast("cuda", dtype=torch.float16)
    return nullcontext()
