"""Where the pixels of a photo lie in the model's square, and back.

Coordinates are continuous: `(x, y)`, x to the right, y down, and pixel (i, j) covers the unit square
from (i, j) to (i + 1, j + 1), so its centre is at (i + 0.5, j + 0.5).
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from petseg.pixels.scaling import scaled
from petseg.pixels.speckles import without_speckles

FILL = 127
"""Grey that pads the square: the value closest to the middle of 0..255."""
GAP = 2.0
"""Of `scaled`: a photo with four pixels or more, along a side, to one of the square is halved first."""

Region: TypeAlias = tuple[int, int, int, int]
"""x0, y0, x1, y1 in pixels, ends exclusive."""


def bounds(mask: NDArray[np.bool_]) -> Region:
    """The region around the true pixels of a mask (H, W) that has some.

    Raises:
        ValueError: it has none.
    """
    columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
    if not len(columns):
        raise ValueError("the mask has no true pixel to put bounds around")
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


@dataclass(frozen=True, slots=True)
class Letterbox:
    """A photo, or a region of it, scaled to fit a square and centred in it, its aspect ratio kept.

    Attributes:
        width, height: the photo, in pixels.
        size: side of the square, in model pixels.
        left, top: upper left corner of the region inside the square, in model pixels.
        inner_width, inner_height: the scaled region, in model pixels, at least 1 each.
        region: what of the photo the square shows.
    """

    width: int
    height: int
    size: int
    left: int
    top: int
    inner_width: int
    inner_height: int
    region: Region

    @classmethod
    def fit(cls, width: int, height: int, size: int, region: Region | None = None) -> "Letterbox":
        """The letterbox of a `width` x `height` photo, or a region of it, in a `size` x `size` square.

        Raises:
            ValueError: a length below 1, or a region that is empty or not inside the photo.
        """
        if min(width, height, size) < 1:
            raise ValueError(f"width, height and size must be positive, got {width}, {height}, {size}")
        x0, y0, x1, y1 = region = region or (0, 0, width, height)
        if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
            raise ValueError(f"region {region} does not fit a photo of {width} x {height} pixels")
        scale = size / max(x1 - x0, y1 - y0)
        inner_width = max(1, round((x1 - x0) * scale))
        inner_height = max(1, round((y1 - y0) * scale))
        left, top = (size - inner_width) // 2, (size - inner_height) // 2
        return cls(width, height, size, left, top, inner_width, inner_height, region)

    @property
    def inner(self) -> tuple[slice, slice]:
        """(rows, columns) of the square that show the region."""
        return (
            slice(self.top, self.top + self.inner_height),
            slice(self.left, self.left + self.inner_width),
        )

    @property
    def whole(self) -> bool:
        """Whether the square shows the whole photo."""
        return self.region == (0, 0, self.width, self.height)

    @property
    def enlarges(self) -> bool:
        """Whether `restore` makes what the square shows no smaller, in either direction."""
        x0, y0, x1, y1 = self.region
        return x1 - x0 >= self.inner_width and y1 - y0 >= self.inner_height

    @property
    def pixel(self) -> float:
        """Side of one of the square's pixels, in pixels of the photo."""
        x0, y0, x1, y1 = self.region
        return max((x1 - x0) / self.inner_width, (y1 - y0) / self.inner_height)

    def resized(self, width: int, height: int) -> "Letterbox":
        """The same square, of a copy of the photo that is `width` x `height`, no larger than the photo."""
        scale = (width / self.width, height / self.height) * 2
        x0, y0, x1, y1 = (round(edge * by) for edge, by in zip(self.region, scale, strict=True))
        region = (min(x0, width - 1), min(y0, height - 1), max(x1, x0 + 1), max(y1, y0 + 1))
        return replace(self, width=width, height=height, region=region)

    def contains(self, points: NDArray[np.float64]) -> bool:
        """Whether all of these (N, 2) points of the photo lie in the region."""
        x0, y0, x1, y1 = self.region
        return bool(((points >= (x0, y0)) & (points <= (x1, y1))).all())

    def apply(self, image: NDArray[np.uint8], fill: int = FILL, *, clean: bool = True) -> NDArray[np.uint8]:
        """Cut the region out of an (H, W, 3) uint8 photo, scale and pad it to (size, size, 3) uint8.

        Where the region is the whole photo, a smaller copy of that will do
        (`petseg.pixels.image.load_reduced`).

        Args:
            image: the photo.
            fill: grey around it.
            clean: take speckles out, but of a photo that is halved first: less of them is seen of that.
        """
        square = np.full((self.size, self.size, *image.shape[2:]), fill, np.uint8)
        if not self.whole:
            x0, y0, x1, y1 = self.region
            image = image[y0:y1, x0:x1]
        if clean and self.pixel < 2 * GAP:
            image = without_speckles(image)
        square[self.inner] = scaled(image, (self.inner_width, self.inner_height), GAP)
        return square

    def apply_labels(self, labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The same for an (H, W) uint8 map of labels, by nearest neighbour and with 0 around it."""
        x0, y0, x1, y1 = self.region
        rows, columns = (
            start + ((np.arange(count) + 0.5) * (end - start) / count).astype(int)
            for start, end, count in ((y0, y1, self.inner_height), (x0, x1, self.inner_width))
        )
        square = np.zeros((self.size, self.size), np.uint8)
        square[self.inner] = labels[np.ix_(rows, columns)]
        return square

    def restore(self, plane: NDArray[np.float32], outside: float = 0.0) -> NDArray[np.float32]:
        """Scale what one (size, size) float32 plane says of the region, bilinear, to the photo's pixels.

        Args:
            plane: one value for each pixel of the square.
            outside: the value of pixels of the photo that the square does not show.

        Returns:
            (height, width) float32.
        """
        inner = np.ascontiguousarray(plane[self.inner], dtype=np.float32)
        return self._place(Image.fromarray(inner), Image.Resampling.BILINEAR, np.float32(outside))

    def see(self, plane: NDArray[np.float32], of: "Letterbox", outside: float) -> NDArray[np.float32]:
        """What a plane says that belongs to another letterbox of the same photo, at this one's pixels.

        Args:
            plane: (of.size, of.size) float32.
            of: that letterbox.
            outside: the value of pixels that it does not show.

        Returns:
            (size, size) float32, bilinear.
        """
        scale = of._scale / self._scale
        shift = (np.array(self.region[:2]) - of.region[:2]) * of._scale - self._offset * scale
        inner = Image.fromarray(np.ascontiguousarray(plane[of.inner], dtype=np.float32))
        matrix = (scale[0], 0, shift[0], 0, scale[1], shift[1])
        seen = inner.transform(
            (self.size, self.size),
            Image.Transform.AFFINE,
            tuple(map(float, matrix)),
            Image.Resampling.BILINEAR,
            fillcolor=outside,
        )
        return np.asarray(seen)

    def restore_part(self, plane: NDArray[np.float32], part: Region) -> NDArray[np.float32]:
        """What `restore` gives for a part of the photo, which lies in the region, up to rounding."""
        left, top, right, bottom = part
        inner = Image.fromarray(np.ascontiguousarray(plane[self.inner], dtype=np.float32))
        size = right - left, bottom - top
        return np.asarray(inner.resize(size, Image.Resampling.BILINEAR, self.cells(part)))

    def cells(self, part: Region) -> tuple[float, float, float, float]:
        """Where a part of the photo, which lies in the region, is among the pixels of `inner`."""
        x0, y0, x1, y1 = self.region
        across, down = self.inner_width / (x1 - x0), self.inner_height / (y1 - y0)
        left, top, right, bottom = part
        return (left - x0) * across, (top - y0) * down, (right - x0) * across, (bottom - y0) * down

    def restore_tile(self, planes: NDArray[np.float32], tile: Region) -> NDArray[np.float32]:
        """What `restore_part` gives of each of some planes (K, size, size), (K, h, w), up to rounding.

        By two products of matrices: of a tile that is small beside the square, several times as fast.
        """
        left, top, right, bottom = self.cells(tile)
        rows, down = _bilinear(top, bottom, tile[3] - tile[1], self.inner_height)
        columns, across = _bilinear(left, right, tile[2] - tile[0], self.inner_width)
        inner = planes[:, *self.inner][:, rows, columns]
        return np.asarray(down @ inner @ across.T, np.float32)

    def reach(self, pixels: NDArray[np.bool_]) -> Region | None:
        """The part of the photo whose restored values depend on any of these (size, size) pixels.

        Returns:
            None where none of them shows the region.
        """
        inner = pixels[self.inner]
        if not inner.any():
            return None
        # Bilinear: a value depends on what is nearer than a pixel, of the larger kind, to its centre.
        margin = np.ceil(np.maximum(1, self._scale)).astype(int)
        x0, y0, x1, y1 = bounds(inner)
        low = np.floor((np.array([x0, y0]) - margin) / self._scale) + self.region[:2]
        high = np.ceil((np.array([x1, y1]) + margin) / self._scale) + self.region[:2]
        left, top = np.maximum(low, self.region[:2]).astype(int).tolist()
        right, bottom = np.minimum(high, self.region[2:]).astype(int).tolist()
        return left, top, right, bottom

    def restore_labels(self, labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The same for a (size, size) uint8 map of labels, by nearest neighbour, 0 outside."""
        inner = np.ascontiguousarray(labels[self.inner])
        return self._place(Image.fromarray(inner), Image.Resampling.NEAREST, np.uint8(0))

    def _place(self, inner: Image.Image, method: Image.Resampling, outside: Any) -> NDArray[Any]:
        x0, y0, x1, y1 = self.region
        resized = np.asarray(inner.resize((x1 - x0, y1 - y0), method))
        if self.whole:
            return resized
        result = np.full((self.height, self.width), outside)
        result[y0:y1, x0:x1] = resized
        return result

    def to_model(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map (N, 2) points of the photo to the square."""
        return (points - self.region[:2]) * self._scale + self._offset

    def to_image(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map (N, 2) points of the square to the photo; the inverse of `to_model`."""
        return (points - self._offset) / self._scale + self.region[:2]

    @property
    def _scale(self) -> NDArray[np.float64]:
        x0, y0, x1, y1 = self.region
        return np.array([self.inner_width / (x1 - x0), self.inner_height / (y1 - y0)])

    @property
    def _offset(self) -> NDArray[np.float64]:
        return np.array([self.left, self.top], np.float64)


@lru_cache(maxsize=512)  # tiles of a row have their rows in common, those of a column their columns
def _bilinear(start: float, end: float, count: int, length: int) -> tuple[slice, NDArray[np.float32]]:
    """How `count` values at even steps from `start` to `end` are made of `length` values, 1 apart.

    Returns:
        Which of them matter, and (count, those) their weights, which are Pillow's.
    """
    scale = (end - start) / count
    support = max(1.0, scale)
    first, last = max(0, int(start - support)), min(length, int(end + support) + 1)
    centres = start + (np.arange(count) + 0.5) * scale
    away = np.abs(np.arange(first, last) + 0.5 - centres[:, None])
    weights = np.maximum(0, 1 - away / support)
    return slice(first, last), (weights / weights.sum(1, keepdims=True)).astype(np.float32)
