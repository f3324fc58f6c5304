"""Image files as users have them, decoded to 8-bit squares: grey, alpha, 16 bits, damaged."""

from __future__ import annotations

import logging
import struct
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from qfa_search.errors import DataError

SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
LARGEST_SET_IN_MEMORY = 8 * 10**9
MOST_UNREADABLE_SHARE, MOST_UNREADABLE = 0.01, 3
MOST_DECODERS = 16
GREY_DIFFERENCE = 3  # of 255, between the channels of a grey picture that was stored in colour
# What Pillow and its codecs raise on damaged files.
UNREADABLE = (
    *(OSError, ValueError, SyntaxError, EOFError, ArithmeticError, LookupError, TypeError),
    *(struct.error, zlib.error, Image.DecompressionBombError),
)

logger = logging.getLogger(__name__)


def is_image(name: str) -> bool:
    """Whether a file of this name is taken for an image; hidden ones are not."""
    return name.lower().endswith(SUFFIXES) and not name.startswith(".")


def read_image(path: Path, channels: int, least_side: int | None = None) -> Image.Image:
    """An image the right way up, in mode "L" or "RGB".

    Transparent pixels lie on white. 16 bits become 8 by a division by 257, not by clipping.

    Args:
        path: The file.
        channels: 1 for grey, 3 for colour.
        least_side: A JPEG larger than twice this is decoded at a fraction of its size.

    Raises:
        OSError, ValueError, SyntaxError and others: It is damaged, or of a mode without a range.
    """
    mode = "L" if channels == 1 else "RGB"
    with Image.open(path) as file:
        if least_side is not None:
            file.draft(None, (2 * least_side, 2 * least_side))
        file.load()
        image = ImageOps.exif_transpose(file)
    is_16_bit = image.mode.startswith("I;16") or (
        image.mode == "I" and file.format in ("PNG", "PPM")
    )
    if is_16_bit:
        values = np.asarray(image).astype(np.int64)
        return Image.fromarray(((values + 128) // 257).clip(0, 255).astype(np.uint8)).convert(mode)
    if image.mode in ("I", "F"):
        raise ValueError(
            f"32-bit pixels (mode {image.mode}) have no known range, save 8 or 16 bits"
        )
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert(mode)


def decode_square(path: Path, channels: int, resolution: int) -> NDArray[np.uint8]:
    """The centre square of an image, antialiased: `(channels, resolution, resolution)`."""
    image = read_image(path, channels, resolution)
    side = min(image.size)
    left, top = ((n - side) / 2 for n in image.size)
    box = (left, top, left + side, top + side)
    image = image.resize((resolution, resolution), Image.Resampling.BILINEAR, box=box)
    pixels = np.asarray(image).reshape(resolution, resolution, channels)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def decode_all(
    root: Path, names: Sequence[str], channels: int, resolution: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """All images that can be read, and their places in `names`; a warning tells of the others.

    Args:
        root: Folder that `names` are relative to.
        names: The files.
        channels: 1 for grey, 3 for colour.
        resolution: Side of the squares.

    Returns:
        Pixels `(n, channels, resolution, resolution)` and int64 `(n,)`.

    Raises:
        DataError: They do not fit into memory, or too many cannot be read.
    """
    from joblib import Parallel, cpu_count, delayed

    shape = (len(names), channels, resolution, resolution)
    n_bytes = int(np.prod(shape, dtype=np.int64))
    if n_bytes > LARGEST_SET_IN_MEMORY:
        raise DataError(
            f"{len(names)} images at {resolution} pixels take {n_bytes / 1e9:.1f} GB, more than "
            f"the {LARGEST_SET_IN_MEMORY / 1e9:.0f} GB that are kept in memory: use fewer images "
            "or a smaller --resolution"
        )
    pixels = np.empty(shape, np.uint8)

    def decode(i: int) -> str | None:
        try:
            pixels[i] = decode_square(root / names[i], channels, resolution)
        except UNREADABLE as error:
            return _reason(error, root / names[i])
        return None

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, of files that it can read all the same
        parallel = Parallel(n_jobs=min(MOST_DECODERS, cpu_count()), backend="threading")
        reasons = parallel(delayed(decode)(i) for i in range(len(names)))
    unreadable = [i for i, reason in enumerate(reasons) if reason is not None]
    if not unreadable:
        return pixels, np.arange(len(names))
    first = unreadable[0]
    told = f"{root / names[first]}: {reasons[first]}"
    counts = f"{len(unreadable)} of {len(names)} images cannot be read"
    if len(unreadable) > max(MOST_UNREADABLE, MOST_UNREADABLE_SHARE * len(names)):
        raise DataError(f"{counts}, the first: {told}; repair or remove them")
    logger.warning("%s and are left out, the first: %s", counts, told)
    kept = np.setdiff1d(np.arange(len(names)), unreadable)
    return pixels[kept], kept


def side_and_channels(root: Path, names: Sequence[str]) -> tuple[int, int]:
    """Median of the shorter sides, and 1 if every image is grey, else 3; of those readable.

    Raises:
        DataError: None can be read.
    """
    sides, is_grey = [], True
    reason = ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in names:
            try:
                with Image.open(root / name) as file:
                    side = min(file.size)
                pixels = decode_square(root / name, 3, 32).astype(np.int64)
            except UNREADABLE as error:
                reason = reason or f"{root / name}: {_reason(error, root / name)}"
                continue
            sides.append(side)
            is_grey &= bool(np.ptp(pixels, axis=0).max() <= GREY_DIFFERENCE)
    if not sides:
        raise DataError(f"none of {len(names)} images can be read, the first: {reason}")
    return int(np.median(sides)), 1 if is_grey else 3


def _reason(error: Exception, path: Path) -> str:
    """The error in one line, without the path that is named beside it."""
    text = " ".join(str(error).replace(f"{str(path)!r}", "").split())
    return text or type(error).__name__
