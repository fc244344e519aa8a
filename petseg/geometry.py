"""Where the pixels of a photo lie in the model's square, and back.

Coordinates are continuous: `(x, y)`, x to the right, y down, and pixel (i, j) covers the unit square
from (i, j) to (i + 1, j + 1), so its centre is at (i + 0.5, j + 0.5).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

FILL = 127
"""Grey that pads the square: the value closest to the middle of 0..255."""


@dataclass(frozen=True, slots=True)
class Letterbox:
    """A photo scaled to fit a square and centred in it, its aspect ratio kept.

    Attributes:
        width, height: the photo, in pixels.
        size: side of the square, in model pixels.
        left, top: upper left corner of the photo inside the square, in model pixels.
        inner_width, inner_height: the scaled photo, in model pixels, at least 1 each.
    """

    width: int
    height: int
    size: int
    left: int
    top: int
    inner_width: int
    inner_height: int

    @classmethod
    def fit(cls, width: int, height: int, size: int) -> "Letterbox":
        """The letterbox of a `width` x `height` photo in a `size` x `size` square."""
        if min(width, height, size) < 1:
            raise ValueError(f"width, height and size must be positive, got {width}, {height}, {size}")
        scale = size / max(width, height)
        inner_width = max(1, round(width * scale))
        inner_height = max(1, round(height * scale))
        left, top = (size - inner_width) // 2, (size - inner_height) // 2
        return cls(width, height, size, left, top, inner_width, inner_height)

    @property
    def inner(self) -> tuple[slice, slice]:
        """(rows, columns) of the square that the photo covers."""
        return (
            slice(self.top, self.top + self.inner_height),
            slice(self.left, self.left + self.inner_width),
        )

    def apply(self, image: NDArray[np.uint8], fill: int = FILL) -> NDArray[np.uint8]:
        """Scale and pad an (H, W, 3) uint8 photo to (size, size, 3) uint8."""
        square = np.full((self.size, self.size, *image.shape[2:]), fill, np.uint8)
        # reducing_gap lets Pillow halve large photos with its fast box filter first.
        resized = Image.fromarray(image).resize(
            (self.inner_width, self.inner_height), Image.Resampling.BILINEAR, reducing_gap=2.0
        )
        square[self.inner] = resized
        return square

    def restore(self, plane: NDArray[np.float32]) -> NDArray[np.float32]:
        """Cut the photo out of one (size, size) float32 plane and scale it, bilinear, to (height, width)."""
        inner = np.ascontiguousarray(plane[self.inner], dtype=np.float32)
        return np.asarray(Image.fromarray(inner).resize((self.width, self.height), Image.Resampling.BILINEAR))

    def restore_labels(self, labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The same for a (size, size) uint8 map of labels, by nearest neighbour."""
        inner = np.ascontiguousarray(labels[self.inner])
        return np.asarray(Image.fromarray(inner).resize((self.width, self.height), Image.Resampling.NEAREST))

    def to_model(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map (N, 2) points of the photo to the square."""
        return points * self._scale + self._offset

    def to_image(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map (N, 2) points of the square to the photo; the inverse of `to_model`."""
        return (points - self._offset) / self._scale

    @property
    def _scale(self) -> NDArray[np.float64]:
        return np.array([self.inner_width / self.width, self.inner_height / self.height])

    @property
    def _offset(self) -> NDArray[np.float64]:
        return np.array([self.left, self.top], np.float64)
