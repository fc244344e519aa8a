"""Photos made smaller, a strip at a time: Pillow's own copy of a large one takes more than the photo."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_STRIP = 1 << 22
"""Pixels that are made smaller at a time."""


def scaled(photo: NDArray[Any], size: tuple[int, int], gap: float) -> Image.Image:
    """What Pillow's bilinear `resize` with this `reducing_gap` gives, to the bit.

    That gap lets it halve large photos with its fast box filter first, and they are halved here in strips.

    Args:
        photo: (H, W, 3) or (H, W) uint8, also a part of a larger one.
        size: (width, height) of the result.
        gap: how many times as large as the result the halved photo must be, at least.
    """
    height, width = photo.shape[:2]
    across, down = (
        int(length / wanted / gap) or 1 for length, wanted in zip((width, height), size, strict=True)
    )
    if across == down == 1:
        return Image.fromarray(np.ascontiguousarray(photo)).resize(size, Image.Resampling.BILINEAR)
    rows = max(1, _STRIP // (width * down)) * down
    strips = [
        np.asarray(Image.fromarray(np.ascontiguousarray(photo[top : top + rows])).reduce((across, down)))
        for top in range(0, height, rows)
    ]
    reduced = Image.fromarray(np.concatenate(strips))
    return reduced.resize(size, Image.Resampling.BILINEAR, (0, 0, width / across, height / down))
