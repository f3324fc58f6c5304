"""Genomes as the 0/1 vectors that an accuracy predictor reads."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from predictors.tables import chunks
from search_spaces import SearchSpace
from search_spaces.genome import Genomes

NO_DIGIT = np.uint8(255)
BLOCK_GROUPS = ("kernel_size", "expand_ratio", "block_bits")


def n_features(space: SearchSpace) -> int:
    """Length of one feature vector of `space`."""
    return len(feature_columns(space).gene)


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
    for part, rows in zip(chunks(genomes), chunks(result), strict=True):
        fill_features(space, part, feature_columns(space), rows)
    return result


@dataclass(frozen=True)
class FeatureColumns:
    """What each column of the features asks for.

    Attributes:
        kind: Name of the gene group that each column is about, `(n_features,)`.
        gene: Gene that each column reads, `(n_features,)`.
        digit: Choice index for which it is set, `(n_features,)`.
        depth_start: First of the columns of depths, which are one after the other.
        depth_widths: Columns of each stage's depth.
    """

    kind: NDArray[np.str_]
    gene: NDArray[np.int64]
    digit: NDArray[np.uint8]
    depth_start: int
    depth_widths: tuple[int, ...]

    def reordered(self, order: NDArray[np.int64]) -> FeatureColumns:
        """The columns in another order, which leaves those of depths together."""
        return FeatureColumns(
            self.kind[order],
            self.gene[order],
            self.digit[order],
            int(np.flatnonzero(order == self.depth_start)[0]),
            self.depth_widths,
        )


@lru_cache(maxsize=16)
def feature_columns(space: SearchSpace) -> FeatureColumns:
    """The columns of `features` of a space."""
    layout = space.layout
    depths = layout.groups["depth"]
    widths = layout.n_choices.copy()
    widths[depths] = [stage.n_blocks for stage in space.stages]
    first = np.cumsum(widths) - widths
    kind = np.empty(layout.n_genes, dtype="U16")
    for name, genes in layout.groups.items():
        kind[genes] = name
    gene = np.repeat(np.arange(layout.n_genes), widths)
    return FeatureColumns(
        kind=kind[gene],
        gene=gene,
        digit=(np.arange(widths.sum()) - np.repeat(first, widths)).astype(np.uint8),
        depth_start=int(first[depths.start]),
        depth_widths=tuple(widths[depths].tolist()),
    )


def fill_features(
    space: SearchSpace, X: Genomes, columns: FeatureColumns, result: NDArray[np.float32]
) -> None:
    """Write the features of the checked genomes `X` into `result`, in the order of `columns`.

    `result` may be the left part of a wider array.
    """
    layout = space.layout
    depth = layout.depths(X)
    skipped = layout.skipped_blocks(depth)
    digits = X.astype(np.uint8)
    for name in BLOCK_GROUPS:
        if name in layout.groups:
            genes = layout.groups[name]
            per_block = (genes.stop - genes.start) // layout.n_blocks
            entries = digits[:, genes].reshape(len(X), layout.n_blocks, per_block)
            np.copyto(entries, NO_DIGIT, where=skipped[:, :, None])
    result[:] = digits.take(columns.gene, axis=1) == columns.digit
    start = columns.depth_start
    for s, width in enumerate(columns.depth_widths):
        result[:, start : start + width] = np.arange(width) < depth[:, s, None]
        start += width
