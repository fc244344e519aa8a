"""What one does with an answer, or with one animal of it: look, cut out, lay on something else, save."""

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import IO, Any, TypedDict, Unpack, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from petseg.errors import OutputError
from petseg.pixels import grounds, pictures, saving, stickers
from petseg.pixels.checks import is_number
from petseg.pixels.classes import COLORS, Color
from petseg.pixels.geometry import Region
from petseg.pixels.grounds import Background
from petseg.pixels.opacity import Opacity, grown
from petseg.pixels.saving import Kind

_MARGIN = 0.05
"""What a crop leaves around the pets, as a share of the longer side of their box."""
_STICKERS = 16, 4096
"""Sides of a sticker, in pixels, at least and at most."""


class _How(TypedDict, total=False):
    """See `Rendered.save`."""

    format: str | None
    opacity: float
    background: Background
    crop: bool


class Rendered(ABC):
    """Pets of a photo, as pictures and as files.

    Attributes:
        source: path or name that the photo came from, None for pixels and bytes.
        size: (width, height) of the upright photo, in pixels.
    """

    source: str | None
    size: tuple[int, int]

    @property
    @abstractmethod
    def photo(self) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB, upright, read-only."""

    @abstractmethod
    def _classes(self, rows: slice) -> NDArray[np.uint8]:
        """(h, W) uint8 of some of the photo's rows, start to stop: 0 background, 1 cat, 2 dog."""

    @abstractmethod
    def _opacity(self) -> Opacity | None:
        """Of the pixels of a cutout, None where there is no pet."""

    @abstractmethod
    def _bounds(self) -> Region | None:
        """The box around the mask, None where there is no pet."""

    @abstractmethod
    def _document(self) -> dict[str, Any]:
        """What the JSON file says."""

    def overlay(self, opacity: float = 0.5, colors: Mapping[str, Color] = COLORS) -> Image.Image:
        """The photo with its pets tinted, as an RGB image.

        Args:
            opacity: of the tint, 0..1.
            colors: class -> RGB 0..255, for those that shall differ from `COLORS`.

        Raises:
            OutputError: an opacity outside 0..1, an unknown class, or something that is no colour.
            ImageError: the photo, which was not kept, can no more be read.
        """
        if not is_number(opacity, lambda value: 0 <= value <= 1):
            raise OutputError(f"opacity is {opacity!r}; give a number from 0 to 1")
        return pictures.overlay(self.photo, self._classes, opacity, colors)

    def cutout(self, *, crop: bool = False) -> Image.Image:
        """The pets on a transparent ground, as an RGBA image with a soft edge (`petseg.pixels.opacity`).

        What is clear holds no colour: nothing of the photo is left there.

        Args:
            crop: show what `crop` shows instead of the whole frame.

        Raises:
            OutputError: there is no pet to crop to.
            ImageError: see `overlay`.
        """
        opacity, box = self._opacity(), self._frame(crop)
        if opacity is None:
            return Image.new("RGBA", self.size)
        return pictures.cutout(opacity, box)

    def on(self, background: Background, *, crop: bool = False) -> Image.Image:
        """The pets on another ground, as an RGB image; without a pet, that ground alone.

        Args:
            background: "blur" (the photo out of focus), "grey" (the photo without colour), the name of a CSS
                colour, "#rrggbb", (red, green, blue), or another photo, which is scaled and cut to fill the
                frame: a path, bytes, a binary file, a PIL image or an array. Text that is none of the former
                is a path; grey paper is "#808080".
            crop: show what `crop` shows instead of the whole frame.

        Raises:
            OutputError: a background that is nothing of the kind, or there is no pet to crop to.
            ImageError: the other photo cannot be read, or see `overlay`.
        """
        ground, opacity, box = grounds.check(background), self._opacity(), self._frame(crop)
        image = grounds.paint(ground, self.photo, opacity, box)
        return image if opacity is None else pictures.lay_on(image, opacity, box)

    def crop(self, margin: float = _MARGIN) -> Image.Image:
        """The part of the photo that has the pets in it, as an RGB image.

        Args:
            margin: what is left around them, as a share of the longer side of their box, as far as the photo
                goes.

        Raises:
            OutputError: there is no pet to crop to, or the margin is negative or infinite.
            ImageError: see `overlay`.
        """
        return pictures.crop(self.photo, self._around(margin))

    def sticker(self, side: int = stickers.SIDE) -> Image.Image:
        """The pets cut out, with a white outline and a soft shadow, in the middle of a clear square, RGBA.

        Args:
            side: of the square, in pixels; small pets are made larger to fill it.

        Raises:
            OutputError: there is no pet, or the side is no whole number from 16 to 4096.
            ImageError: see `overlay`.
        """
        least, most = _STICKERS
        if not is_number(side, lambda value: least <= value <= most and int(value) == value):
            raise OutputError(f"side is {side!r}; give a whole number of pixels from {least} to {most}")
        opacity, box = self._opacity(), self._around(_MARGIN)
        assert opacity is not None  # where there is a box, there is a pet
        return stickers.sticker(opacity, box, int(side))

    def _frame(self, crop: bool) -> Region:
        return self._around(_MARGIN) if crop else (0, 0, *self.size)

    def _around(self, margin: float) -> Region:
        if not is_number(margin, lambda value: 0 <= value < float("inf")):
            raise OutputError(f"margin is {margin!r}; give a share of the pets' box, 0 or more")
        box = self._bounds()
        if box is None:
            name = "the photo" if self.source is None else f"photo {self.source!r}"
            raise OutputError(f"{name} shows no pet that could be cropped to; ask for what does not need one")
        return grown(box, int(margin * max(box[2] - box[0], box[3] - box[1]) + 0.999), *self.size)

    def save(
        self,
        path: str | os.PathLike[str] | IO[bytes],
        kind: Kind | None = None,
        *,
        format: str | None = None,
        opacity: float = 0.5,
        background: Background = "white",
        crop: bool = False,
    ) -> None:
        """Write the result to a file, whole or not at all.

        Args:
            path: where to; folders are made, a file that is there is replaced, but never the photo itself.
                Or a binary file, which is written to and left open.
            kind: "mask" (PNG whose pixels are the indices 0, 1, 2 of a palette, 8 bits each), "mask-gray"
                (the same values as a grey PNG, for what reads palettes as colours), "cutout", "overlay",
                "on", "crop", "sticker" or "json" (label, score, scores, size, model, threshold, polygons). By
                default .png is the mask and .json the JSON.
            format: "png", "jpg", "webp" or "json", whatever the path ends in; of a binary file by default
                PNG, or JSON.
            opacity: of an overlay, 0..1.
            background: see `on`.
            crop: cutout, and what is on a background, show what `crop` shows.

        Raises:
            OutputError: the format cannot hold it, there is no pet for it, or the file cannot be written.
            ImageError: see `overlay`.
        """
        how = _How(format=format, opacity=opacity, background=background, crop=crop)
        if hasattr(path, "write"):
            self.content(None, kind, **how).put(partial(saving.write_all, cast("IO[bytes]", path)))
            return
        try:
            path = Path(os.fsdecode(path))
        except TypeError as error:
            raise OutputError(f"{path!r} is no path; give one, or a file opened with 'wb'") from error
        content = self.content(path, kind, **how)
        if self.source is not None and _is_same(path, self.source):
            raise OutputError(f"{str(path)!r} is the photo itself and is not overwritten; give another name")
        content.save(path)

    def encode(self, path: Path | None = None, kind: Kind | None = None, **how: Unpack[_How]) -> bytes:
        """The bytes that `save` writes to `path`, or to a binary file; raises as that does."""
        return self.content(path, kind, **how).encoded()

    def content(
        self, path: Path | None = None, kind: Kind | None = None, **how: Unpack[_How]
    ) -> saving.Content:
        """The same, to be written without having all bytes at once."""
        format, crop = how.get("format"), how.get("crop", False)
        suffix = saving.suffix_of(path, kind, format)
        chosen = saving.kind_of(str(path or f"a {suffix[1:]} file"), suffix, kind)
        if chosen == "json":
            return saving.Content(json.dumps(self._document(), allow_nan=False).encode(), suffix)
        if chosen in ("mask", "mask-gray"):
            image = pictures.mask(self._classes(slice(0, self.size[1])), gray=chosen == "mask-gray")
        elif chosen == "overlay":
            image = self.overlay(how.get("opacity", 0.5))
        elif chosen == "on":
            image = self.on(how.get("background", "white"), crop=crop)
        elif chosen == "crop":
            image = self.crop()
        else:
            image = self.cutout(crop=crop) if chosen == "cutout" else self.sticker()
        return saving.Content(image, suffix)


def _is_same(path: Path, source: str) -> bool:
    try:
        return path.samefile(source)
    except (OSError, ValueError):
        return False
