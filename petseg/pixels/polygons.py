"""From a mask to the outlines of its regions, in numpy.

Corners of pixels are the vertices: pixel (i, j) is the square from (i, j) to (i + 1, j + 1). A region is
a set of pixels of one class that hang together by their sides.

A region is kept as its runs, the stretches of one class along the rows: a photo of 100 megapixels has a few
ten thousand, where a number for each pixel would take 400 MB.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from petseg.lazy import lazy
from petseg.pixels.geometry import Region
from petseg.pixels.simplify import Ring, doubled_area, simplified

_STRIP = 1 << 22
"""Pixels of a mask that are looked at together."""


@dataclass(frozen=True)
class Outline:
    """One region.

    Attributes:
        exterior: clockwise on the screen.
        holes: counter-clockwise.
    """

    exterior: Ring
    holes: list[Ring]


@dataclass(frozen=True, eq=False)
class Runs:
    """The regions of a mask, as stretches along its rows in reading order.

    Attributes:
        shape: (height, width) of the mask.
        rows, starts, ends: (R,) int64 each: pixels `starts` to `ends`, exclusive, of row `rows`.
        kinds: (R,) uint8, the class, not 0.
    """

    shape: tuple[int, int]
    rows: NDArray[np.int64]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    kinds: NDArray[np.uint8]

    @classmethod
    def of(cls, mask: NDArray[np.uint8]) -> "Runs":
        """The runs of a mask (H, W) uint8, 0 is background."""
        height, width = mask.shape
        step = max(1, _STRIP // width)
        parts = [_runs(mask[top : top + step], top) for top in range(0, height, step)]
        rows, starts, ends, kinds = (np.concatenate(part) for part in zip(*parts, strict=True))
        return cls((height, width), rows, starts, ends, kinds)

    @lazy
    def touching(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(P,) each: a run, and one of the same class in the row above that it touches; sorted."""
        stride = self.shape[1] + 1
        above = (self.rows - 1) * stride
        first = np.searchsorted(self.rows * stride + self.ends, above + self.starts, "right")
        last = np.searchsorted(self.rows * stride + self.starts, above + self.ends, "left")
        counts = np.maximum(last - first, 0)
        lower = np.repeat(np.arange(len(counts)), counts)
        upper = np.arange(len(lower)) - np.repeat(np.cumsum(counts) - counts - first, counts)
        same = self.kinds[lower] == self.kinds[upper]
        return lower[same], upper[same]

    @lazy
    def numbers(self) -> NDArray[np.int64]:
        """(R,) the region of each: 0, 1, ... in reading order of their first pixels."""
        names, numbers = np.unique(_join(len(self.rows), *self.touching), return_inverse=True)
        return numbers.reshape(-1) if len(names) else np.zeros(0, np.int64)

    @property
    def count(self) -> int:
        """How many regions there are."""
        return int(self.numbers.max(initial=-1)) + 1

    @lazy
    def sizes(self) -> NDArray[np.int64]:
        """(N,) pixels of each region."""
        return np.bincount(self.numbers, self.ends - self.starts, self.count).astype(np.int64)

    @lazy
    def classes(self) -> NDArray[np.uint8]:
        """(N,) class of each region."""
        result = np.zeros(self.count, np.uint8)
        result[self.numbers] = self.kinds
        return result

    @property
    def largest_first(self) -> list[int]:
        """The regions by their sizes, in reading order where those are the same."""
        order: list[int] = np.argsort(-self.sizes, kind="stable").tolist()
        return order

    def painted(self, values: NDArray[Any]) -> NDArray[np.int32]:
        """(H, W) int32 the value of the run that a pixel is of, of values (R,), 0 where there is none."""
        steps = np.zeros(self.shape[0] * self.shape[1] + 1, np.int32)  # where the value changes
        steps[self.rows * self.shape[1] + self.starts] += values.astype(np.int32)
        steps[self.rows * self.shape[1] + self.ends] -= values.astype(np.int32)
        return np.cumsum(steps[:-1], dtype=np.int32).reshape(self.shape)

    def box(self, chosen: NDArray[np.bool_]) -> Region:
        """The box (x0, y0, x1, y1), ends exclusive, around the runs chosen (R,), of which there are some."""
        rows = self.rows[chosen]
        left, right = int(self.starts[chosen].min()), int(self.ends[chosen].max())
        return left, int(rows[0]), right, int(rows[-1]) + 1

    def within(self, top: int, bottom: int) -> slice:
        """Which of the runs are in rows `top` to `bottom`, exclusive."""
        return slice(*np.searchsorted(self.rows, (top, bottom)).tolist())


def _runs(mask: NDArray[np.uint8], top: int) -> tuple[NDArray[np.int64], ...]:
    """`rows`, `starts`, `ends` and `kinds` of a strip of a mask that begins at row `top`."""
    height, width = mask.shape
    changes = np.ones((height, width), bool)
    np.not_equal(mask[:, 1:], mask[:, :-1], out=changes[:, 1:])  # a run never crosses the end of its row
    begins = np.flatnonzero(changes)
    kinds = mask.reshape(-1)[begins]
    pets = kinds != 0
    rows, starts = np.divmod(begins[pets], width)
    ends = np.append(begins[1:], height * width)[pets] - rows * width
    return rows + top, starts, ends, kinds[pets]


def _join(count: int, a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
    """(count,) the lowest of the runs that each run is connected to; a[i] and b[i] touch."""
    parent = np.arange(count)
    while (apart := parent[a] != parent[b]).any():
        a, b = a[apart], b[apart]
        roots = parent[a], parent[b]
        np.minimum.at(parent, np.maximum(*roots), np.minimum(*roots))
        while not np.array_equal(parent, jumped := parent[parent]):
            parent = jumped
    return parent


def regions(mask: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Number the regions of a mask.

    Args:
        mask: (H, W) uint8, 0 is background.

    Returns:
        (H, W) int32: 0 background, then 1, 2, ... in reading order of their first pixels.
    """
    runs = Runs.of(mask)
    return runs.painted(runs.numbers + 1)


def region_at(mask: NDArray[np.bool_], x: float, y: float) -> NDArray[np.bool_]:
    """The region of a mask (H, W) at a place in its pixels, the nearest pixel of it for one outside.

    Returns:
        (H, W) bool, False everywhere where the mask is False there.
    """
    height, width = mask.shape
    numbers = regions(mask.view(np.uint8))
    number = numbers[min(max(0, int(y)), height - 1), min(max(0, int(x)), width - 1)]
    return np.asarray((numbers == number) & mask)


def trace(runs: Runs, tolerance: float) -> list[Outline]:
    """The outlines of the regions.

    Args:
        runs: of a mask.
        tolerance: how far, in pixels, the outline may stray; 0 keeps every corner. Regions too small to
            survive it keep theirs too. No outline crosses or touches itself, and no hole leaves its region.

    Returns:
        One outline per region, by number.
    """
    if not runs.count:
        return []
    starts, stops, directions, owners = _sides(runs)
    following = _following(starts, stops, directions, owners, runs.shape[1] + 1)
    rings: list[tuple[list[Ring], list[Ring]]] = [([], []) for _ in range(runs.count)]
    for sides in _walk(directions, following):
        ring = starts[sides]
        exteriors, holes = rings[owners[sides[0]]]
        (exteriors if doubled_area(ring) > 0 else holes).append(ring)
    outlines = []
    for exteriors, holes in rings:
        exterior, *inner = simplified([exteriors[0], *holes], tolerance)
        outlines.append(Outline(exterior, inner))
    return outlines


def _sides(runs: Runs) -> tuple[Ring, Ring, NDArray[np.int64], NDArray[np.int64]]:
    """What is between a region and anything else, directed so that the region is on its right.

    Returns:
        (E, 2) where each starts and (E, 2) where it ends, (E,) its direction (0 right, 1 down, 2 left, 3 up),
        (E,) the region. Sides to the right and left are as long as they are straight, the others 1 pixel.
    """
    lower, upper = runs.touching
    top = _uncovered(runs, lower, upper)
    order = np.argsort(upper, kind="stable")
    bottom = _uncovered(runs, upper[order], lower[order])
    ends = (
        (top[1], runs.rows[top[0]], top[2], runs.rows[top[0]]),
        (runs.ends, runs.rows, runs.ends, runs.rows + 1),
        (bottom[2], runs.rows[bottom[0]] + 1, bottom[1], runs.rows[bottom[0]] + 1),
        (runs.starts, runs.rows + 1, runs.starts, runs.rows),
    )
    x0, y0, x1, y1 = (np.concatenate(each) for each in zip(*ends, strict=True))
    directions = np.repeat(np.arange(4), [len(each[0]) for each in ends])
    owners = np.concatenate([runs.numbers[top[0]], runs.numbers, runs.numbers[bottom[0]], runs.numbers])
    return np.stack([x0, y0], 1), np.stack([x1, y1], 1), directions, owners


def _uncovered(
    runs: Runs, covered: NDArray[np.int64], by: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """The stretches of runs that none of the others covers: (S,) run, start and end.

    Args:
        covered, by: (P,) runs that touch, sorted by the first, and each one's by where they are.
    """
    every = np.arange(len(runs.rows))
    from_, to = (
        np.maximum(runs.starts[covered], runs.starts[by]),
        np.minimum(runs.ends[covered], runs.ends[by]),
    )
    # A stretch goes from the run's start, or where a cover ends, to where the next begins, or the run's end.
    run = np.concatenate([every, covered])
    order = np.argsort(run, kind="stable")
    starts = np.concatenate([runs.starts, to])[order]
    ends = np.concatenate([from_, runs.ends])[np.argsort(np.concatenate([covered, every]), kind="stable")]
    bare = starts < ends
    return run[order][bare], starts[bare], ends[bare]


def _following(
    starts: Ring, stops: Ring, directions: NDArray[np.int64], owners: NDArray[np.int64], stride: int
) -> NDArray[np.int64]:
    """(E,) the side that follows each side around its region.

    Where a region touches itself corner to corner, two could follow. The left turn keeps what it
    encloses there a hole of its own, so no ring ever meets itself.
    """

    def key(points: Ring, ways: NDArray[np.int64]) -> NDArray[np.int64]:
        return (points[:, 1] * stride + points[:, 0]) * 4 + ways

    keys = key(starts, directions)
    order = np.argsort(keys)
    following = np.full(len(starts), -1)
    for turn in (-1, 0, 1):
        wanted = key(stops, (directions + turn) % 4)
        found = order[np.minimum(np.searchsorted(keys, wanted, sorter=order), len(order) - 1)]
        fits = (following < 0) & (keys[found] == wanted) & (owners[found] == owners)
        following[fits] = found[fits]
    return following


def _walk(directions: NDArray[np.int64], following: NDArray[np.int64]) -> Iterator[list[int]]:
    """Each ring as the sides that begin at one of its corners, in order."""
    turns = np.zeros(len(following), bool)
    turns[following] = directions[following] != directions
    is_corner, after = turns.tolist(), following.tolist()  # plain lists: several times faster to walk
    seen = bytearray(len(after))
    for first in range(len(after)):
        side, corners = first, []
        while not seen[side]:
            seen[side] = 1
            if is_corner[side]:
                corners.append(side)
            side = after[side]
        if corners:
            yield corners
