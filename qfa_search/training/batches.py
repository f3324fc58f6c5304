"""The images of each training step, drawn from the seed and the step's number alone.

Nothing is remembered from step to step, so a run that was interrupted goes on with the images
that it would have seen, and a step can be prepared while another one runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qfa_search.errors import DataError
from qfa_search.images.memory import Images, resize
from qfa_search.images.on_disk import FolderImages
from qfa_search.images.threads import one_ahead
from qfa_search.training.augment import Views, draw_views, n_views, shifted, show, view_of_all
from qfa_search.training.config import TrainConfig
from qfa_search.training.policy import with_policy
from qfa_search.training.teacher import Teacher

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TrainBatch:
    """What one subnet sees in one part of a step.

    Attributes:
        images: Normalized images `(n, channels, r, r)` at the subnet's resolution r.
        labels: Class indices, int64 `(n,)`.
        teacher_logits: `(n, n_classes)`, where they were computed beforehand.
    """

    images: Tensor
    labels: Tensor
    teacher_logits: Tensor | None = None

    def to(self, device: torch.device) -> TrainBatch:
        """The batch on a device, copied while the device computes."""
        if device.type == "cpu":
            return self

        def moved(x: Tensor, layout: torch.memory_format = torch.preserve_format) -> Tensor:
            return x.pin_memory().to(device, non_blocking=True, memory_format=layout)

        return TrainBatch(
            moved(self.images, torch.channels_last),
            moved(self.labels),
            None if self.teacher_logits is None else moved(self.teacher_logits),
        )


class TrainSource(Protocol):
    """Where the batches of a training come from."""

    def __len__(self) -> int:
        """Images per epoch."""
        ...

    def batch(self, step: int, part: int, resolutions: Mapping[int, int]) -> dict[int, TrainBatch]:
        """The images of some subnets of one part of a step; resolutions are given by place."""
        ...


@dataclass(frozen=True)
class MemoryBatches:
    """Batches of images in memory, each in one of its views and shifted.

    Each subnet of a step goes through the images in an order of its own: so a step learns from
    as many images as it computes passes, at no cost.

    Attributes:
        train: The training split at the largest resolution.
        config: Recipe.
        teacher_logits: `(n_views, n, n_classes)`, if there is a teacher; without one the views are
            drawn anew each time.
    """

    train: Images
    config: TrainConfig
    teacher_logits: Tensor | None = None

    def __len__(self) -> int:
        return len(self.train)

    def batch(self, step: int, part: int, resolutions: Mapping[int, int]) -> dict[int, TrainBatch]:
        """The images of some subnets of one part of a step; resolutions are given by place."""
        return {place: self._batch(step, part, place, r) for place, r in resolutions.items()}

    def _batch(self, step: int, part: int, subnet: int, resolution: int) -> TrainBatch:
        indices = part_indices(len(self.train), self.config, step, part, order=subnet)
        taken = self.train.take(indices)
        sequence = np.random.SeedSequence([self.config.seed, 2, step, part, subnet])
        generator = torch.Generator().manual_seed(int(sequence.generate_state(1)[0]))
        numbers = torch.randint(
            n_views(len(self.train), self.config), (len(taken),), generator=generator
        )
        if self.teacher_logits is None:
            logits, views = None, draw_views(numbers, self.config, generator)
        else:
            at = numbers, torch.from_numpy(indices)
            logits, views = self.teacher_logits[at], self._views.take(at)
        taken = with_policy(taken, numbers, self.config)
        inputs = show(taken.normalized(), views, self.config)
        shift = round(self.config.shift_share * inputs.shape[-1])
        inputs = resize(shifted(inputs, shift, generator), resolution)
        return TrainBatch(inputs, taken.labels, logits)

    @cached_property
    def _views(self) -> Views:
        """Every view of every image, `(n_views, n)` of them."""
        n = len(self.train)
        views = [view_of_all(n, v, self.config) for v in range(n_views(n, self.config))]
        return Views(
            torch.stack([view.boxes for view in views]),
            torch.stack([view.colours for view in views]),
        )


@dataclass(frozen=True)
class FolderBatches:
    """Random crops of images on disk, decoded when they are needed, once for all subnets.

    Attributes:
        train: The training split.
        config: Recipe.
        threads: Decoders.
    """

    train: FolderImages
    config: TrainConfig
    threads: int

    def __len__(self) -> int:
        return len(self.train)

    def batch(self, step: int, part: int, resolutions: Mapping[int, int]) -> dict[int, TrainBatch]:
        """The images of some subnets of one part of a step, the same for all."""
        taken = self.train.take(part_indices(len(self.train), self.config, step, part))
        sequence = np.random.SeedSequence([self.config.seed, 2, step, part])
        cropped = taken.with_crops(
            int(sequence.generate_state(1)[0]),
            least_area=self.config.crop_share,
            flips=self.config.flip,
        )
        found = cropped.batches_at(
            sorted(set(resolutions.values())), self.config.batch_size, threads=self.threads
        )
        images, labels = next(found, (None, None))
        if images is None or labels is None:
            raise DataError(f"no image of step {step} can be read: repair or remove them")
        return {place: TrainBatch(images[r], labels) for place, r in resolutions.items()}


def part_indices(
    n: int, config: TrainConfig, step: int, part: int, *, order: int = 0
) -> NDArray[np.int64]:
    """The images of one part of a step: consecutive places of a permutation drawn per epoch.

    Each `order` has permutations of its own.
    """
    first = step * config.images_per_step + part * config.batch_size
    positions = np.arange(first, first + config.batch_size)
    pieces = []
    for epoch in np.unique(positions // n):
        permutation = np.random.default_rng([config.seed, 1, int(epoch), order]).permutation(n)
        pieces.append(permutation[positions[positions // n == epoch] % n])
    return np.concatenate(pieces)


def prefetched(tasks: Iterable[Callable[[], T]], *, is_eager: bool) -> Iterator[T]:
    """Results of `tasks` in order; when eager, each is computed in a thread one ahead."""
    return one_ahead(tasks) if is_eager else (task() for task in tasks)


@torch.no_grad()
def teacher_logits_in_memory(
    teacher: Teacher,
    train: Images,
    config: TrainConfig,
    *,
    batch_size: int,
    device: torch.device,
    share: slice,
) -> Tensor:
    """Logits `(n_views, n, n_classes)` of all views of the images, on the CPU.

    Args:
        teacher: Network in evaluation mode.
        train: Images at any resolution.
        config: Recipe, which says what the views are.
        batch_size: Images per pass.
        device: Where the teacher is.
        share: Which of the batches to compute; the others are left at 0.
    """
    n = len(train)
    views = [view_of_all(n, number, config) for number in range(n_views(n, config))]
    logits = torch.zeros(len(views), n, teacher.n_classes)
    for start in range(0, n, batch_size)[share]:
        at = torch.arange(start, min(start + batch_size, n))
        images = train.take(at.numpy())
        for number, of_all in enumerate(views):
            shown = with_policy(images, torch.full((len(at),), number), config).normalized()
            seen = resize(show(shown, of_all.take(at), config), teacher.resolution)
            logits[number, at] = teacher.network(seen.to(device)).float().cpu()
    return logits
