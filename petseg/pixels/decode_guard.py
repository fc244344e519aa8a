"""A look at an image file before it is decoded: what would keep a decoder busy for minutes is refused.

A few kilobytes can ask for that in ways that the size of the picture does not show.
"""

import math
import os
import re
from typing import IO, Any

from PIL import Image

from petseg.errors import ImageError, ImageTooLargeError

REFUSED = frozenset({"EPS", "IPTC"})
"""Formats that no photo is worth: EPS is handed to another program (Ghostscript), and in IPTC lies another
file, which Pillow opens whatever it is, an EPS or a bomb too."""

_READS, _BYTES_A_READ = 50_000, 64
"""A file may be read that often, and once more for each so many bytes. Decoders read kilobytes at a time."""

_WEIGHTS = {
    **{"WEBP": 2, "AVIF": 2, "HEIF": 2, "JPEG2000": 4},
    **{"QOI": 8, "DDS": 8, "BLP": 8, "MSP": 8},
}
"""Format -> how many times the memory of a JPEG or a PNG its decoder takes for a pixel (at most 10 bytes);
or, where it is written in Python, the time."""
BYTEWISE = frozenset({"QOI", "DDS", "BMP", "DIB", "BLP", "MSP"})
"""Formats whose decoders read a few bytes at a time for each pixel: their headers alone are rationed, and
the time is bounded by their pixels."""
_SLOW = {"ppm": 32, "ppm_plain": 32, "bmp_rle": 8, "xpm": 8}
"""Decoder, of formats that have quick ones too -> the same: these take a few values at a time, in Python."""
_PIECE = 4
"""Bytes for each pixel of the limit that a tile or a strip of a TIFF may have: it is decoded in one piece."""
_SCANS = 20
"""A JPEG of as many pixels as the limit may have so many scans, a smaller one more."""

_LOOK = 1 << 28
"""No JPEG is looked at any further, in bytes."""
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SCAN, _END = 0xDA, 0xD9
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
"""The next marker within the pixels of a JPEG: neither a stuffed byte nor a restart."""


class Rationed:
    """A binary file that refuses to be read in crumbs.

    Of a file in millions of tiny parts (PNG chunks, JPEG segments, GIF comments) Pillow reads every one
    before the first pixel, which takes minutes, and in GIF even grows with the square of their number.
    """

    def __init__(self, file: IO[bytes], name: str) -> None:
        """Count from here on.

        Args:
            file: seekable.
            name: how messages name it.
        """
        self._file, self._name = file, name
        file.seek(0, os.SEEK_END)
        self._left: float = _READS + file.tell() // _BYTES_A_READ

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def read(self, size: int = -1, /) -> bytes:
        """As of any file. Raises `ImageError` once the ration is used up."""
        self._count()
        return self._file.read(size)

    def readline(self, size: int = -1, /) -> bytes:
        """As `read`, a line."""
        self._count()
        return self._file.readline(size)

    def lift(self) -> None:
        """Count no longer."""
        self._left = math.inf

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise ImageError(f"{self._name} is made of too many tiny parts; save it again as JPEG or PNG")


def check_cost(image: Image.Image, file: IO[bytes], name: str, max_pixels: int) -> None:
    """Refuse what would take far more memory or time than other images of its size.

    Args:
        image: identified and not decoded, with at least one pixel.
        file: that it comes from, seekable.
        name: how messages name it.
        max_pixels: as for `petseg.pixels.image.load`.

    Raises:
        ImageTooLargeError: a heavy format with too many pixels for it, or a TIFF in one huge piece.
        ImageError: a JPEG in too many scans.
    """
    width, height = image.size
    limit = max_pixels // max(_WEIGHTS.get(image.format or "", 1), *map(_slowness, _decoders(image)), 1)
    if width * height > limit:
        raise ImageTooLargeError(
            f"{name} has {width} x {height} pixels, more than the limit of {limit:,} for {image.format}, "
            "which takes more memory or time than others; make it smaller, or save it as JPEG or PNG"
        )
    if image.format in ("JPEG", "MPO"):
        most = _SCANS * max_pixels // (width * height)
        if count_scans(file, most) > most:
            raise ImageError(f"{name} is drawn in more than {most} scans; save it again as plain JPEG")
    if image.format == "TIFF" and _largest_piece(image) > _PIECE * max_pixels:
        raise ImageTooLargeError(f"{name} is a TIFF in one huge piece; save it again as PNG")


def reads_bytewise(image: Image.Image) -> bool:
    """Whether an image, identified and not decoded, is read a few bytes at a time, however it is stored."""
    return image.format in BYTEWISE or not _SLOW.keys().isdisjoint(_decoders(image))


def _decoders(image: Any) -> set[str]:
    return {tile[0] for tile in getattr(image, "tile", None) or ()}


def _slowness(decoder: str) -> int:
    return _SLOW.get(decoder, 1)


def _largest_piece(image: Any) -> int:
    """Bytes that a tile or strip of a `PIL.TiffImagePlugin.TiffImageFile` unpacks to; 0 if none is packed."""
    tags, (width, height) = image.tag_v2, image.size
    if tags.get(259, 1) == 1:
        return 0
    area = tags[322] * tags[323] if 322 in tags else width * min(height, tags.get(278, height))
    return int(area * max(tags.get(258, (1,))) * tags.get(277, 1) // 8)


def count_scans(file: IO[bytes], most: int) -> int:
    """How often a JPEG decoder goes over the whole picture: 1, or about 10 of a progressive one.

    Each scan costs time for every pixel, however few bytes it has. ITU-T T.81, annex B.

    Args:
        file: seekable; where it stands afterwards is left open.
        most: beyond this, more are not counted.
    """
    file.seek(0)
    data = file.read(_LOOK)
    at, scans, components, progressive = 2, 0, 0, False
    while scans <= most and (found := _MARKER.search(data, at)) and found[0][1] != _END:
        marker, at = found[0][1], found.end()
        segment = data[at : at + 8].ljust(8, b"\0")
        if marker in _FRAMES:
            progressive, components = marker in _PROGRESSIVE, segment[7]
        elif marker == _SCAN:
            scans += 1
            if not progressive and segment[2] == components:
                break  # all there is to a baseline JPEG
        at += int.from_bytes(segment[:2], "big")
    return scans
