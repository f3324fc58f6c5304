"""How far subnets are from what teaches them, and whether training on pays."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean

FAR_BELOW_TEACHER = 2.0  # percentage points
FAR_BELOW_LARGEST = 10.0  # the smallest subnets cannot do all that the largest do


@dataclass(frozen=True, slots=True)
class Gaps:
    """Percentage points of the validation split that training on might give.

    Attributes:
        teacher: What the best largest subnet lacks to the teacher.
        largest: What the smallest subnets lack to the largest, the mean over bit widths.
    """

    teacher: float
    largest: float

    def are_wide(self, noise: float) -> bool:
        """Whether one is wider than it may be, and than noise."""
        return self.teacher > max(FAR_BELOW_TEACHER, noise) or self.largest > max(
            FAR_BELOW_LARGEST, noise
        )

    def __str__(self) -> str:
        """Both in words."""
        return (
            f"the largest subnet is {max(self.teacher, 0):.1f} points below its teacher, the "
            f"smallest {max(self.largest, 0):.1f} below the largest"
        )


def gaps(scores: Mapping[str, float]) -> Gaps:
    """Both gaps.

    Args:
        scores: Those of `corner_scores`.
    """
    largest = _of("largest", scores)
    smallest = _of("smallest", scores)
    differences = [largest[bits] - smallest[bits] for bits in largest.keys() & smallest.keys()]
    return Gaps(
        teacher=scores.get("teacher", 0.0) - max(largest.values(), default=100.0),
        largest=fmean(differences) if differences else 0.0,
    )


def below_teacher(scores: Mapping[str, float]) -> float:
    """Percentage points that the best largest subnet lacks to its teacher; 0 if it is close."""
    gap = gaps(scores).teacher
    return gap if gap > FAR_BELOW_TEACHER else 0.0


def mean_of_corners(scores: Mapping[str, float]) -> float:
    """Mean top-1 of the largest and smallest subnets, in percent; the teacher's without any."""
    corners = [*_of("largest", scores).values(), *_of("smallest", scores).values()]
    return fmean(corners or [scores["teacher"]])


def noise(scores: Mapping[str, float], n_images: int) -> float:
    """Standard error of a mean top-1 on so many images, in points; one image at least."""
    share = mean_of_corners(scores) / 100
    return 100 * max(math.sqrt(share * (1 - share) / n_images), 1 / n_images)


def _of(name: str, scores: Mapping[str, float]) -> dict[str, float]:
    """Top-1 of the largest or smallest subnets by bit width."""
    return {
        bits: top1
        for corner, top1 in scores.items()
        for architecture, _, bits in [corner.partition(" ")]
        if architecture == name
    }
