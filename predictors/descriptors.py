"""What the accuracy models read: one-hot features and what they add up to, in groups.

A model that sees one-hot genes only has to learn from few samples that kernels, widths, depths
and bits act alike in every block. Adding the costs and per-stage sums tells it; on the
accuracies of 1081 real ImageNet subnets it halves the samples that a Kendall tau needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from predictors.costs import cost_arrays
from predictors.features import FeatureColumns, feature_columns, fill_features, n_features
from search_spaces import SearchSpace
from search_spaces.arrays import Floats
from search_spaces.genome import Genomes

KINDS = ("kernel_size", "expand_ratio", "depth", "resolution", "w_bits", "a_bits")
COSTS = ("macs", "params", "mflops", "size_kb")
N_REFERENCE = 4096  # random genomes that centre and scale the descriptors
CONSTANT = 1e-5  # standard deviation below which a column counts as constant


@dataclass(frozen=True)
class Descriptors:
    """Centred and scaled descriptors of a space.

    Group by group (`descriptor_groups`): the one-hot kernel sizes, expand ratios, depths,
    resolution, weight bits and activation bits of `features`, only centred; then, scaled to
    unit variance, the logarithms of costs and resolution ("network") and sums over the blocks
    of each stage ("stages"). Centre and scale are those of random genomes of the space, not of
    any samples.

    Attributes:
        space: Space of the genomes.
        centre: Mean of each column, `(n_columns,)`.
        scale: What each centred column is divided by, `(n_columns,)`.
    """

    space: SearchSpace
    centre: Floats
    scale: Floats

    def __call__(self, X: Genomes) -> NDArray[np.float32]:
        """Descriptors `(n, n_columns)` of a checked batch, canonical or not."""
        raw = _raw(self.space, X)
        raw -= self.centre
        n_onehot = n_features(self.space)  # whose scale is 1
        raw[:, n_onehot:] /= self.scale[n_onehot:]
        return raw


@lru_cache(maxsize=16)
def descriptors_of(space: SearchSpace) -> Descriptors:
    """The descriptors of a space; the same object for equal spaces."""
    raw = _raw(space, space.layout.sample(np.random.default_rng(0), N_REFERENCE))
    spread = raw.std(axis=0, dtype=np.float64)
    scale = np.where(spread > CONSTANT, spread, 1.0)
    groups = descriptor_groups(space)
    scale[: groups["network"].start] = 1.0
    centre = raw.mean(axis=0, dtype=np.float64)
    return Descriptors(space, centre.astype(np.float32), scale.astype(np.float32))


@lru_cache(maxsize=16)
def descriptor_groups(space: SearchSpace) -> dict[str, slice]:
    """Columns of each group, in order; a space in floating point has no bit groups."""
    kinds = _kinds(space)
    sizes = {kind: int((kinds == kind).sum()) for kind in KINDS if (kinds == kind).any()}
    sizes["network"] = len(COSTS) + 1
    sizes["stages"] = (3 if space.layout.is_float else 5) * len(space.stages)
    ends = np.cumsum(list(sizes.values())).tolist()
    return {
        name: slice(end - size, end) for (name, size), end in zip(sizes.items(), ends, strict=True)
    }


def _kinds(space: SearchSpace) -> NDArray[np.str_]:
    """Which of `KINDS` each column of `features` is of."""
    columns, groups = feature_columns(space), space.layout.groups
    if space.layout.is_float:
        return columns.kind
    # Weight and activation bits take turns, weights first.
    side = (columns.gene - groups["first_block_bits"].start) % 2
    bits = np.where(side == 0, "w_bits", "a_bits")
    return np.where(np.char.endswith(columns.kind, "_bits"), bits, columns.kind)


@lru_cache(maxsize=16)
def _ordered_columns(space: SearchSpace) -> FeatureColumns:
    """The columns of `features`, kind after kind."""
    kinds = _kinds(space)
    order = np.concatenate([np.flatnonzero(kinds == kind) for kind in KINDS])
    return feature_columns(space).reordered(order)


def _raw(space: SearchSpace, X: Genomes) -> NDArray[np.float32]:
    layout, groups = space.layout, descriptor_groups(space)
    raw = np.empty((len(X), groups["stages"].stop), dtype=np.float32)
    if not layout.is_float:
        # The only silent genes that show in features: the first block has no expansion.
        first = layout.groups["first_block_bits"].start
        X = X.copy()
        X[:, first : first + 2] = 0
    fill_features(space, X, _ordered_columns(space), raw[:, : groups["network"].start])
    counts = cost_arrays(space, X, COSTS)
    network = raw[:, groups["network"]]
    for column, name in enumerate(COSTS):
        network[:, column] = np.log(counts[name])
    network[:, -1] = np.log(np.array(space.resolutions))[layout.group(X, "resolution")[:, 0]]

    skipped = layout.skipped_blocks(layout.depths(X))
    per_block = [np.ones(skipped.shape, dtype=np.float32)]
    for name in ("kernel_size", "expand_ratio"):
        genes = layout.groups[name]
        values = layout.value_table[genes].astype(np.float32)
        per_block.append(values[np.arange(layout.n_blocks), X[:, genes]])
    if not layout.is_float:
        # The variance of rounding falls fourfold with every bit.
        bits = layout.group(X, "block_bits").reshape(len(X), layout.n_blocks, 3, 2)
        for side, choices in enumerate((space.w_bit_choices, space.a_bit_choices)):
            noise = np.array([0.25**n for n in choices], dtype=np.float32)[bits[..., side]]
            per_block.append(noise[..., 0] + noise[..., 1] + noise[..., 2])
    stage = (np.arange(len(space.stages)) == layout.block_stage[:, None]).astype(np.float32)
    sums = raw[:, groups["stages"]].reshape(len(X), len(per_block), len(space.stages))
    for kind, values in enumerate(per_block):
        values[skipped] = 0
        sums[:, kind] = values @ stage
    return raw
