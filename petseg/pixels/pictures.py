"""Pictures of a result, made a strip at a time: Pillow's own copies are all that a large photo takes."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from petseg.pixels.classes import COLORS, Color, palette
from petseg.pixels.geometry import Region
from petseg.pixels.opacity import Opacity

_STRIP = 1 << 20
"""Pixels that are painted at a time."""


def overlay(
    photo: NDArray[np.uint8],
    classes: Callable[[slice], NDArray[np.uint8]],
    opacity: float,
    colors: Mapping[str, Color],
) -> Image.Image:
    """A photo (H, W, 3) with its pets tinted, as an RGB image; `classes` gives rows of its mask, (h, W).

    Raises:
        OutputError: an unknown class, or something that is no colour.
    """
    tints, strength = palette(colors), round(255 * opacity)
    image = Image.fromarray(photo)
    height, width = photo.shape[:2]
    step = max(1, _STRIP // width)
    for top in range(0, height, step):
        part = classes(slice(top, min(height, top + step)))
        if part.any():
            strengths = Image.fromarray((part != 0).view(np.uint8) * np.uint8(strength))
            image.paste(Image.fromarray(tints[part]), (0, top), strengths)
    return image


def cutout(opacity: Opacity, box: Region, smaller: int = 1) -> Image.Image:
    """What is in a box of a photo as an RGBA image.

    Args:
        opacity: of its pixels, and their colours.
        box: what is shown of it.
        smaller: by this factor in both directions, on the way: there is no room for all of a large photo.
    """
    width, height = box[2] - box[0], box[3] - box[1]
    image = Image.new("RGBA", (-(-width // smaller), -(-height // smaller)))
    for band in bands(box, smaller):
        rgba = np.empty((band[3] - band[1], band[2] - band[0], 4), np.uint8)
        rgba[..., 3] = opacity.cut(band, rgba[..., :3])
        shown = rgba[..., 3] != 0
        if shown.any():
            # What is clear is black, since who takes the opacity away would see it. The half-clear edge has
            # the pet's own colour: darkened by its opacity, it would be a halo on any ground.
            rgba.view(np.uint32)[..., 0] *= shown  # all four channels at once
            part = Image.fromarray(rgba)
            image.paste(part.reduce(smaller) if smaller > 1 else part, (0, (band[1] - box[1]) // smaller))
    return image


def lay_on(ground: Image.Image, opacity: Opacity, box: Region) -> Image.Image:
    """What is in a box of a photo, laid on an RGB image of the box's size, which is changed."""
    for band in bands(box):
        colours = np.empty((band[3] - band[1], band[2] - band[0], 3), np.uint8)
        opaque = opacity.cut(band, colours)
        if opaque.any():
            place = band[0] - box[0], band[1] - box[1]
            ground.paste(Image.fromarray(colours), place, Image.fromarray(opaque))
    return ground


def bands(box: Region, multiple: int = 1) -> Iterator[Region]:
    """A box in stripes from top to bottom, as high as there is room for; all but the last a multiple."""
    x0, y0, x1, y1 = box
    rows = max(1, _STRIP // ((x1 - x0) * multiple)) * multiple
    for top in range(y0, y1, rows):
        yield x0, top, x1, min(y1, top + rows)


def crop(photo: NDArray[np.uint8], box: Region) -> Image.Image:
    """What is in a box of a photo (H, W, 3) as an RGB image."""
    image = Image.new("RGB", (box[2] - box[0], box[3] - box[1]))
    for x0, y0, x1, y1 in bands(box):
        image.paste(Image.fromarray(np.ascontiguousarray(photo[y0:y1, x0:x1])), (0, y0 - box[1]))
    return image


def mask(classes: NDArray[np.uint8], *, gray: bool) -> Image.Image:
    """A mask (H, W) as an image of the same values: grey, or with a palette that shows them in colour."""
    image = Image.fromarray(classes)
    if not gray:
        image.putpalette(palette(COLORS).tobytes())  # L becomes P
    return image
