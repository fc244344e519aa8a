"""Outlines with fewer corners, which neither cross nor touch where the exact ones do not."""

from itertools import pairwise
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Ring: TypeAlias = NDArray[np.int64]
"""(N, 2) vertices (x, y), not repeated at the end; the last joins the first."""

_CELLS = 1 << 22
"""Pairs of a segment and a cell of the grid, at most, that crossings are looked for in at a time."""


def doubled_area(ring: Ring) -> int:
    """Twice the signed area: positive where the ring runs clockwise on the screen."""
    x, y = ring.T
    return int((x * np.roll(y, -1) - np.roll(x, -1) * y).sum())


def simplified(rings: list[Ring], tolerance: float) -> list[Ring]:
    """The rings of one region, less the vertices that lie within `tolerance` of the rest.

    By Douglas and Peucker (1973). That alone lets a thin part cross itself, or puts a hole outside: where it
    does, vertices come back until all is right, at the latest when all of them have.

    Args:
        rings: exact, of sides along the pixels: the exterior first, then the holes.
        tolerance: in pixels.
    """
    if tolerance == 0 or (len(rings) == 1 and len(rings[0]) == 4):  # a rectangle is simple already
        return rings
    outline = _Outline(rings, tolerance)
    while (wrong := outline.wrong()).any():
        outline.refine(wrong)
    return outline.rings()


class _Outline:
    """All rings of a region, and which of their vertices are kept."""

    def __init__(self, rings: list[Ring], tolerance: float) -> None:
        lengths = [len(ring) for ring in rings]
        self._tolerance = tolerance
        self._points = np.concatenate(rings)
        self._ends = np.cumsum(lengths)
        self._begins = self._ends - lengths
        self._keep = np.zeros(len(self._points), bool)
        self._ring = np.repeat(np.arange(len(rings)), lengths)
        # Where rings meet in a corner, their sides stay as they are: turned a little, they might cross there.
        _, place, often = np.unique(self._points, axis=0, return_inverse=True, return_counts=True)
        for vertex in np.flatnonzero(often[place.reshape(-1)] > 1).tolist():
            begin, end = self._begins[self._ring[vertex]], self._ends[self._ring[vertex]]
            self._keep[[(vertex + step - begin) % (end - begin) + begin for step in (-1, 0, 1)]] = True
        for begin, end in zip(self._begins.tolist(), self._ends.tolist(), strict=True):
            self._begin(begin, end)

    def _begin(self, begin: int, end: int) -> None:
        """Simplify one ring by itself."""
        ring = self._points[begin:end]
        if len(ring) == 4:
            self._keep[begin:end] = True
            return
        farthest = int(((ring - ring[0]) ** 2).sum(1).argmax())
        self._keep[[begin, begin + farthest]] = True
        fixed = [*np.flatnonzero(self._keep[begin:end]).tolist(), len(ring)]
        for first, last in pairwise(fixed):
            self._reduce(begin + first, begin + last, end)
        simple = ring[self._keep[begin:end]]
        # A speck can collapse to a line, or turn inside out: better its true corners than nothing.
        if np.sign(doubled_area(simple)) != np.sign(doubled_area(ring)):
            self._keep[begin:end] = True

    def _reduce(self, first: int, last: int, end: int, *, split: bool = False) -> None:
        """Keep what is needed between two vertices, `last` may be the ring's end, which is its first vertex.

        Args:
            split: keep at least one vertex, even if none is needed.
        """
        chains = [(first, last)]
        while chains:
            first, last = chains.pop()
            if last - first < 2:
                continue
            start, stop = self._points[first], self._points[self._closing(last, end)]
            inner, chord = self._points[first + 1 : last] - start, stop - start
            along = np.clip(inner @ chord / max(1, int(chord @ chord)), 0, 1)
            squared = ((inner - along[:, None] * chord) ** 2).sum(1)
            worst = int(squared.argmax())
            if split or squared[worst] > self._tolerance**2:
                middle = first + 1 + worst
                self._keep[middle] = True
                chains += [(first, middle), (middle, last)]
            split = False

    def _closing(self, last: int, end: int) -> int:
        return last if last < end else int(self._begins[np.searchsorted(self._ends, end)])

    def _segments(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """(K,) each: the vertex where a segment starts, the next one that is kept, and where it ends."""
        starts = np.flatnonzero(self._keep)
        following = np.append(starts[1:], len(self._points))
        following = np.minimum(following, self._ends[self._ring[starts]])
        stops = np.where(
            following == self._ends[self._ring[starts]], self._begins[self._ring[starts]], following
        )
        return starts, following, stops

    def wrong(self) -> NDArray[np.bool_]:
        """(K,) bool: of segments that can change, those that meet others or misplace a hole."""
        starts, following, stops = self._segments()
        loose = following - starts > 1
        if not loose.any():
            return loose
        one, other = self._points[starts], self._points[stops]
        wrong = _meeting(one, other) & loose
        return wrong if wrong.any() else self._misplacing(one, other, starts, following) & loose

    def _misplacing(
        self, one: Ring, other: Ring, starts: NDArray[np.int64], following: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Segments that may have left a hole outside, or put it into another."""
        wrong, ring = np.zeros(len(one), bool), self._ring[starts]
        low = np.minimum.reduceat(self._points, starts)  # of what each segment stands for, but its end
        high = np.maximum.reduceat(self._points, starts)
        low, high = np.minimum(low, other), np.maximum(high, other)
        for hole in range(1, len(self._begins)):
            first = int(np.argmax(ring == hole))
            at = one[first] + other[first]  # twice the middle of a side, which no other side meets
            x, y = (2 * one - at).T
            x1, y1 = (2 * other - at).T
            above = (y > 0) != (y1 > 0)
            right = (x * (y1 - y) - y * (x1 - x) > 0) == (y1 > y)
            if np.count_nonzero(above & right & (ring != hole)) % 2 == 0:
                wrong |= ((2 * low <= at) & (2 * high >= at)).all(1)
        return wrong

    def refine(self, wrong: NDArray[np.bool_]) -> None:
        """Bring back a vertex of each of these segments, and what that makes needed."""
        starts, following, _ = self._segments()
        for first, last in zip(starts[wrong].tolist(), following[wrong].tolist(), strict=True):
            self._reduce(first, last, int(self._ends[self._ring[first]]), split=True)

    def rings(self) -> list[Ring]:
        """What is left."""
        pairs = zip(self._begins.tolist(), self._ends.tolist(), strict=True)
        return [self._points[begin:end][self._keep[begin:end]] for begin, end in pairs]


def _meeting(one: Ring, other: Ring) -> NDArray[np.bool_]:
    """Which of the segments (K, 2) to (K, 2) cross or touch another one, but for ends that they share."""
    result = np.zeros(len(one), bool)
    for i, j in _neighbours(one, other):
        a, b, c, d = one[i], other[i], one[j], other[j]
        c_side, d_side = (np.sign(_cross(b - a, point - a)) for point in (c, d))
        a_side, b_side = (np.sign(_cross(d - c, point - c)) for point in (a, b))
        meet = (a_side * b_side < 0) & (c_side * d_side < 0)
        on_line = ((c_side, c, a, b), (d_side, d, a, b), (a_side, a, c, d), (b_side, b, c, d))
        for side, point, one_end, other_end in on_line:
            meet |= (side == 0) & (((point - one_end) * (point - other_end)).sum(1) < 0)
        meet |= (a == d).all(1) & (b == c).all(1)  # there and back again
        result[i[meet]] = result[j[meet]] = True
    return result


def _cross(one: Ring, other: Ring) -> NDArray[np.int64]:
    return np.asarray(one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0])


def _neighbours(one: Ring, other: Ring) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Pairs (P,) and (P,) of segments that share a cell of a grid: all that may meet, in a few portions."""
    low, high = np.minimum(one, other), np.maximum(one, other)
    # Cells as wide as segments are on average: most of them are in one or two.
    side = max(1, int(np.ceil((high - low).mean() * 2)))
    while True:
        first, last = low // side, high // side
        across, down = (last - first + 1).T
        counts = across * down
        if counts.sum() <= max(_CELLS, 8 * len(one)):
            break
        side *= 2
    segment = np.repeat(np.arange(len(one)), counts)
    number = np.arange(len(segment)) - np.repeat(np.cumsum(counts) - counts, counts)
    columns = first[segment, 0] + number % across[segment]
    rows = first[segment, 1] + number // across[segment]
    cell = rows * (int(last[:, 0].max()) + 1) + columns
    order = np.argsort(cell, kind="stable")
    cell, segment = cell[order], segment[order]
    found, step = [], 1
    while step < len(cell) and (together := cell[step:] == cell[:-step]).any():
        i, j = segment[:-step][together], segment[step:][together]
        apart = ((low[i] > high[j]) | (low[j] > high[i])).any(1)
        found.append((i[~apart], j[~apart]))
        step += 1
    return found
