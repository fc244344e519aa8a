"""Speckles: pixels of a photo that are black or white by themselves, as dust and faulty sensors leave them.

A network takes them for a texture, by which it tells fur from cloth. What a photo shows is seldom so alone:
where many are, they give way to their neighbours, and all other pixels stay (a switching filter for impulse
noise, as in doi:10.1109/97.995823). In a photo of grass or of thin slanting lines some pixels are as alone;
nobody but the network sees what became of them. In a JPEG most have been blurred, and stay.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

BLACK, WHITE = 8, 247
"""Values of a speckle's channels, at most and at least."""
ALONE = 3
"""Neighbours that are black, or white, as a speckle is, at most, of eight."""
APART = 48
"""Difference of a speckle from its other neighbours, at least, as the mean of the channels."""
MANY = 0.01
"""Share of a photo's pixels that are speckles, from which on they are taken out."""
GRID = 160
"""Places along a photo's longer side that are looked at first: has it no speckles there, it has none."""


def without_speckles(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A photo (H, W, 3) uint8, its speckles the mean of their neighbours; the photo itself if it has few."""
    if not _may_have_them(photo):
        return photo
    black, white = _extremes(photo)
    plain = ~(black | white)
    number = _around(plain)
    sums = [_around(np.where(plain, photo[..., channel], 0)) for channel in range(3)]
    means = np.stack([(total + number // 2) // np.maximum(number, 1) for total in sums], 2)
    brighter = means.sum(2) - photo.sum(2, dtype=np.int64)
    speckles = black & (_around(black) <= ALONE) & (brighter >= 3 * APART)
    speckles |= white & (_around(white) <= ALONE) & (brighter <= -3 * APART)
    speckles &= number > 0
    if np.count_nonzero(speckles) < MANY * speckles.size:
        return photo
    return np.where(speckles[..., None], means, photo).astype(np.uint8)


def _may_have_them(photo: NDArray[np.uint8]) -> bool:
    """Whether enough places of a grid are black or white while those to the right and below are not."""
    step = max(photo.shape[:2]) // GRID + 1
    height, width = ((length + step - 2) // step for length in photo.shape[:2])
    middle, right, below = (
        _extremes(photo[row::step, column::step][:height, :width]) for row, column in ((0, 0), (0, 1), (1, 0))
    )
    alone = sum(np.count_nonzero(m & ~r & ~b) for m, r, b in zip(middle, right, below, strict=True))
    return bool(alone >= MANY * height * width > 0)


def _extremes(photo: NDArray[np.uint8]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """(H, W) each: which pixels are black, and which are white."""
    red, green, blue = (photo[..., channel] for channel in range(3))
    black: NDArray[np.bool_] = np.maximum(np.maximum(red, green), blue) <= BLACK
    white: NDArray[np.bool_] = np.minimum(np.minimum(red, green), blue) >= WHITE
    return black, white


def _around(values: NDArray[Any]) -> NDArray[np.int16]:
    """(H, W): the sum of each pixel's eight neighbours, those beyond the edge being 0."""
    padded = np.pad(values.astype(np.int16), 1)
    rows = padded[:-2] + padded[1:-1] + padded[2:]
    return np.asarray(rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:] - padded[1:-1, 1:-1])
