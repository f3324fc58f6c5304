"""What a network scored, as a value."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a network scored.

    Attributes:
        top1: Percent of images whose largest logit is the label's.
        cross_entropy: Mean over images, in nats.
        n_images: Images seen.
        confusion: Images of each class (row) by predicted class (column), counts
            `(n_classes, n_classes)`; None where it was not kept.
    """

    top1: float
    cross_entropy: float
    n_images: int
    confusion: NDArray[np.int64] | None = field(default=None, compare=False)

    @property
    def class_top1(self) -> tuple[float, ...]:
        """Percent of the images of each class that are right, NaN for a class without any."""
        if self.confusion is None:
            return ()
        n = self.confusion.sum(axis=1)
        hits = 100.0 * self.confusion.diagonal()
        share = np.divide(hits, n, out=np.full(len(n), np.nan), where=n > 0)
        return tuple(share.tolist())
