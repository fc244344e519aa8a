"""Results without a network: logits that were written down."""

import numpy as np
from numpy.typing import NDArray

from petseg.pixels.geometry import Letterbox
from petseg.segmentation import Segmentation

WIDTH, HEIGHT, SIDE = 100, 60, 32
PHOTO = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


def result(resize: str = "smooth", logits: NDArray[np.float32] | None = None) -> Segmentation:
    """A cat on the left that is a third larger than the dog on the right, both sure of themselves."""
    if logits is None:
        logits = np.zeros((3, SIDE, SIDE), np.float32)
        logits[0] = 8
        logits[:, 10:22, 4:16] = np.array([-2, 6, 0])[:, None, None]
        logits[:, 10:22, 20:29] = np.array([-2, 0, 6])[:, None, None]
    return Segmentation(logits, Letterbox.fit(WIDTH, HEIGHT, SIDE), PHOTO, "tiny", resize=resize)


def noise() -> NDArray[np.float32]:
    """(3, SIDE, SIDE), the same each time."""
    return np.random.default_rng(1).normal(size=(3, SIDE, SIDE)).astype(np.float32)
