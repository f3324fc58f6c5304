"""The files of the published release, read without running any code in them."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from predictors import cost_arrays
from qfa_search.errors import CheckpointMismatchError
from search_spaces import SearchSpace
from search_spaces.arrays import Floats
from search_spaces.plain_data import (
    finite_number,
    parse_json,
    read_integers,
    read_text,
    whole_number,
)

if TYPE_CHECKING:
    from torch import Tensor

PUBLISHED_SPACE = "mobilenet-v3-w1.2"
CHECKPOINT = "b234_ps.pth"
SAMPLES = "qsamples_8k.json"
ARCHITECTURES = "pareto_archs.npy"

N_OUTLIER_ROUNDS = 4
N_NEIGHBOURS = 5
OUTLIER_DEVIATIONS = 3.0


@dataclass(frozen=True)
class PublishedSamples:
    """Measured subnets as published.

    Attributes:
        X: Canonical genomes, each once, `(n, n_genes)`.
        top1: Percent, `(n,)`; the mean where a genome was measured more than once.
        published_mflops: The cost that the file gives, `(n,)`.
        n_rows: Rows of the file, repeated genomes included.
        cost_error: Largest relative difference between that cost and ours.
    """

    X: NDArray[np.int64]
    top1: Floats
    published_mflops: Floats
    n_rows: int
    cost_error: float

    def without_outliers(self) -> PublishedSamples:
        """The samples that `outliers` does not name."""
        kept = ~outliers(self.published_mflops, self.top1)
        return PublishedSamples(
            self.X[kept],
            self.top1[kept],
            self.published_mflops[kept],
            self.n_rows,
            self.cost_error,
        )


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The state of a `.pth` file; tensors stay on disk until they are used.

    A file that also holds other things may keep the state under "state_dict", and a prefix
    "module." of distributed training on every key is taken off.

    Raises:
        ValueError: Missing or unreadable file, or one with anything but tensors and plain data
            in it, which is never run.
        CheckpointMismatchError: There is no state in it.
    """
    import torch

    def load(*, mmap: bool) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # about protocols of plain pickles
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)

    try:
        try:
            data = load(mmap=True)
        except RuntimeError:  # the format before PyTorch 1.6 cannot be mapped
            data = load(mmap=False)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path} is refused: it is no plain checkpoint, or holds code, which is never run"
        ) from error
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror or error}") from error
    except Exception as error:  # the unpickler raises whatever damaged bytes lead it to
        raise ValueError(f"{path} is not a readable checkpoint: {error!r}") from error
    if isinstance(data, Mapping) and isinstance(data.get("state_dict"), Mapping):
        data = data["state_dict"]
    if not isinstance(data, Mapping) or not all(isinstance(name, str) for name in data):
        raise CheckpointMismatchError(f"{path} holds no state: expected tensors by name")
    if data and all(name.startswith("module.") for name in data):
        data = {name.removeprefix("module."): value for name, value in data.items()}
    return dict(data)


def _whole(name: str, value: object) -> int:
    """`value`, if it is a whole number, written with digits or as a decimal too."""
    if isinstance(value, str) or (isinstance(value, float) and value.is_integer()):
        return int(value)
    return whole_number(name, value)


def read_samples_json(path: Path, space: SearchSpace) -> PublishedSamples:
    """The published samples: a list of objects with ks, e, d, r, bs, acc1 and lut_flops.

    Raises:
        ValueError: Missing file, or a row that is not of this form or of the space.
    """
    try:
        rows = parse_json(read_text(path, "samples"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    if not isinstance(rows, list) or not rows:
        raise ValueError(f"{path} must hold a list of samples")
    n_groups = space.layout.n_blocks + 5  # stem, first block, blocks, head of two, classifier
    values, top1, cost = [], [], []
    for number, row in enumerate(rows):
        try:
            bits = row["bs"]
            if len(bits) != n_groups:
                raise ValueError(f"bs has {len(bits)} entries, expected {n_groups}")
            # The first convolution and the classifier, at both ends, have no genes.
            digits = [_whole("a width in bs", bit) for group in bits[1:-1] for bit in group]
            side = _whole("r", row["r"])
            values.append([*row["ks"], *row["e"], *row["d"], side, *digits])
            top1.append(finite_number("acc1", row["acc1"]))
            cost.append(finite_number("lut_flops", row["lut_flops"]))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"{path}, sample {number}: {error!r}") from error
        if len(values[-1]) != space.layout.n_genes:
            raise ValueError(
                f"{path}, sample {number} has {len(values[-1])} genes, expected "
                f"{space.layout.n_genes}"
            )
    X = _canonical(path, space, values)
    ours = cost_arrays(space, X, ["published_mflops"])["published_mflops"]
    X, first, group = np.unique(X, axis=0, return_index=True, return_inverse=True)
    group = group.reshape(-1)
    return PublishedSamples(
        X=X,
        top1=np.bincount(group, np.array(top1)) / np.bincount(group),
        published_mflops=np.array(cost)[first],
        n_rows=len(rows),
        cost_error=float(np.abs(np.array(cost) / ours - 1).max()),
    )


def read_architectures(path: Path, space: SearchSpace) -> NDArray[np.int64]:
    """Canonical genomes `(n, n_genes)` of an array of published gene values.

    Raises:
        ValueError: Missing file, one with objects in it (which is never run), or foreign genes.
    """
    try:
        genes = read_integers(path)
    except ValueError as error:
        raise ValueError(f"the array of architectures is refused: {error}") from error
    return _canonical(path, space, genes)


def outliers(cost: Floats, top1: Floats) -> NDArray[np.bool_]:
    """Which samples stand apart from their neighbours in (cost, top-1), `(n,)`.

    Both are scaled to unit deviation. In each of four rounds a sample goes whose mean distance
    to its 5 nearest neighbours exceeds the mean of all by three deviations. Rounds, neighbours
    and plane are those of the published recipe; its threshold is not described, this one is ours.
    """
    from sklearn.neighbors import NearestNeighbors

    points = np.column_stack([cost, top1])
    points = (points - points.mean(axis=0)) / np.maximum(points.std(axis=0), 1e-12)
    kept = np.arange(len(points))
    for _ in range(N_OUTLIER_ROUNDS):
        if len(kept) <= N_NEIGHBOURS:
            break
        neighbours = NearestNeighbors(n_neighbors=N_NEIGHBOURS).fit(points[kept])
        distance = neighbours.kneighbors()[0].mean(axis=1)
        kept = kept[distance <= distance.mean() + OUTLIER_DEVIATIONS * distance.std()]
    mask = np.ones(len(points), dtype=bool)
    mask[kept] = False
    return mask


def _canonical(
    path: Path, space: SearchSpace, values: Sequence[Sequence[int]] | NDArray[np.integer[Any]]
) -> NDArray[np.int64]:
    """Canonical genomes of gene values; genes without effect may hold anything."""
    layout = space.layout
    genes = np.array(values)
    if genes.ndim != 2 or genes.shape[1] != layout.n_genes or genes.dtype.kind not in "iu":
        raise ValueError(
            f"{path} must hold integer genes of shape (n, {layout.n_genes}), got "
            f"{genes.dtype} {genes.shape}"
        )
    silent = layout.silent_at(genes[:, layout.groups["depth"]])
    lowest = layout.to_published(layout.lowest()[None])
    try:
        return layout.canonicalize(layout.from_published(np.where(silent, lowest, genes)))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
