"""Values of any depth as 8 bits: which of them is white, and what cannot be told is refused.

A file or an array of 16 bits or floats does not say what its white is. A wrong guess is a black or a white
sheet, on which no pet is found without a word.
"""

import re
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from petseg.errors import ImageError, ImageWarning

_WHITES = {"F": (1, 255, 65535), "I": (255, 65535)}
"""Pillow's wide modes -> what their white may be, the smallest first."""
_SLACK: dict[tuple[str, float], float] = {("F", 1): 0.25, ("F", 255): 64}
"""How far resampling may overshoot black and white of floats; integers and others do not."""
_BLACK = 16
"""Values that all lie below a part of white so small would be a black sheet; 12 bits in 16 are just that."""

_HALVED = re.compile(r"\b(?:RGB[AaX]*|LA);16[BLN]")
"""How Pillow calls colours of 16 bits of which it decodes the upper 8."""

_BITS, _PHOTOMETRIC, _SAMPLES, _PLANAR, _FORMAT = 258, 262, 277, 284, 339  # tags of TIFF 6.0
_SIGNED = 2
"""`_FORMAT` of values that may be negative; of 8 bits, Pillow takes those for the upper half of 0..255."""
_LOOK = 64
"""One row of so many tells of nearly every photo that it is no black sheet."""


class Depth:
    """How the values of a 16-bit, 32-bit or float image become 8 bits.

    Attributes:
        white: the value that is white.
        inverted: whether that is black, and 0 white.
    """

    def __init__(self, white: float, inverted: bool = False) -> None:
        self.white, self.inverted = white, inverted

    def to_uint8(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        """Grey values of any shape, rounded and clipped to 0..255."""
        if self.white == 65535 and values.dtype.kind == "u":
            grey = uint16_to_uint8(values)
        else:
            grey = np.clip(values * (255 / self.white) + 0.5, 0, 255).astype(np.uint8)
        return np.uint8(255) - grey if self.inverted else grey


def depth_of(image: Image.Image, strips: Iterable[Image.Image], name: str) -> Depth | None:
    """The depth of a decoded Pillow image; None for 8 bits.

    Modes I and F do not say their white, so it is the smallest usual one that fits: 1 (F only), 255 or
    65535. An I that was read from a PNG is always 16-bit.

    Args:
        image: decoded.
        strips: its parts.
        name: how messages name it.

    Raises:
        ImageError: no white fits, or the image would be a black sheet with it.
    """
    tags = getattr(image, "tag_v2", {}) if image.format == "TIFF" else {}
    bits = max(tags.get(_BITS, (16,)))
    signed = _SIGNED in tags.get(_FORMAT, ()) and bits <= 16
    if not image.mode.startswith("I;16") and image.mode not in _WHITES and not signed:
        return None
    inverted = tags.get(_PHOTOMETRIC) == 0 and image.mode != "L"  # of 8 bits, Pillow has turned it
    ends = np.array([(np.min(part), np.max(part)) for part in map(np.asarray, strips)], np.float64)
    low, high = float(ends[:, 0].min()), float(ends[:, 1].max())
    if image.mode.startswith("I;16"):
        if 8 < bits < 16:  # the file says so
            return Depth(2**bits - 1, inverted)
        whites: tuple[float, ...] = (65535,)
    elif signed:
        whites = (2 ** (bits - 1) - 1,)
    else:
        whites = (65535,) if image.format == "PNG" else _WHITES[image.mode]
    for white in whites:
        slack = _SLACK.get((image.mode, white), 0)
        if low >= -slack and high <= white + slack:  # so written, NaN fits nowhere
            if white > 1 and not inverted:
                # A sign takes a bit, and not of those that cameras have.
                _refuse_black(high, white, f"{name} in mode {image.mode}", _BLACK / 2 if signed else _BLACK)
            return Depth(white, inverted)
    raise ImageError(
        f"{name} has values from {low:g} to {high:g} in mode {image.mode}; scale them to 0..255 first"
    )


def loses_depth(image: Image.Image) -> bool:
    """Whether decoding an image, which has not happened yet, keeps 8 of its colours' 16 bits."""
    return any(
        tile[0] == "SGI16"
        or (tile[0].startswith("ppm") and tile[3][1] > 255)
        or _HALVED.search(str(tile[3])) is not None
        for tile in getattr(image, "tile", None) or ()
    )


def check_halved(strips: Iterable[Image.Image], name: str) -> None:
    """Raise `ImageError` for the upper 8 bits of 16 if what was written was 12 bits or fewer.

    Args:
        strips: the parts of a decoded image.
        name: how messages name it.
    """
    # What is below 256 leaves nothing: 8 bits in 16 look like black, which nobody stores so.
    high = max(int(np.asarray(strip.convert("RGB")).max()) for strip in strips)
    _refuse_black(255.0 * max(1, high), 65535, f"{name} with 16 bits for each colour")


def check_tiff(image: Image.Image, name: str) -> None:
    """Raise `ImageError` for a TIFF that Pillow reads wrongly: 16 bits in one plane for each colour."""
    tags = getattr(image, "tag_v2", {}) if image.format == "TIFF" else {}
    if tags.get(_PLANAR) == 2 and tags.get(_SAMPLES, 1) > 1 and max(tags.get(_BITS, (1,))) > 8:
        raise ImageError(
            f"{name} is a TIFF of more than 8 bits with a plane for each colour (PlanarConfiguration 2); "
            "save it with interleaved colours, or as PNG"
        )


def uint16_to_uint8(values: NDArray[Any]) -> NDArray[np.uint8]:
    """0..65535 -> 0..255, rounded."""
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)


def array_to_uint8(array: NDArray[Any], name: str) -> NDArray[np.uint8]:
    """An array (H, W) or (H, W, C), the fourth channel alpha, as 8 bits.

    Raises:
        ImageError: a dtype or a range of which the white cannot be told.
    """
    kind, bits = array.dtype.kind, array.dtype.itemsize * 8
    if kind == "u" and bits == 8:
        return array
    if kind == "u" and bits == 16:
        _refuse_black(float(array[..., :3].max() if array.ndim == 3 else array.max()), 65535, name)
        return uint16_to_uint8(array)
    if kind == "b":
        return array.astype(np.uint8) * np.uint8(255)
    if kind != "f":
        raise ImageError(f"{name} has the wrong dtype; if it holds 0..255, try image.astype(np.uint8)")
    low, high = float(array.min()), float(array.max())
    if not np.isfinite([low, high]).all():
        raise ImageError(f"{name} holds NaN or infinity; fill those values first (np.nan_to_num)")
    slack = _SLACK["F", 1]
    if low < -slack or high > 1 + slack:
        fix = "divide by the value of white first, image / 255 for 8 bits"
        if low < -slack:  # dividing would not help
            fix = "undo their normalisation first, (image + 1) / 2 or image * std + mean"
        raise ImageError(f"{name} has values from {low:g} to {high:g}, but floats must lie in 0..1: {fix}")
    scaled = array.astype(np.float32, copy=False) * np.float32(255) + np.float32(0.5)
    return np.clip(scaled, 0, 255, out=scaled).astype(np.uint8)


def warn_of_black(pixels: NDArray[np.uint8], name: str) -> None:
    """Warn where a photo holds nothing but 0 and 1, of 255: a mask of truth values, or 0..1 that was cut off.

    A camera that sees nothing gives that as well, so it is no error.
    """
    if pixels[::_LOOK].max() <= 1 and pixels.max() == 1:
        warnings.warn(
            f"{name} holds no value but 0 and 1, of 255: it is a black sheet; if 1 is white, give booleans "
            "or floats, or multiply it by 255",
            ImageWarning,
            stacklevel=2,
        )


def _refuse_black(high: float, white: float, name: str, part: float = _BLACK) -> None:
    if 0 < high < white / part:
        raise ImageError(
            f"{name} has values up to {high:g} where white is {white:g}, as if it held 8, 10 or 12 bits: it "
            "would be a black sheet; scale it to 0..1 by the white it has, image / 255.0, image / 1023.0 or "
            "image / 4095.0"
        )
