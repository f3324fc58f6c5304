"""Image files as users have them, decoded to 8 bits: grey, alpha, 16 bits, damaged, huge.

Only the formats behind the listed suffixes are decoded, whatever a file is called: others start
programs (PostScript) or are hardly ever looked at for holes.
"""

from __future__ import annotations

import logging
import struct
import threading
import time
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from importlib import import_module
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from predictors.files import file_digest
from qfa_search.errors import CheckpointMismatchError, DataError, is_full_memory
from qfa_search.images.names import printable
from qfa_search.images.threads import has_room, in_threads

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "PPM", "TIFF", "WEBP", "AVIF")
SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".webp", ".avif"),
    *(".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm"),
)
LARGEST_IMAGE = 64_000_000  # pixels that are decoded; RGBA takes four bytes each
BYTES_OF_LARGEST_IMAGE = 4 * LARGEST_IMAGE
LARGE_IMAGE = 4_000_000  # beyond it images are decoded one at a time
STRIP = 2_000_000  # pixels that are converted at once
LARGEST_SET_IN_MEMORY = 8 * 10**9
MOST_UNREADABLE_SHARE, MOST_UNREADABLE = 0.01, 3
MOST_DECODERS = 16
N_TIMED = 12  # images that tell how long all of them take
GREY_DIFFERENCE = 3  # of 255, between the channels of a grey picture that was stored in colour
ORIENTATION = 0x0112
# What Pillow and its codecs raise on damaged files.
UNREADABLE = (
    *(OSError, ValueError, SyntaxError, EOFError, ArithmeticError, LookupError, TypeError),
    *(struct.error, zlib.error, Image.DecompressionBombError, MemoryError, RuntimeError),
)

logger = logging.getLogger(__name__)
_one_large_image = threading.Lock()


def is_image(name: str) -> bool:
    """Whether a file of this name is taken for an image; hidden ones are not."""
    return name.lower().endswith(_suffixes()) and not name.startswith(".")


@cache
def _suffixes() -> tuple[str, ...]:
    """`SUFFIXES`, without those that this Pillow was built without or that do not load."""
    try:
        import_module("PIL._avif")
    except ImportError as error:
        if is_full_memory(error):  # it is there: its images belong to the others
            raise
        return tuple(s for s in SUFFIXES if s != ".avif")
    return SUFFIXES


@cache
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


@contextmanager
def open_image(file: Path, least_side: int | None = None) -> Iterator[Image.Image]:
    """An image of one of `FORMATS`, its pixels not yet decoded.

    Args:
        file: The file.
        least_side: A JPEG larger than twice this is decoded at a fraction of its size.

    Raises:
        OSError, ValueError and others: It is no such image, or has too many pixels.
    """
    with Image.open(file, formats=_formats()) as image:
        width, height = image.size
        n_pixels = width * height
        if least_side is not None:
            image.draft(None, (2 * least_side, 2 * least_side))
            if not image.info.get("progressive"):  # which takes the memory of the whole
                n_pixels = image.width * image.height
        if n_pixels > LARGEST_IMAGE:
            raise ValueError(
                f"{width} x {height} pixels, more than the {LARGEST_IMAGE:,} that are decoded: "
                "make it smaller"
            )
        with _turn(n_pixels):
            yield image


def _turn(n_pixels: int) -> AbstractContextManager[object]:
    """Large images wait for each other, so that memory holds one."""
    return _one_large_image if n_pixels > LARGE_IMAGE else nullcontext()


def read_image(file: Path, channels: int) -> Image.Image:
    """An image the right way up, in mode "L" or "RGB".

    Transparent pixels lie on white. 16 bits become 8 by a division by 257, not by clipping. Of
    several frames the first is taken.

    Args:
        file: The file.
        channels: 1 for grey, 3 for colour.

    Raises:
        OSError, ValueError, SyntaxError and others: It is damaged, or of a mode without a range.
    """
    with open_image(file) as image:
        return _upright(image, channels)


def read_published(file: Path) -> Image.Image:
    """An image as the published recipe reads it, in mode "RGB", without orientation tags."""
    with open_image(file) as image:
        return image.convert("RGB")


def _upright(file: Image.Image, channels: int) -> Image.Image:
    mode = "L" if channels == 1 else "RGB"
    file.load()
    image = file
    if _is_turned(file):
        image = ImageOps.exif_transpose(file)
    is_16_bit = image.mode.startswith("I;16") or (
        image.mode == "I" and file.format in ("PNG", "PPM")
    )
    if is_16_bit:
        return _by_strips(image, mode, _from_16_bit)
    if image.mode in ("I", "F"):
        raise ValueError(
            f"32-bit pixels (mode {image.mode}) have no known range, save 8 or 16 bits"
        )
    if image.has_transparency_data:
        return _by_strips(image, mode, _on_white)
    return image.convert(mode)


def _is_turned(file: Image.Image) -> bool:
    try:
        return bool(file.getexif().get(ORIENTATION, 1) != 1)
    except UNREADABLE as error:
        reason(error)  # raises where memory is full
        return False  # a damaged tag: the pixels are there


def _from_16_bit(image: Image.Image) -> Image.Image:
    values = np.asarray(image).astype(np.int64)
    return Image.fromarray(((values + 128) // 257).clip(0, 255).astype(np.uint8))


def _on_white(image: Image.Image) -> Image.Image:
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)


def _by_strips(
    image: Image.Image, mode: str, convert: Callable[[Image.Image], Image.Image]
) -> Image.Image:
    """`convert`, which looks at each pixel alone, without a copy of the whole on the way."""
    width, height = image.size
    if width * height <= STRIP:
        return convert(image).convert(mode)
    whole = Image.new(mode, image.size)
    rows = max(1, STRIP // width)
    for top in range(0, height, rows):
        strip = image.crop((0, top, width, min(top + rows, height)))
        whole.paste(convert(strip).convert(mode), (0, top))
    return whole


def decode_square(file: Path, channels: int, resolution: int) -> NDArray[np.uint8]:
    """The centre square of an image, antialiased: `(channels, resolution, resolution)`."""
    with open_image(file, resolution) as opened:
        image = _upright(opened, channels)
        side = min(image.size)
        left, top = ((n - side) / 2 for n in image.size)
        box = (left, top, left + side, top + side)
        image = image.resize((resolution, resolution), Image.Resampling.BILINEAR, box=box)
    pixels = np.asarray(image).reshape(resolution, resolution, channels)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def decode_all(
    root: Path,
    names: Sequence[str],
    channels: int,
    resolution: int,
    digests: Sequence[str] | None = None,
    *,
    n_of: int | None = None,
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """All images that can be read, and their places in `names`; a warning tells of the others.

    Args:
        root: Folder that `names` are relative to.
        names: The files.
        channels: 1 for grey, 3 for colour.
        resolution: Side of the squares.
        digests: Of what the files must hold; None takes them as they are.
        n_of: How many images `names` were drawn from, of which a few may be unreadable.

    Returns:
        Pixels `(n, channels, resolution, resolution)` and int64 `(n,)`.

    Raises:
        DataError: They do not fit into memory, or too many cannot be read.
        CheckpointMismatchError: Some hold something else.
    """
    from joblib import cpu_count

    shape = (len(names), channels, resolution, resolution)
    n_bytes = int(np.prod(shape, dtype=np.int64))
    if n_bytes > LARGEST_SET_IN_MEMORY:
        raise DataError(
            f"{len(names)} images at {resolution} pixels take {n_bytes / 1e9:.1f} GB, more than "
            f"the {LARGEST_SET_IN_MEMORY / 1e9:.0f} GB that are kept in memory: use fewer images "
            "or a smaller --resolution"
        )
    pixels = np.empty(shape, np.uint8)
    is_other = np.zeros(len(names), dtype=bool)

    def decode(i: int) -> str | None:
        path = root / names[i]
        try:
            is_other[i] = digests is not None and file_digest(path) != digests[i]
            pixels[i] = decode_square(path, channels, resolution)
        except UNREADABLE as error:
            return reason(error)
        return None

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, of files that it can read all the same
        reasons = in_threads(decode, range(len(names)), min(MOST_DECODERS, cpu_count()))
    check_same(root, [names[int(i)] for i in np.flatnonzero(is_other)], len(names))
    unreadable = [i for i, why in enumerate(reasons) if why is not None]
    if not unreadable:
        return pixels, np.arange(len(names))
    first = unreadable[0]
    told = f"{printable(root / names[first])}: {reasons[first]}"
    counts = f"{len(unreadable)} of {len(names)} images cannot be read"
    if is_too_many(len(unreadable), n_of or len(names)):
        raise DataError(f"{counts}, the first: {told}; repair or remove them")
    logger.warning("%s and are left out, the first: %s", counts, told)
    kept = np.setdiff1d(np.arange(len(names)), unreadable)
    return pixels[kept], kept


def seconds_to_decode(root: Path, names: Sequence[str], channels: int, resolution: int) -> float:
    """Mean time that one core takes for an image, of a few of those that can be read."""
    chosen = range(0, len(names), -(-len(names) // N_TIMED) or 1)
    seconds = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for i in chosen:
            began = time.perf_counter()
            try:
                decode_square(root / names[i], channels, resolution)
            except UNREADABLE as error:
                reason(error)  # raises where memory is full
                continue
            seconds.append(time.perf_counter() - began)
    return float(np.mean(seconds)) if seconds else 0.0


def check_same(root: Path, others: Sequence[str], n: int) -> None:
    """Nothing, if none of `n` images is one of the `others`, whose content has changed.

    Raises:
        CheckpointMismatchError: Some are.
    """
    if others:
        raise CheckpointMismatchError(
            f"{printable(root)} is not what the supernet was trained on: {len(others)} of {n} "
            "images have another content under the same name, the first: "
            f"{printable(others[0])}; give the same images"
        )


def is_too_many(n_unreadable: int, n: int) -> bool:
    """Whether so many of `n` images are no accident any more."""
    return n_unreadable > max(MOST_UNREADABLE, MOST_UNREADABLE_SHARE * n)


def side_and_channels(root: Path, names: Sequence[str]) -> tuple[int, int]:
    """Median of the shorter sides, and 1 if every image is grey, else 3; of those readable.

    Raises:
        DataError: None can be read.
    """
    sides, is_grey = [], True
    told = ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in names:
            try:
                with Image.open(root / name, formats=_formats()) as file:
                    side = min(file.size)
                pixels = decode_square(root / name, 3, 32).astype(np.int64)
            except UNREADABLE as error:
                told = told or f"{printable(root / name)}: {reason(error)}"
                continue
            sides.append(side)
            is_grey &= bool(np.ptp(pixels, axis=0).max() <= GREY_DIFFERENCE)
    if not sides:
        raise DataError(f"none of {len(names)} images can be read, the first: {told}")
    return int(np.median(sides)), 1 if is_grey else 3


def reason(error: BaseException) -> str:
    """Why an image cannot be read, in one line, without the path that is named beside it.

    Raises:
        MemoryError: The image is not to blame, memory is full.
    """
    if isinstance(error, RuntimeError) and "decode" not in str(error).lower():
        raise error  # not one of a codec
    is_full = isinstance(error, MemoryError) and not has_room(BYTES_OF_LARGEST_IMAGE)
    if is_full or (isinstance(error, RuntimeError) and is_full_memory(error)):
        raise error
    text = str(error)
    if text.startswith("cannot identify image file"):
        return "cannot identify image file"
    if isinstance(error, OSError) and error.strerror:
        text = error.strerror
    return printable(" ".join(text.split())) or type(error).__name__
