"""The classes of a pixel, and their colours."""

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from petseg.errors import OutputError

CLASSES = ("background", "cat", "dog")
BORDER = 255
"""Label of pixels that belong to no class: the trimap's border, or an unsure pseudo-mask."""

Color: TypeAlias = tuple[int, int, int]
COLORS: dict[str, Color] = {"background": (0, 0, 0), "cat": (255, 140, 0), "dog": (0, 114, 255)}
"""Class -> RGB; orange and blue stay apart for colour-blind eyes too."""


def palette(colors: Mapping[str, Color]) -> NDArray[np.uint8]:
    """(3, 3) uint8 RGB by class."""
    if not isinstance(colors, Mapping):
        raise OutputError(f"colors is {colors!r}; give a dictionary from classes to (red, green, blue)")
    if unknown := set(colors) - set(CLASSES):
        raise OutputError(f"colors has {sorted(unknown)}; the classes are {', '.join(CLASSES)}")
    chosen = COLORS | dict(colors)
    try:
        values = np.array([chosen[name] for name in CLASSES])
        if values.shape != (3, 3) or values.dtype.kind not in "iu" or values.min() < 0 or values.max() > 255:
            raise ValueError("not three whole numbers of 0..255")
    except (TypeError, ValueError) as error:
        raise OutputError(
            f"colors {dict(colors)} are no colours ({error}); give (red, green, blue)"
        ) from error
    return values.astype(np.uint8)
