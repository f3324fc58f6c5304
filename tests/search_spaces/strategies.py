"""Small search spaces and genomes for property tests."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from search_spaces import SearchSpace, Stage, TableWidths


def choices(*values: int, most: int = 3) -> st.SearchStrategy[tuple[int, ...]]:
    """Rising choices out of `values`."""
    subsets = st.sets(st.sampled_from(values), min_size=1, max_size=most)
    return subsets.map(lambda chosen: tuple(sorted(chosen)))


stages = st.builds(
    Stage,
    width=st.sampled_from((4, 8, 12)),
    stride=st.sampled_from((1, 2)),
    depths=choices(1, 2, 3),
    kernel_sizes=choices(1, 3, 5),
    expand_ratios=choices(1, 2, 3),
    activation=st.sampled_from(("relu", "hswish")),
    has_se=st.booleans(),
)


@st.composite
def bit_choices(draw: st.DrawFn) -> dict[str, tuple[int, ...]]:
    """Choices for weights and activations: none, the same for both, or apart."""
    some = choices(1, 2, 3, 4, 5, 8, 32)
    both = draw(st.one_of(st.just(()), some))
    if not both or draw(st.booleans()):
        return {"bit_choices": both}
    return {"w_bit_choices": both, "a_bit_choices": draw(some)}


@st.composite
def spaces(draw: st.DrawFn) -> SearchSpace:
    """Any space of up to three stages, quantized or not, with a cost table or not."""
    drawn = tuple(draw(st.lists(stages, min_size=1, max_size=3)))
    widths = None
    if draw(st.booleans()):
        widths = TableWidths(
            input_channels=2,
            stem=9,
            stages=tuple(stage.width + 1 for stage in drawn),
            final_expand=20,
            feature_mix=18,
            n_classes=3,
        )
    return SearchSpace(
        name="drawn",
        input_channels=draw(st.sampled_from((1, 3))),
        n_classes=3,
        resolutions=draw(choices(8, 9, 12, 14, 16)),
        **draw(bit_choices()),
        stem_width=8,
        stem_stride=draw(st.sampled_from((1, 2))),
        stem_bits=draw(st.sampled_from((8, 32))),
        classifier_bits=draw(st.sampled_from((8, 32))),
        stages=drawn,
        final_expand_width=16,
        feature_mix_width=16,
        table_widths=widths,
    )


@st.composite
def spaces_with_genomes(draw: st.DrawFn, n: int = 8) -> tuple[SearchSpace, np.ndarray]:
    """A space and `n` genomes of it that are not canonical in general."""
    space = draw(spaces())
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    layout = space.layout
    return space, rng.integers(layout.n_choices, size=(n, layout.n_genes))
