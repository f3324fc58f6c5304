"""The genomes that a search met already."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from pymoo.core.duplicate import DuplicateElimination
from pymoo.core.population import Population

from search_spaces.genome import Genomes

KEY_BYTES = 16


class SeenGenomes(DuplicateElimination):
    """Keeps only genomes that this search has not met before.

    What fell out of the population was dominated and stays so: nothing is evaluated twice.
    """

    def __init__(self) -> None:
        """Start with no genome seen."""
        super().__init__()
        self.seen: set[bytes] = set()

    def do(self, pop: Population, *_: object, **__: object) -> Population:
        """The members of `pop` with new genomes, each once; they count as seen from now on."""
        return pop[self.mark_new(pop.get("X"))] if len(pop) else pop

    def to_array(self) -> NDArray[np.uint8]:
        """The keys of all that was seen, `(n, 16)`, in no particular order."""
        return np.frombuffer(b"".join(self.seen), dtype=np.uint8).reshape(-1, KEY_BYTES)

    @classmethod
    def from_array(cls, keys: NDArray[np.uint8]) -> SeenGenomes:
        """What `to_array` described."""
        found = cls()
        found.seen = {key.tobytes() for key in keys}
        return found

    def mark_new(self, X: Genomes) -> NDArray[np.bool_]:
        """Which rows of the canonical genomes `X` are new, `(n,)`; adds them."""
        new = np.zeros(len(X), dtype=bool)
        for i, key in enumerate(genome_keys(X)):
            if key not in self.seen:
                self.seen.add(key)
                new[i] = True
        return new


def genome_keys(X: Genomes) -> list[bytes]:
    """A key of 16 bytes per row of the canonical genomes `X`; equal rows have equal keys.

    Different rows have different keys but for a chance of about 2^-100 per pair: the keys are
    two random linear combinations modulo 2^64.
    """
    hashes = X.astype(np.uint64) @ _multipliers(X.shape[1])
    return [row.tobytes() for row in hashes]


@lru_cache(maxsize=16)
def _multipliers(n_genes: int) -> NDArray[np.uint64]:
    rng = np.random.default_rng(0)
    return rng.integers(0, 2**64, size=(n_genes, 2), dtype=np.uint64)
