"""What people draw around animals, as pixels: polygons, and run lengths of COCO, Label Studio and CVAT."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from petseg.pixels import rle
from petseg.pixels.classes import BORDER

Part: TypeAlias = tuple[slice, slice]
"""Rows and columns of a photo."""


class Shape(Protocol):
    """One outline."""

    def inside(self, width: int, height: int) -> tuple[Part, NDArray[np.bool_]]:
        """A part of the photo, outside of which the shape is nowhere, and (h, w) where it is in there.

        Raises:
            ValueError: the shape does not fit a photo of this size.
        """


@dataclass(frozen=True, slots=True)
class Polygon:
    """A ring of vertices: (N, 2) float64, x and y in pixels; (0, 0) is the photo's upper left corner."""

    ring: NDArray[np.float64]

    def inside(self, width: int, height: int) -> tuple[Part, NDArray[np.bool_]]:
        """Where the centres of pixels lie inside, by the even-odd rule."""
        low = np.clip(np.floor(self.ring.min(0)), 0, (width, height)).astype(int)
        high = np.clip(np.ceil(self.ring.max(0)), low, (width, height)).astype(int)
        (left, top), (columns, rows) = low, high - low
        x, y = (self.ring - low).T
        x1, y1 = np.roll(x, -1), np.roll(y, -1)
        toggles = np.zeros((rows, columns + 1), np.int32)
        # An edge toggles, in each row whose centre it crosses, all that lies to the right of it.
        first = np.clip(np.ceil(np.minimum(y, y1) - 0.5), 0, rows).astype(int)
        last = np.clip(np.ceil(np.maximum(y, y1) - 0.5), 0, rows).astype(int)
        counts = last - first
        edge = np.repeat(np.arange(len(x)), counts)
        row = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + first[edge]
        slope = (x1[edge] - x[edge]) / (y1[edge] - y[edge])
        crossing = x[edge] + (row + 0.5 - y[edge]) * slope
        column = np.clip(np.ceil(crossing - 0.5), 0, columns).astype(int)
        np.add.at(toggles, (row, column), 1)
        inside = np.cumsum(toggles, 1)[:, :columns] % 2 == 1
        return (slice(top, top + rows), slice(left, left + columns)), inside


@dataclass(frozen=True, slots=True)
class Runs:
    """Lengths of 0 and 1 by turns, 0 first, in a box.

    Attributes:
        lengths: (N,) int64.
        by_column: whether they go down the columns, as COCO's do, or along the rows, as CVAT's.
        box: left, top, width, height; None is the whole photo.
    """

    lengths: NDArray[np.int64]
    by_column: bool
    box: tuple[int, int, int, int] | None = None

    def inside(self, width: int, height: int) -> tuple[Part, NDArray[np.bool_]]:
        """See `Shape`."""
        left, top, columns, rows = self.box or (0, 0, width, height)
        if (self.lengths < 0).any():
            raise ValueError(f"a run of {int(self.lengths.min())} pixels: run lengths cannot be negative")
        if self.lengths.sum() != columns * rows:
            raise ValueError(
                f"run lengths of {int(self.lengths.sum())} pixels do not fill {columns} x {rows}"
            )
        if left < 0 or top < 0 or columns < 1 or left + columns > width or top + rows > height:
            raise ValueError(f"a box of {columns} x {rows} at {left}, {top} lies outside of the photo")
        flat = np.repeat(np.arange(len(self.lengths)) % 2 == 1, self.lengths)
        inside = flat.reshape(columns, rows).T if self.by_column else flat.reshape(rows, columns)
        return (slice(top, top + rows), slice(left, left + columns)), inside


@dataclass(frozen=True, slots=True)
class Brush:
    """A brush of Label Studio: bytes of thi.ng's rle-pack, of the four channels of each pixel, row by row."""

    data: bytes

    def inside(self, width: int, height: int) -> tuple[Part, NDArray[np.bool_]]:
        """Where the fourth channel, its opacity, is more than half."""
        opacity = rle.from_label_studio(self.data, 4 * width * height).reshape(height, width, 4)[..., 3]
        return (slice(0, height), slice(0, width)), opacity > 127


@dataclass(frozen=True, slots=True)
class Region:
    """An outline and what is inside: 0 background, 1 cat, 2 dog, 255 ignored."""

    number: int
    shape: Shape


@dataclass(frozen=True, slots=True)
class Outlined:
    """The outlines of a photo.

    Attributes:
        width, height: of the photo that they were drawn on, in pixels; 0 where nobody says, and none are.
        regions: what is in front comes last.
    """

    width: int
    height: int
    regions: Sequence[Region]

    def mask(self) -> NDArray[np.uint8]:
        """(H, W) uint8: 0 background, 1 cat, 2 dog, 255 ignored; what is ignored lies behind all else.

        Raises:
            ValueError: an outline does not fit the photo.
        """
        mask = np.zeros((self.height, self.width), np.uint8)
        for region in sorted(self.regions, key=lambda region: region.number != BORDER):
            part, inside = region.shape.inside(self.width, self.height)
            mask[part][inside] = region.number
        return mask
