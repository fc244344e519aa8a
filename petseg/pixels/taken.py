"""Photos that are read ahead: what each is at the moment it is taken from its source.

A source may fill one buffer again and again (a camera), give one image object for every frame (Pillow's
iterator), or write each frame to the same file. Whoever reads ahead must not see the next frame in the
place of this one.
"""

import contextlib
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import IO, Any, NamedTuple, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from petseg.errors import ImageError
from petseg.pixels.image import ImageInput, load, read_all
from petseg.pixels.source import source_of

_ADDRESS = re.compile(r"https?:/", re.ASCII)


@dataclass(frozen=True, slots=True)
class PhotoFile:
    """A file, wherever the working folder is by the time it is read.

    Attributes:
        path: absolute.
        stamp: what changes when the file does; None if it was not there.
    """

    path: str
    stamp: tuple[int, int, int] | None

    def check(self) -> None:
        """Raise `ImageError` if the file is another one by now."""
        if self.stamp is not None and (now := _stamp(self.path)) is not None and now != self.stamp:
            raise ImageError(
                f"photo {self.path!r} was changed after it was taken; give each photo a file of its own, "
                "or segment it again"
            )


Taken: TypeAlias = PhotoFile | bytes | NDArray[np.uint8] | ImageError
"""A photo that nobody can change any more, or why it cannot be read."""


def take(image: ImageInput, max_pixels: int) -> Taken:
    """Hold a photo as it is now.

    Args:
        image: as for `petseg.pixels.image.load`. Encoded photos are decoded later, by whoever needs them.
        max_pixels: see there.
    """
    try:
        if isinstance(image, str | os.PathLike):
            return _file(image)
        if isinstance(image, bytes | bytearray | memoryview):
            return bytes(image)
        if hasattr(image, "read") and not isinstance(image, Image.Image):
            return read_all(cast("IO[bytes]", image))
        return load(image, max_pixels=max_pixels)
    except ImageError as error:
        return error


def check_many(images: object) -> None:
    """Raise `ImageError` unless these are many photos."""
    # A single one could often be iterated over too: an array by its rows, an open file by its lines. Of one
    # axis, it is a column of paths, as pandas has it.
    axes = getattr(images, "ndim", None)
    one_array = hasattr(images, "__array__") and not (isinstance(axes, int) and (axes >= 4 or axes == 1))
    one = isinstance(images, str | bytes | bytearray | memoryview | os.PathLike | Image.Image)
    if one or one_array or hasattr(images, "read"):
        raise ImageError("map takes many photos and got one; put it into a list, or use segment")
    if not isinstance(images, Iterable) and not hasattr(images, "__getitem__"):
        raise ImageError(f"map takes many photos and got {images!r}; give a list or a generator of photos")


class Item(NamedTuple):
    """A photo that was taken, and where it came from, see `petseg.pixels.source`."""

    source: str | None
    taken: Taken


def take_each(images: Iterable[ImageInput], max_pixels: int) -> Iterator[Item]:
    """`take` for many, lazily."""
    return (Item(source_of(image), take(image, max_pixels)) for image in images)


def _file(image: "str | os.PathLike[Any]") -> PhotoFile:
    path = os.fsdecode(image)
    if path and not _ADDRESS.match(path):
        with contextlib.suppress(OSError):  # the working folder is gone: reading says so
            path = os.path.abspath(path)  # noqa: PTH100 (keeps links)
    return PhotoFile(path, _stamp(path))


def _stamp(path: str) -> tuple[int, int, int] | None:
    try:
        status = os.stat(path)  # noqa: PTH116 (called for each photo)
    except (OSError, ValueError):
        return None
    return status.st_size, status.st_mtime_ns, status.st_ino
