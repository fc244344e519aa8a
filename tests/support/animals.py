"""Answers with animals of any shape, without a network."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from petseg.pixels.geometry import Letterbox
from petseg.segmentation import Segmentation

SIDE = 48


def answer(
    classes: NDArray[np.uint8], source: str | None = None, scale: int = 1, *, pointed: bool = False
) -> Segmentation:
    """An answer whose network said exactly this, as if its pixels were `scale` of the photo's.

    Args:
        classes: (S, S) uint8, 0 background, 1 cat, 2 dog.
        source: where the photo was read from.
        scale: the photo is so many times as large.
        pointed: all of it is one animal, which was pointed at.
    """
    side = len(classes)
    logits = np.full((3, side, side), -6, np.float32)
    np.put_along_axis(logits, classes[None].astype(int), 6, 0)
    photo = np.random.default_rng(side).integers(0, 256, (side * scale, side * scale, 3), np.uint8)
    letterbox = Letterbox.fit(side * scale, side * scale, side)
    return Segmentation(
        logits, letterbox, photo, "tiny", source=source, animals=logits[1:2] if pointed else None
    )


def blobs(seed: int, side: int = SIDE) -> NDArray[np.uint8]:
    """(side, side) classes of some animals with ragged edges, holes and narrow places."""
    coarse = np.random.default_rng(seed).normal(size=(2, side // 4, side // 4))
    planes = [
        np.asarray(Image.fromarray(plane.astype(np.float32)).resize((side, side), Image.Resampling.BICUBIC))
        for plane in coarse
    ]
    strength, species = planes
    return np.where(strength > 0.15, np.where(species > 0, 1, 2), 0).astype(np.uint8)


def drawn(*rows: str) -> NDArray[np.uint8]:
    """Classes of a small square, a digit a pixel."""
    return np.array([[int(digit) for digit in row] for row in rows], np.uint8)
