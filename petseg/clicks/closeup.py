"""Looking closer: which region of a photo shows a small animal well.

A promptable model first sees the whole photo. Where its answer, or the box it was given, is small, it looks
at a close-up, in which the animal has many more pixels (after f-BRS, arXiv:2001.10331); and, where it was not
given a box, once more at what it finds there, which often is less than it took for one animal at first.
What is too large for that is seen a second time too, a little larger, and the mean of both answers counts.
"""

import numpy as np
from numpy.typing import NDArray

from petseg.clicks.prompts import Prompt
from petseg.pixels.geometry import Region

ZOOMS = 2
"""Close-ups at most, each of what was found in the one before."""
SAME = 0.8
"""IoU of two regions above which the second one would show nothing new."""
MARGIN = 1.6
"""Side of a close-up over the longer side of what it shows: room for what the first look missed."""
WORTH = 0.7
"""Largest side of a close-up over the longer side of the photo: above, the first look was as good."""
TIGHT = 1.1
"""The same where the animal is too large for that."""
SHOWS_MORE = 0.95
"""Largest side of such a close-up over the longer side of the photo: above, it is the same once more."""
SMALLEST = 48
"""Smallest side of a close-up, in pixels of the photo: below, there is nothing to see but a blur."""
DOUBT = -4.0
"""By how much a pet exceeds background somewhere in an answer of none that is doubted."""
AGAIN = 0.5
"""Side of the close-up of where such an answer is doubted, over the longer side of the photo."""


def wanted(prompt: Prompt) -> NDArray[np.float64]:
    """The points (N, 2) that a close-up must not leave out: wanted clicks and the corners of the box."""
    clicks = prompt.points[prompt.positive]
    return clicks if prompt.box is None else np.concatenate([clicks, prompt.box.reshape(2, 2)])


def around(width: int, height: int, click: NDArray[np.float64]) -> NDArray[np.float64]:
    """The points (2, 2) between which a click (2,) on a `width` x `height` photo is looked at once more."""
    reach = AGAIN / MARGIN * max(width, height) / 2
    return np.stack([click - reach, click + reach])


def close_up(width: int, height: int, corners: NDArray[np.float64], *, tight: bool = False) -> Region | None:
    """The region of a `width` x `height` photo that shows what lies between some points (N, 2) well.

    Args:
        tight: with little around it.

    Returns:
        A square, cut where the photo is narrower; None if it would show hardly less than the whole.
    """
    margin, worth = (TIGHT, SHOWS_MORE) if tight else (MARGIN, WORTH)
    low, high = corners.min(0), corners.max(0)
    side = max(margin * float((high - low).max()), SMALLEST)
    if side > worth * max(width, height):
        return None
    left, right = _stretch((low[0] + high[0]) / 2, side, width)
    top, bottom = _stretch((low[1] + high[1]) / 2, side, height)
    return left, top, right, bottom


def overlap(one: Region, other: Region) -> float:
    """IoU of two regions."""
    width, height = (
        max(0, min(one[axis + 2], other[axis + 2]) - max(one[axis], other[axis])) for axis in (0, 1)
    )
    areas = [(x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in (one, other)]
    return width * height / (sum(areas) - width * height)


def _stretch(centre: float, side: float, limit: int) -> tuple[int, int]:
    """A stretch of about this length around the centre, moved and cut to lie in 0..limit."""
    length = min(limit, round(side))
    start = min(max(0, round(centre - length / 2)), limit - length)
    return start, start + length
