"""Recalibrate and score: where every real number of a subnet comes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from search_spaces import Subnet

if TYPE_CHECKING:
    from qfa_search.images.memory import Images
    from qfa_search.images.on_disk import FolderImages
    from qfa_search.measuring.result import Evaluation
    from qfa_search.supernet.extract import StaticNetwork
    from qfa_search.supernet.mobilenet_v3 import Supernet

EVALUATION_BATCH = 250
SEQUENTIAL = " sequential"  # ends the name of such a recalibration
N_IMAGES = 1024  # that a recalibration takes of a supernet trained here
LARGEST_SEQUENTIAL_SIDE = 128  # of images whose maps memory can hold a thousand times
PUBLISHED_BATCHES = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class RecalibrationSetting:
    """How statistics are made anew before a subnet is scored.

    Attributes:
        n_batches: Batches of training images.
        batch_size: Images of such a batch; activation ranges depend on it.
        sequential: Whether it goes layer by layer.
    """

    n_batches: int = N_IMAGES // 64
    batch_size: int = 64
    sequential: bool = False

    def __post_init__(self) -> None:
        """Check the values; a ValueError names the first wrong one."""
        for name in ("n_batches", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")

    @classmethod
    def as_trained(cls, batch_size: int, *, sequential: bool) -> Self:
        """The setting with the batches of a training, whose extremes quantizers have learned."""
        size = min(batch_size, N_IMAGES)
        return cls(n_batches=N_IMAGES // size, batch_size=size, sequential=sequential)

    @property
    def n_images(self) -> int:
        """Images that it takes."""
        return self.n_batches * self.batch_size

    def __str__(self) -> str:
        """Its name in a samples store, such as "16x64 sequential"."""
        return f"{self.n_batches}x{self.batch_size}{SEQUENTIAL if self.sequential else ''}"

    @classmethod
    def parse(cls, name: str) -> Self:
        """The setting of that name.

        Raises:
            ValueError: There is none.
        """
        sizes = name.removesuffix(SEQUENTIAL)
        try:
            n_batches, batch_size = map(int, sizes.split("x"))
        except ValueError:
            raise ValueError(
                f"expected a recalibration such as 16x64 or 16x64{SEQUENTIAL}, got {name!r}"
            ) from None
        return cls(n_batches=n_batches, batch_size=batch_size, sequential=sizes != name)


def recalibrated(
    supernet: Supernet,
    subnet: Subnet,
    drawn: Images | FolderImages,
    setting: RecalibrationSetting,
    *,
    device: str = "cpu",
) -> StaticNetwork:
    """A subnet as the network that is scored, with statistics of its own, on `device`.

    Args:
        supernet: Where it comes from.
        subnet: What to extract.
        drawn: Training images, already mixed, `setting.n_images` of them at least.
        setting: How to recalibrate.
        device: "cpu", "cuda" or "cuda:N".
    """
    import torch

    from qfa_search.images.memory import Images
    from qfa_search.supernet.extract import extract
    from qfa_search.supernet.recalibrate import recalibrate

    network = extract(supernet, subnet).to(device)
    if not isinstance(drawn, Images):
        network = network.to(memory_format=torch.channels_last)
    batches = drawn.batches(subnet.resolution, setting.batch_size)
    recalibrate(network, batches, setting.n_batches, sequential=setting.sequential)
    return network


def scores(
    supernet: Supernet,
    subnets: Sequence[Subnet],
    drawn: Images | FolderImages,
    held_out: Images | FolderImages,
    setting: RecalibrationSetting,
    *,
    device: str = "cpu",
) -> list[Evaluation]:
    """Extract, recalibrate and evaluate subnets; of images on disk each is decoded once for all.

    Args:
        supernet: Where the subnets come from.
        subnets: What to score.
        drawn: As for `recalibrated`.
        held_out: Images to score on.
        setting: How to recalibrate.
        device: "cpu", "cuda" or "cuda:N".

    Returns:
        An evaluation for each subnet.
    """
    from qfa_search.images.memory import Images
    from qfa_search.measuring.evaluation import evaluate
    from qfa_search.measuring.shared_passes import score_together

    if isinstance(drawn, Images) or isinstance(held_out, Images):
        found = []
        for subnet in subnets:
            network = recalibrated(supernet, subnet, drawn, setting, device=device)
            batches = held_out.batches(subnet.resolution, EVALUATION_BATCH)
            found.append(evaluate(network, batches))
        return found
    return score_together(
        supernet,
        subnets,
        drawn,
        held_out,
        n_batches=setting.n_batches,
        batch_size=setting.batch_size,
        device=device,
    )
