"""Fronts of one search in the whole space or with one bit width throughout."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.claims.bench import Bench
from benchmarks.claims.finished import Numbers
from predictors import AccuracyPredictor
from predictors.files import file_digest
from qfa_search import search
from search_spaces import LayerBits, SearchSpace
from search_spaces.arrays import Floats
from search_spaces.genome import Genomes

MIXED = "mixed"


@dataclass(frozen=True, slots=True)
class UniformPredictor:
    """A predictor of the whole space, asked about subnets with one bit width throughout.

    Attributes:
        whole: The predictor.
        space: The same architectures with one bit choice.
    """

    whole: AccuracyPredictor
    space: SearchSpace

    def predict(self, X: Genomes) -> Floats:
        """Top-1 in percent of genomes of `space`, `(n,)`."""
        return self.whole.predict(in_whole_space(self.space, self.whole.space, X))


def uniform_space(space: SearchSpace, bits: LayerBits) -> SearchSpace:
    """The architectures of `space` with the same bits throughout."""
    return replace(
        space,
        name=f"{space.name}, {bits} bits",
        w_bit_choices=(bits.w_bits,),
        a_bit_choices=(bits.a_bits,),
    )


def in_whole_space(uniform: SearchSpace, whole: SearchSpace, X: Genomes) -> Genomes:
    """Genomes of a `uniform_space` as canonical genomes of the space that it was made from."""
    layout = whole.layout
    return layout.canonicalize(layout.from_published(uniform.layout.to_published(X)))


def front_names(space: SearchSpace) -> dict[str, LayerBits | None]:
    """The fronts to search and the bits of each, None for all of them mixed."""
    return {MIXED: None, **{str(bits): bits for bits in space.uniform_bits}}


def searched_front(bench: Bench, name: str, population: int, generations: int) -> Genomes:
    """Canonical genomes of one front, cheapest first: same predictor, same evaluations.

    No search starts from the samples of the supernet: few of them are uniform.
    """
    bits = front_names(bench.space)[name]
    settings = {
        **bench.settings,
        "predictor": file_digest(bench.files.predictor),
        "population": population,
        "generations": generations,
    }

    def run(folder: Path) -> Numbers:
        whole = AccuracyPredictor.load(bench.files.predictor)
        space = whole.space if bits is None else uniform_space(whole.space, bits)
        front = search(
            space=space,
            predictor=whole if bits is None else UniformPredictor(whole, space),
            population=population,
            generations=generations,
            seed=0,
        )
        X = front.X if bits is None else in_whole_space(space, whole.space, front.X)
        return {"X": X.tolist()}

    numbers = bench.runs.numbers(f"front-{name.replace('/', '-')}", settings, run)
    return np.array(numbers["X"], dtype=np.int64)
