"""How a picture becomes the input of a network: the rule as data, and the rule applied."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search_spaces import SearchSpace
from search_spaces.plain_data import finite_number, whole_number

if TYPE_CHECKING:
    from torch import Tensor

    from qfa_search.images.memory import Images
    from qfa_search.images.on_disk import FolderImages

LARGEST_SIDE = 4096  # pixels, of images that a file may ask for


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocessing:
    """What training and measuring did with every picture.

    Attributes:
        mean: Mean pixel value in [0, 1], per channel.
        std: Standard deviation of pixel values in [0, 1], per channel.
        first_side: Side that the centre square is brought to as 8 bits, before it is normalized
            and brought to the network's resolution; None for pictures that are cut at the
            network's resolution, as ImageNet's are.
        crop_share: Without `first_side`: share of the shorter side that the centre square keeps.
        is_turned_upright: Whether a photo is turned as its orientation tag says.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    first_side: int | None
    crop_share: float = 1.0
    is_turned_upright: bool = True

    @classmethod
    def of_supernet(cls, space: SearchSpace, metadata: Mapping[str, Any]) -> Preprocessing:
        """What the images of a supernet are prepared with, from its file's metadata."""
        from qfa_search.images.memory import GREY_MEAN, GREY_STD, MEAN, STD
        from qfa_search.images.on_disk import CROP_SHARE
        from qfa_search.images.sources import (
            ON_DISK,
            PUBLISHED_SETS,
            SPLIT_SEED,
            UPRIGHT,
            published_name,
        )

        if metadata.get("preprocessing") == ON_DISK:
            return cls(
                mean=MEAN,
                std=STD,
                first_side=None,
                crop_share=CROP_SHARE,
                is_turned_upright=bool(metadata.get(UPRIGHT)),
            )
        is_grey = space.input_channels == 1
        mean: tuple[float, ...] = GREY_MEAN if is_grey else MEAN
        std: tuple[float, ...] = GREY_STD if is_grey else STD
        name, side = published_name(metadata), max(space.resolutions)
        if name is not None:
            published = PUBLISHED_SETS[name](SPLIT_SEED)
            mean, std, side = published.mean, published.std, published.side
        return cls(mean=mean, std=std, first_side=side)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Preprocessing:
        """The value that `to_dict` described.

        Raises:
            KeyError, TypeError, ValueError: It described none.
        """
        mean, std = (tuple(finite_number(key, v) for v in data[key]) for key in ("mean", "std"))
        side, share = data["first_side"], finite_number("crop_share", data["crop_share"])
        if not (len(mean) == len(std) in (1, 3) and min(std) > 0 and 0 < share <= 1):
            raise ValueError(f"no rule for pictures: mean {mean}, std {std}, crop_share {share}")
        if side is not None and whole_number("first_side", side, least=1) > LARGEST_SIDE:
            raise ValueError(f"first_side must be at most {LARGEST_SIDE}, got {side}")
        return cls(
            mean=mean,
            std=std,
            first_side=side,
            crop_share=share,
            is_turned_upright=bool(data["is_turned_upright"]),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data, and the rule in words."""
        return asdict(self) | {"layout": "NCHW", "rule": self.rule}

    @property
    def rule(self) -> str:
        """The steps in words."""
        if self.first_side is None:
            cut = (
                f"shorter side to ceil(resolution / {self.crop_share:g}) pixels, centre square of "
                "the resolution, (pixel / 255 - mean) / std"
            )
        else:
            cut = (
                f"centre square to {self.first_side} pixels as 8 bits, (pixel / 255 - mean) / std, "
                "then to the resolution"
            )
        channels = "grey" if len(self.mean) == 1 else "red, green, blue in this order"
        return f"{channels}; {cut}; resizing is bilinear and antialiased"

    def prepare(self, path: Path, resolution: int) -> Tensor:
        """A picture as input, float32 `(1, channels, resolution, resolution)`.

        Raises:
            DataError: It cannot be read.
        """
        import numpy as np
        import torch

        from qfa_search.errors import DataError
        from qfa_search.images.decoding import UNREADABLE, decode_square
        from qfa_search.images.memory import Images
        from qfa_search.images.on_disk import FolderImages

        images: Images | FolderImages
        if self.first_side is None:
            images = FolderImages(
                path.parent,
                (path.name,),
                np.zeros(1, dtype=np.int64),
                is_published=not self.is_turned_upright,
            )
        else:
            try:
                pixels = decode_square(path, len(self.mean), self.first_side)
            except UNREADABLE as error:
                raise DataError(f"cannot read image {path}: {error}") from error
            label = torch.zeros(1, dtype=torch.int64)
            images = Images(torch.tensor(pixels[None]), label, self.mean, self.std)
        for prepared, _ in images.batches(resolution, 1):
            return prepared
        raise DataError(f"cannot read image {path}")  # left out with a warning that says why
