"""Whether a further round of quantized steps follows: the validation split decides."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from qfa_search.training.gaps import gaps, mean_of_corners, noise
from qfa_search.training.recipe import Trained

logger = logging.getLogger(__name__)


@dataclass
class GapWatch:
    """What was measured so far, and what follows from it.

    Attributes:
        score: The `corner_scores` of what was trained.
        n_images: That these are measured on.
        scores: The last ones; None before the first.
    """

    score: Callable[[Trained], Mapping[str, float]]
    n_images: int
    scores: Mapping[str, float] | None = None

    def goes_on(self, trained: Trained) -> bool:
        """Whether a gap is wide and the last round, if there was one, gave more than noise."""
        before, self.scores = self.scores, self.score(trained)
        error, left = noise(self.scores, self.n_images), gaps(self.scores)
        if before is not None:
            gain = mean_of_corners(self.scores) - mean_of_corners(before)
            if gain <= error:
                logger.info(
                    "the last round gave %.1f points, no more than noise of %.1f: the end",
                    *(gain, error),
                )
                return False
        is_on = left.are_wide(error)
        logger.info("%s: %s", left, "a further round follows" if is_on else "close enough")
        return is_on
