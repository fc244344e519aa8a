"""Answers whose pets are red, on green ground."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from petseg.pixels.geometry import Letterbox
from petseg.segmentation import Segmentation

SIDE = 32
WIDTH, HEIGHT = 160, 120
GREEN = (20, 160, 60)
CAT = (1, slice(10, 24), slice(2, 12))
DOG = (2, slice(8, 26), slice(16, 30))


def answer(
    *places: tuple[int, slice, slice], size: tuple[int, int] = (WIDTH, HEIGHT), **given: Any
) -> Segmentation:
    """Red where an animal is said to be, on green ground."""
    logits = np.zeros((3, SIDE, SIDE), np.float32)
    logits[0] = 8
    for number, rows, columns in places:
        logits[:, rows, columns] = -6
        logits[number, rows, columns] = 6
    box = Letterbox.fit(*size, SIDE)
    photo = np.full((size[1], size[0], 3), GREEN, np.uint8)
    photo[Segmentation(logits, box, photo, "tiny").mask != 0] = (200, 30, 40)
    return Segmentation(logits, box, given.pop("photo", photo), "tiny", **given)


def pixels(image: Image.Image) -> NDArray[np.int64]:
    return np.asarray(image).astype(int)
