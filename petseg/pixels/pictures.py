"""Pictures of a result, made a strip at a time: Pillow's own copies are all that a large photo takes."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from petseg.pixels.classes import COLORS, Color, palette
from petseg.pixels.margins import Margins, softmax

_STRIP = 1 << 20
"""Pixels that are painted at a time."""


def overlay(
    photo: NDArray[np.uint8], mask: NDArray[np.uint8], opacity: float, colors: Mapping[str, Color]
) -> Image.Image:
    """A photo (H, W, 3) with the pets of its mask (H, W) tinted, as an RGB image.

    Raises:
        OutputError: an unknown class, or something that is no colour.
    """
    tints, strength = palette(colors), round(255 * opacity)
    image = Image.fromarray(photo)
    height, width = mask.shape
    step = max(1, _STRIP // width)
    for top in range(0, height, step):
        part = mask[top : top + step]
        if part.any():
            strengths = Image.fromarray((part != 0).view(np.uint8) * np.uint8(strength))
            image.paste(Image.fromarray(tints[part]), (0, top), strengths)
    return image


def cutout(photo: NDArray[np.uint8], margins: Margins, threshold: float | None) -> Image.Image:
    """The pets of a photo (H, W, 3) as an RGBA image; see `petseg.segmentation.Segmentation.cutout`."""
    image = Image.new("RGBA", (photo.shape[1], photo.shape[0]))
    for part, cat, dog in margins.strips():
        alpha = 1 - softmax(cat, dog)[0]
        if threshold is not None:
            pet, other = alpha * np.float32(1 - threshold), (1 - alpha) * np.float32(threshold)
            np.divide(pet, pet + other, out=alpha)
        opacity = (np.clip(alpha * 2 - 0.5, 0, 1) * 255 + 0.5).astype(np.uint8)
        shown = opacity != 0
        if shown.any():
            # What is clear is black, since who takes the opacity away would see it. The half-clear edge keeps
            # the photo's own colour: darkened by its opacity, it would be a halo on any ground.
            colour = photo[part] * shown[..., None]
            image.paste(Image.fromarray(np.dstack([colour, opacity])), (part[1].start, part[0].start))
    return image


def mask(classes: NDArray[np.uint8], *, gray: bool) -> Image.Image:
    """A mask (H, W) as an image of the same values: grey, or with a palette that shows them in colour."""
    image = Image.fromarray(classes)
    if not gray:
        image.putpalette(palette(COLORS).tobytes())  # L becomes P
    return image
