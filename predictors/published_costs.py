"""The cost of the published look-up table, whose widths and sizes are not the network's."""

from __future__ import annotations

import numpy as np

from predictors.counts import BITOPS_PER_MAC
from predictors.tables import Counts, LayerTable, shape_sizes
from search_spaces import SearchSpace, make_divisible

NORM_OPS = 2  # operations of batch norm per output value, charged for every convolution


def published_table(space: SearchSpace) -> LayerTable:
    """Multiply-accumulates of every layer as the published table counts them.

    Weighted by `w_bits * a_bits` and divided by 64e6 they sum to the published MFLOPs. The
    numbers of `block_fixed` and `fixed` are already weighted, with 8 x 8 bits.

    The table differs from the network in four ways. Widths are those of `space.table_widths`,
    colours and classes too. Batch norm counts two operations per output value. Maps start from
    floors of the resolution (`resolution // stride`); only inside the first block of a stage is
    the depthwise output the ceiling, and where that differs from the floor, the projection's
    extra pixels are charged at 8 x 8 bits whatever its bits are. Squeeze-and-excite is charged
    with the bits of the depthwise layer, since it is a part of its entry.

    Raises:
        ValueError: `space` has no `table_widths`.

    References:
        The look-up table released with Bai et al., BatchQuant, NeurIPS 2021,
        https://arxiv.org/abs/2105.08952; these closed forms reproduce its entries.
    """
    widths = space.table_widths
    if widths is None:
        raise ValueError(f"space {space.name} has no published cost table (table_widths)")
    n_resolutions, n_kernels, n_expands = shape_sizes(space)
    n_blocks = space.layout.n_blocks
    blocks = np.zeros((n_resolutions, n_kernels, n_expands, n_blocks, 3), dtype=np.int64)
    rest = np.zeros(blocks.shape[:-1], dtype=np.int64)
    # Axes from here on: resolution, kernel, expand.
    resolution = np.array(space.resolutions)[:, None, None]
    total_stride = space.stem_stride
    width, block = widths.stem, 0
    for stage, stage_width in zip(space.stages, widths.stages, strict=True):
        kernel = _padded(stage.kernel_sizes, n_kernels)[:, None]
        for j in range(stage.n_blocks):
            stride = stage.stride if j == 0 else 1
            hidden = width * _padded(stage.expand_ratios, n_expands)
            size = resolution // total_stride
            ceil, floor = -(-size // stride), size // stride
            blocks[:, :, :, block, 0] = hidden * (width + NORM_OPS) * size**2
            blocks[:, :, :, block, 1] = hidden * (kernel**2 + NORM_OPS) * ceil**2
            if stage.has_se:
                blocks[:, :, :, block, 1] += _squeeze_excite(hidden)
            project = stage_width * (hidden + NORM_OPS)
            blocks[:, :, :, block, 2] = project * floor**2
            rest[:, :, :, block] = project * (ceil**2 - floor**2)
            width, block, total_stride = stage_width, block + 1, total_stride * stride
    first = np.array(space.resolutions) // space.stem_stride
    last = np.array(space.resolutions) // total_stride
    ends = [
        widths.stem * (9 + NORM_OPS) * first**2,
        widths.stem * (widths.stem + NORM_OPS) * first**2,
        widths.final_expand * (width + NORM_OPS) * last**2,
        np.full(n_resolutions, widths.feature_mix * (widths.final_expand + NORM_OPS)),
    ]
    stem = widths.stem * (9 * widths.input_channels + NORM_OPS) * first**2
    classifier = np.full(n_resolutions, widths.feature_mix * widths.n_classes)
    n_shapes = n_resolutions * n_kernels * n_expands
    return LayerTable(
        blocks=blocks.reshape(n_shapes, n_blocks, 3),
        block_fixed=BITOPS_PER_MAC * rest.reshape(n_shapes, n_blocks),
        ends=np.stack(ends, axis=1),
        fixed=BITOPS_PER_MAC * np.stack([stem, classifier], axis=1),
    )


def _padded(choices: tuple[int, ...], n: int) -> Counts:
    return np.array([*choices, *[choices[-1]] * (n - len(choices))])


def _squeeze_excite(hidden: Counts) -> Counts:
    squeezed = np.array([make_divisible(int(m) // 4) for m in hidden])
    return np.asarray(2 * hidden * squeezed + hidden + squeezed)
