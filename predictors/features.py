"""Genomes as the 0/1 vectors that an accuracy predictor reads."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from search_spaces import SearchSpace
from search_spaces.genome import Genomes

CHUNK = 1024  # genomes at a time: the intermediate arrays stay in the cache
NO_DIGIT = 255


def n_features(space: SearchSpace) -> int:
    """Length of one feature vector of `space`."""
    return len(_columns(space).gene)


def features(space: SearchSpace, X: ArrayLike) -> NDArray[np.float32]:
    """Feature vectors of genomes, in the order of the published encoding.

    One-hot kernel sizes and expand ratios, block by block; depths as thermometers as wide as
    the largest depth (the first `depth` entries set); one-hot resolution; one-hot bits of the
    first block (as given, its two silent genes too), of every block and of the head; a
    space in floating point has no bits. All entries of a block beyond its stage's depth are 0.
    Digits rise with the choice. A gene with a single choice has one column.

    Args:
        space: Space of the genomes.
        X: Genomes `(n, n_genes)`, canonical or not.

    Returns:
        Zeros and ones, `(n, n_features(space))`.

    Raises:
        ValueError: `X` is no batch of genomes of `space`.

    References:
        The encoding released with Bai et al., BatchQuant, NeurIPS 2021,
        https://arxiv.org/abs/2105.08952
    """
    genomes = space.layout.check(X)
    result = np.empty((len(genomes), n_features(space)), dtype=np.float32)
    for start in range(0, len(genomes), CHUNK):
        _fill(space, genomes[start : start + CHUNK], result[start : start + CHUNK])
    return result


@dataclass(frozen=True)
class _Columns:
    """What each column asks for.

    Attributes:
        gene: Gene that the column reads, `(n_features,)`.
        digit: Choice index for which it is set, `(n_features,)`.
        block: Block that must exist, or -1 for genes of no block, `(n_genes,)`.
        thermometers: First column and width of each stage's depth.
    """

    gene: NDArray[np.int64]
    digit: NDArray[np.uint8]
    block: NDArray[np.int64]
    thermometers: tuple[tuple[int, int], ...]


@lru_cache(maxsize=16)
def _columns(space: SearchSpace) -> _Columns:
    layout = space.layout
    depths = layout.groups["depth"]
    widths = layout.n_choices.copy()
    widths[depths] = [stage.n_blocks for stage in space.stages]
    first = np.cumsum(widths) - widths
    block = np.full(layout.n_genes, -1)
    for name in ("kernel_size", "expand_ratio", "block_bits"):
        if name in layout.groups:
            genes = layout.groups[name]
            per_block = (genes.stop - genes.start) // layout.n_blocks
            block[genes] = np.repeat(np.arange(layout.n_blocks), per_block)
    return _Columns(
        gene=np.repeat(np.arange(layout.n_genes), widths),
        digit=(np.arange(widths.sum()) - np.repeat(first, widths)).astype(np.uint8),
        block=block,
        thermometers=tuple(zip(first[depths].tolist(), widths[depths].tolist(), strict=True)),
    )


def _fill(space: SearchSpace, X: Genomes, result: NDArray[np.float32]) -> None:
    """Write the features of a chunk of genomes into `result`."""
    columns, layout = _columns(space), space.layout
    depth_index = layout.group(X, "depth")
    depth = [np.array(g.depths)[depth_index[:, s], None] for s, g in enumerate(space.stages)]
    exists = layout.block_position < np.concatenate(depth, axis=1)[:, layout.block_stage]
    # The last entry stands for genes that belong to no block.
    exists = np.concatenate([exists, np.ones((len(X), 1), dtype=bool)], axis=1)
    digits = np.where(exists[:, columns.block], X, NO_DIGIT).astype(np.uint8)
    result[:] = digits.take(columns.gene, axis=1) == columns.digit
    for s, (start, width) in enumerate(columns.thermometers):
        result[:, start : start + width] = np.arange(width) < depth[s]
