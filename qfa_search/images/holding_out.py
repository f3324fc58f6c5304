"""Images held out of those to train on: by a seed, every class on each side, copies together."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qfa_search.images.layout import SplitName

TRAIN_SHARE_OF_VAL, MOST_VAL = 12, 10_000
SHARE_OF_TEST = 10
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Groups:
    """Byte-identical images as one, in the order of their first.

    Attributes:
        of_image: The group of each image, int64 `(n,)`.
        labels: The label of each group's first image, int64 `(n_groups,)`.
    """

    of_image: Labels
    labels: Labels

    @classmethod
    def of(cls, labels: Labels, digests: Sequence[str] | None, needed: int = 1) -> Groups:
        """Groups of equal digests; every image is one of its own without digests.

        Copies in several classes count for the class of the first. Where that leaves a class
        with fewer than `needed` groups, copies in different classes go their own ways.
        """
        if digests is None:
            return cls(np.arange(len(labels)), labels)
        groups = cls._of_keys(labels, digests)
        counts = np.bincount(groups.labels, minlength=int(labels.max(initial=-1)) + 1)
        if (counts[np.unique(labels)] >= needed).all():
            return groups
        return cls._of_keys(labels, list(zip(labels.tolist(), digests, strict=True)))

    @classmethod
    def _of_keys(cls, labels: Labels, keys: Sequence[Hashable]) -> Groups:
        places: dict[Hashable, int] = {}
        of_image = np.array([places.setdefault(k, len(places)) for k in keys], dtype=np.int64)
        _, first = np.unique(of_image, return_index=True)
        return cls(of_image, labels[first])

    def __len__(self) -> int:
        return len(self.labels)


def hold_out_validation(labels: Labels, seed: int) -> tuple[Labels, Labels]:
    """Sorted indices to train on and to validate on: a twelfth, at most 10,000, stratified."""
    return _hold_out(labels, min(MOST_VAL, len(labels) // TRAIN_SHARE_OF_VAL), seed)


def hold_out_test(labels: Labels, seed: int) -> tuple[Labels, Labels]:
    """Sorted indices to go on with and to test on: a tenth, stratified."""
    return _hold_out(labels, len(labels) // SHARE_OF_TEST, seed)


def assigned(labels: Labels, seed: int, *, val: bool, test: bool) -> NDArray[np.str_]:
    """The split of each of so many things, with those of val and test that are asked for."""
    parts = np.full(len(labels), "train", dtype="<U5")
    rest = np.arange(len(labels))
    if test:
        rest, held_out = hold_out_test(labels, seed)
        parts[held_out] = "test"
    if val:
        _, held_out = hold_out_validation(labels[rest], seed)
        parts[rest[held_out]] = "val"
    return parts


def with_every_class(
    parts: NDArray[np.str_],
    labels: Labels,
    is_fixed: NDArray[np.bool_],
    made: Sequence[SplitName],
    seed: int,
) -> NDArray[np.str_]:
    """`parts` with as few changes as give each of the splits `made` every class.

    A class lends to a split that lacks it from the split where it has most; what is fixed stays.

    Args:
        parts: The split of each thing.
        labels: Its class.
        is_fixed: Whether its split must stay.
        made: The splits that may be changed.
        seed: Of the choice.
    """
    parts = parts.copy()
    rng = np.random.default_rng(seed)
    for label in np.unique(labels):
        own = labels == label
        for part in made:
            if (own & (parts == part)).any():
                continue
            counts = {p: int((own & (parts == p)).sum()) for p in made}
            lenders = [p for p in made if counts[p] > 1 and (own & (parts == p) & ~is_fixed).any()]
            if lenders:
                lender = max(lenders, key=lambda p: counts[p])
                parts[rng.choice(np.flatnonzero(own & (parts == lender) & ~is_fixed))] = part
    return parts


def _hold_out(labels: Labels, n_held_out: int, seed: int) -> tuple[Labels, Labels]:
    """Sorted indices of the kept and the held out, at least as many of those as classes."""
    from sklearn.model_selection import train_test_split

    kept, held_out = train_test_split(
        np.arange(len(labels)),
        test_size=max(n_held_out, len(np.unique(labels))),
        random_state=seed,
        stratify=labels,
    )
    return np.sort(kept), np.sort(held_out)
