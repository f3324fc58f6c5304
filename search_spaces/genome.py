"""The gene layout, written once: names, order and choices of every gene of a space.

A genome is an int64 array of choice *indices*, `(n_genes,)`, a batch `(n, n_genes)`. The order
is the published one: kernel sizes, expand ratios, depths, resolution, then bits (w, a of
expansion, depthwise, projection; first block before the others; two head layers last). The first
block has no expansion; its two expansion genes exist in the order and have no effect. A place
with a single choice has a gene too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from search_spaces.bit_choices import side_by_side
from search_spaces.stage import Stage
from search_spaces.subnet import FLOAT, BlockChoice, LayerBits, Subnet

Genomes = NDArray[np.int64]

BITS_PER_BLOCK = 6


@dataclass(frozen=True, slots=True)
class Gene:
    """One gene: what it is called and the values its indices stand for."""

    name: str
    choices: tuple[int, ...]


class GenomeLayout:
    """Where each choice of a space stands in its genomes.

    Attributes:
        name: Name of the space.
        stages: Its elastic part.
        is_float: Whether it has no bit genes.
        uniform_bits: Widths that all layers may have alike, from the fewest bits to the most.
        genes: Names and choices, in order.
        n_genes: Length of a genome.
        n_choices: Choices per gene, `(n_genes,)`.
        groups: Slice of each named group: kernel_size, expand_ratio, depth, resolution and,
            unless the space is in floating point, first_block_bits, block_bits, head_bits.
        value_table: Value of each choice of each gene, `(n_genes, most choices)`, zeros beyond.
        block_stage: Stage index of each searchable block, `(n_blocks,)`.
        block_position: Position of each block inside its stage, from 0, `(n_blocks,)`.
    """

    def __init__(
        self,
        name: str,
        resolutions: tuple[int, ...],
        stages: tuple[Stage, ...],
        w_bit_choices: tuple[int, ...],
        a_bit_choices: tuple[int, ...],
    ) -> None:
        """Lay out the genes of the space that is called `name`.

        Args:
            name: What error messages call the space.
            resolutions: Choices of the image side.
            stages: The elastic part.
            w_bit_choices: Choices of every gene of weight bits; none in floating point.
            a_bit_choices: Choices of every gene of activation bits; none in floating point.
        """
        self.name = name
        self.stages = stages
        self.is_float = not w_bit_choices
        self.uniform_bits = side_by_side(w_bit_choices, a_bit_choices)
        blocks = [(s, j) for s, stage in enumerate(stages) for j in range(stage.n_blocks)]
        self.block_stage = np.array([s for s, _ in blocks])
        self.block_position = np.array([j for _, j in blocks])
        groups: dict[str, list[Gene]] = {
            "kernel_size": [
                Gene(f"kernel_size_{b}", stages[s].kernel_sizes) for b, (s, _) in enumerate(blocks)
            ],
            "expand_ratio": [
                Gene(f"expand_ratio_{b}", stages[s].expand_ratios)
                for b, (s, _) in enumerate(blocks)
            ],
            "depth": [Gene(f"depth_{s}", stage.depths) for s, stage in enumerate(stages)],
            "resolution": [Gene("resolution", resolutions)],
        }
        if not self.is_float:
            sides = {"w": w_bit_choices, "a": a_bit_choices}

            def bits(*layers: str) -> list[Gene]:
                return [Gene(f"{n}_{s}_bits", sides[s]) for n in layers for s in sides]

            groups["first_block_bits"] = bits(*(f"first_block_{n}" for n in _BLOCK_LAYERS))
            groups["block_bits"] = bits(
                *(f"block_{b}_{n}" for b in range(len(blocks)) for n in _BLOCK_LAYERS)
            )
            groups["head_bits"] = bits("head_final_expand", "head_feature_mix")
        self.genes: tuple[Gene, ...] = tuple(g for group in groups.values() for g in group)
        self.groups: dict[str, slice] = {}
        start = 0
        for name, group in groups.items():
            self.groups[name] = slice(start, start + len(group))
            start += len(group)
        self.n_genes = start
        self.n_blocks = len(blocks)
        self.n_choices: Genomes = np.array([len(gene.choices) for gene in self.genes])
        self.value_table: Genomes = np.zeros(
            (self.n_genes, int(self.n_choices.max())), dtype=np.int64
        )
        for i, gene in enumerate(self.genes):
            self.value_table[i, : len(gene.choices)] = gene.choices

    def group(self, X: Genomes, name: str) -> Genomes:
        """The columns of one named group, a view."""
        return X[..., self.groups[name]]

    def values(self, X: Genomes) -> Genomes:
        """Choice values in place of choice indices, same shape."""
        return self.value_table[np.arange(self.n_genes), X]

    def lowest(self) -> Genomes:
        """Genome with the first choice everywhere."""
        return np.zeros(self.n_genes, dtype=np.int64)

    def highest(self) -> Genomes:
        """Genome with the last choice everywhere, in canonical form."""
        return self.canonicalize(self.n_choices - 1)

    def depths(self, X: Genomes) -> Genomes:
        """Depth of every stage of the genomes `X`, a value, `(n, n_stages)`."""
        depth = self.groups["depth"]
        return self.value_table[np.arange(depth.start, depth.stop), X[:, depth]]

    def skipped_blocks(self, depths: Genomes) -> NDArray[np.bool_]:
        """Which searchable blocks lie beyond the depths of their stages, `(n, n_blocks)`."""
        return np.asarray(self.block_position >= depths[:, self.block_stage])

    def silent(self, X: Genomes) -> NDArray[np.bool_]:
        """Which genes have no effect in their genome, same shape as `X`, see `silent_at`."""
        return self.silent_at(self.depths(self.check(X)))

    def silent_at(self, depths: Genomes) -> NDArray[np.bool_]:
        """Which genes have no effect where the stages have these `depths`, `(n, n_genes)`.

        Silent are kernel, expand and bit genes of blocks beyond the depth, and the expansion
        bits of the first block.
        """
        skipped = self.skipped_blocks(depths)
        mask = np.zeros((len(depths), self.n_genes), dtype=bool)
        mask[:, self.groups["kernel_size"]] = skipped
        mask[:, self.groups["expand_ratio"]] = skipped
        if "block_bits" in self.groups:
            mask[:, self.groups["block_bits"]] = np.repeat(skipped, BITS_PER_BLOCK, axis=1)
            first = self.groups["first_block_bits"].start
            mask[:, first : first + 2] = True
        return mask

    def canonicalize(self, X: Genomes) -> Genomes:
        """A copy with every silent gene 0, so that equal networks have equal genomes.

        Takes one genome or a batch and returns the same shape.
        """
        batch = self.check(np.atleast_2d(X))
        return np.where(self.silent_at(self.depths(batch)), 0, batch).reshape(np.shape(X))

    def contains(self, X: Genomes) -> NDArray[np.bool_]:
        """Which rows of `X` are genomes of this layout, `(n,)`."""
        genomes = np.atleast_2d(X)
        if genomes.shape[1] != self.n_genes:
            return np.zeros(len(genomes), dtype=bool)
        return np.asarray(((genomes >= 0) & (genomes < self.n_choices)).all(axis=1))

    def check(self, X: ArrayLike) -> Genomes:
        """`X` as an int64 batch.

        Raises:
            ValueError: Wrong shape, not integers, or an index out of range.
        """
        array = np.asarray(X)
        if array.ndim != 2 or array.shape[1] != self.n_genes:
            raise ValueError(f"expected genomes of shape (n, {self.n_genes}), got {array.shape}")
        if not np.issubdtype(array.dtype, np.integer):
            raise ValueError(f"expected integer genomes, got dtype {array.dtype}")
        # One unsigned comparison covers negative indices too.
        bad = array.astype(np.uint64, copy=False) >= self.n_choices.astype(np.uint64)
        if bad.any():
            row, column = (int(i) for i in np.argwhere(bad)[0])
            raise ValueError(
                f"gene {self.genes[column].name} of genome {row} must be an index below "
                f"{self.n_choices[column]}, got {array[row, column]}"
            )
        return array.astype(np.int64, copy=False)

    def sample(self, rng: np.random.Generator, n: int) -> Genomes:
        """`n` random canonical genomes, every gene uniform over its choices."""
        return self.canonicalize(rng.integers(self.n_choices, size=(n, self.n_genes)))

    def encode(self, subnet: Subnet) -> Genomes:
        """Canonical genome of `subnet`, `(n_genes,)`.

        Raises:
            ValueError: `subnet` is not a member of the space; the message names the gene.
        """
        blocks: list[BlockChoice | None] = []
        if len(subnet.stages) != len(self.stages):
            raise ValueError(
                f"{self.name} has {len(self.stages)} stages, the subnet has {len(subnet.stages)}"
            )
        for spec, stage in zip(self.stages, subnet.stages, strict=True):
            blocks += [*stage, *[None] * (spec.n_blocks - len(stage))]
        values: list[int | None] = [block.kernel_size if block else None for block in blocks]
        values += [block.expand_ratio if block else None for block in blocks]
        values += [len(stage) for stage in subnet.stages]
        values.append(subnet.resolution)
        layers = [None, *subnet.first_block]
        for block in blocks:
            layers += [block.expand, block.depthwise, block.project] if block else [None] * 3
        layers += subnet.head
        if not self.is_float:
            for bits in layers:
                values += [bits.w_bits, bits.a_bits] if bits else [None, None]
        elif any(bits not in (None, FLOAT) for bits in layers):
            raise ValueError(f"{self.name} is in floating point: all bits must be 32")
        # A stage that is too deep shows in its depth gene, which is checked before lengths.
        for s, gene in enumerate(self.genes[self.groups["depth"]]):
            _index(gene, len(subnet.stages[s]))
        return np.array(
            [0 if v is None else _index(g, v) for g, v in zip(self.genes, values, strict=True)],
            dtype=np.int64,
        )

    def decode(self, x: Genomes) -> Subnet:
        """The subnet of one genome `(n_genes,)`; silent genes are ignored.

        Raises:
            ValueError: Wrong shape or an index out of range.
        """
        x = np.asarray(x)
        row = self.values(self.check(x[None])[0]).tolist()
        kernels, expands = row[self.groups["kernel_size"]], row[self.groups["expand_ratio"]]
        if not self.is_float:
            flat = row[self.groups["first_block_bits"].start :]
            layers = [LayerBits(w, a) for w, a in zip(flat[::2], flat[1::2], strict=True)]
        else:
            layers = [FLOAT] * (3 * self.n_blocks + 5)
        stages: list[tuple[BlockChoice, ...]] = []
        block = 0
        for spec, depth in zip(self.stages, row[self.groups["depth"]], strict=True):
            stages.append(
                tuple(
                    BlockChoice(kernels[b], expands[b], *layers[3 + 3 * b : 6 + 3 * b])
                    for b in range(block, block + depth)
                )
            )
            block += spec.n_blocks
        return Subnet(
            row[self.groups["resolution"].start],
            (layers[1], layers[2]),
            tuple(stages),
            (layers[-2], layers[-1]),
        )

    def from_published(self, genes: ArrayLike) -> Genomes:
        """Choice indices of published gene values, `(n, n_genes)` to `(n, n_genes)`.

        Silent genes keep their value; `canonicalize` removes them.

        Raises:
            ValueError: Wrong shape, or a value that its gene does not have.
        """
        values = np.asarray(genes)
        if values.ndim != 2 or values.shape[1] != self.n_genes:
            raise ValueError(
                f"expected published genes of shape (n, {self.n_genes}), got {values.shape}"
            )
        used = np.arange(self.value_table.shape[1]) < self.n_choices[:, None]
        hit = (values[:, :, None] == self.value_table) & used
        bad = ~hit.any(axis=2)
        if bad.any():
            row, column = (int(i) for i in np.argwhere(bad)[0])
            gene = self.genes[column]
            raise ValueError(
                f"gene {gene.name} must be one of {gene.choices}, got {values[row, column]} "
                f"in row {row}"
            )
        return np.asarray(hit.argmax(axis=2))

    def to_published(self, X: Genomes) -> Genomes:
        """Gene values in the published order, `(n, n_genes)`."""
        return self.values(self.check(X))


_BLOCK_LAYERS = ("expand", "depthwise", "project")


def _index(gene: Gene, value: int) -> int:
    try:
        return gene.choices.index(value)
    except ValueError:
        raise ValueError(f"gene {gene.name} must be one of {gene.choices}, got {value}") from None
