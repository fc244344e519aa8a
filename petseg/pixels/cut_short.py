"""JPEGs without their last bytes: the end marker, and perhaps a few rows, as an interrupted copy leaves them.

Browsers show such photos. They are decoded twice, with two different ends: rows that then differ are those
that the file does not hold.
"""

import io
from collections.abc import Callable
from typing import IO

from PIL import Image, ImageChops

_END = b"\xff\xd9"
_OTHER = bytes(range(1, 255))
_LARGEST = 1 << 28
"""Longer files are not tried, in bytes."""
_BLOCK = 16
"""Rows of the largest block of a JPEG."""
_SHARE = 50
"""At most the so manieth part of the rows may be missing, or one row of blocks."""


def complete(file: IO[bytes], decode: Callable[[IO[bytes]], Image.Image]) -> tuple[Image.Image, int] | None:
    """A JPEG that ends too early.

    Args:
        file: seekable.
        decode: opens and decodes one.

    Returns:
        The decoded image and how many of its last rows are made up (0 if only the marker is missing); None if
        more is missing than a few rows.
    """
    file.seek(0)
    data = file.read(_LARGEST).rstrip(b"\xff")
    if file.read(1):
        return None
    image = decode(io.BytesIO(data + _END))
    other = decode(io.BytesIO(data + _OTHER * (16 + len(data) // (8 * len(_OTHER))) + _END))
    rows = _first_difference(image, other)
    missing = image.height - rows
    return (image, missing) if missing <= max(_BLOCK, image.height // _SHARE) else None


def _first_difference(image: Image.Image, other: Image.Image) -> int:
    step = 256
    for top in range(0, image.height, step):
        area = (0, top, image.width, min(image.height, top + step))
        box = ImageChops.difference(image.crop(area), other.crop(area)).getbbox(alpha_only=False)
        if box is not None:
            return top + box[1]
    return image.height
