"""A front measured on validation and on test images: its table, and what was promised too much.

    qfa-search --supernet fashion-mnist --max-mflops 20 --measure 10 --data fashion-mnist \
        --out runs/measured
    qfa-search evaluate --supernet fashion-mnist --data fashion-mnist --split test \
        runs/measured/front.json
    python -m benchmarks.measured_front runs/measured

Measures nothing: the two commands before it left the scores, those of a bundled supernet beside the
front, those of any other beside that.
"""

from __future__ import annotations

import argparse
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.parts.report import markdown_table
from predictors import AccuracyPredictor
from qfa_search import ParetoFront
from qfa_search.measuring.samples import read_samples
from qfa_search.measuring.sampling import SAMPLES_NAME
from qfa_search.supernet.files import resolve_supernet
from search_spaces.arrays import Floats
from search_spaces.genome import Genomes

Scores = dict[bytes, float]


def scores(file: Path, front: ParetoFront, split: str) -> tuple[Genomes, Floats]:
    """Subnets in a samples file that were measured on the images of `split`, with their top-1."""
    found = read_samples(file, supernet=front.supernet_digest, split=split)
    return found.X, found.frame["top1"].to_numpy()


def _of(X: Genomes, top1: Floats) -> Scores:
    return {x.tobytes(): float(score) for x, score in zip(X, top1, strict=True)}


def table(front: ParetoFront, test: Floats) -> str:
    """A row for each member, cheapest first."""
    rows = zip(
        front.costs["mflops"],
        front.costs["size_kb"],
        front.top1_predicted,
        front.top1_measured,
        test,
        strict=True,
    )
    cells = [(f"{m:.3f}", f"{kb:.1f}", *(f"{v:.2f}" for v in top1)) for m, kb, *top1 in rows]
    heads = ("MFLOPs", "size KB", "predicted", "measured, validation", "measured, test")
    return markdown_table(heads, cells)


def told(front: ParetoFront, test: Floats, is_new: NDArray[np.bool_], promised: Floats) -> str:
    """What the search promised too much, and how far test scores are below validation scores.

    Args:
        front: With measured top-1.
        test: Top-1 on test images, `(n,)`.
        is_new: Which members the search measured, the others being samples, `(n,)`.
        promised: Predicted less measured top-1 of all that the search measured.
    """
    lines = [
        f"{len(promised)} subnets measured by the search: {promised.mean():.2f} points less on "
        "validation images than predicted, on average."
        if len(promised)
        else "The search measured no subnet that was not stored before."
    ]
    for chosen, name in ((is_new, "that the search measured"), (~is_new, "from the samples")):
        if chosen.any():
            lost = float((front.top1_measured - test)[chosen].mean())
            lines.append(
                f"{int(chosen.sum())} of {len(front)} members {name}: {lost:.2f} points less on "
                "test than on validation images, on average."
            )
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    """Read and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="what the search wrote")
    folder: Path = parser.parse_args(arguments).folder
    front = ParetoFront.load(folder / "front.json")
    files = resolve_supernet(front.supernet)
    X, top1 = scores(folder / SAMPLES_NAME, front, "val")
    # What was stored of the supernet before was copied, not measured again.
    before = _of(*scores(files.samples, front, "val"))
    is_measured = np.array([x.tobytes() not in before for x in X])
    X, top1 = X[is_measured], top1[is_measured]
    predictor = AccuracyPredictor.load(files.predictor)
    new, tested = _of(X, top1), {}
    # `evaluate` stores scores beside the supernet, of a bundled one beside the front.
    for file in (files.samples, folder / SAMPLES_NAME):
        with suppress(ValueError):
            tested |= _of(*scores(file, front, "test"))
    members = [x.tobytes() for x in front.X]
    if not set(members) <= tested.keys():
        parser.error("not all members have test scores: run qfa-search evaluate --split test first")
    test = np.array([tested[member] for member in members])
    is_new = np.array([member in new for member in members])
    print(table(front, test))
    print()
    print(told(front, test, is_new, predictor.predict(X) - top1))


if __name__ == "__main__":
    main()
