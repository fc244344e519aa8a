"""Pictures for the page: all are (h, w, 3) uint8 RGB, unless it says otherwise."""

import numpy as np
from numpy.typing import NDArray

from petseg import Segmentation
from petseg.app.state import Pixels
from petseg.pixels.classes import COLORS

PALETTE = np.array(list(COLORS.values()), np.uint8)


def overlay(result: Segmentation, opacity: float) -> Pixels:
    """The photo with its pets tinted and outlined."""
    return outlined(np.array(result.overlay(opacity)), result.mask)


def outlined(picture: Pixels, classes: Pixels) -> Pixels:
    """Draw the borders of a mask's classes into a picture of its size, in place."""
    thickness = max(1, round(max(classes.shape) / 400))
    inner, outer = _borders(classes, thickness)
    picture[outer] = 255
    picture[inner] = PALETTE[classes[inner]]
    return picture


def _borders(classes: Pixels, thickness: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Pixels of a pet next to another class, and those of the background next to a pet; both (h, w) bool."""
    differs = np.zeros(classes.shape, bool)
    across, down = classes[:, 1:] != classes[:, :-1], classes[1:] != classes[:-1]
    for place, where in (
        ((slice(None), slice(1, None)), across),
        ((slice(None), slice(-1)), across),
        ((slice(1, None),), down),
        ((slice(-1),), down),
    ):
        differs[place] |= where
    inner = differs
    for _ in range(thickness - 1):
        inner = _grown(inner)
    pet = classes != 0
    return inner & pet, _grown(differs) & ~pet


def _grown(area: NDArray[np.bool_]) -> NDArray[np.bool_]:
    grown = area.copy()
    grown[1:] |= area[:-1]
    grown[:-1] |= area[1:]
    grown[:, 1:] |= area[:, :-1]
    grown[:, :-1] |= area[:, 1:]
    return grown
