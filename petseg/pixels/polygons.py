"""From a mask to the outlines of its regions, in numpy.

Corners of pixels are the vertices: pixel (i, j) is the square from (i, j) to (i + 1, j + 1). A region is
a set of pixels of one class that hang together by their sides.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ring = NDArray[np.int64]
"""(N, 2) vertices (x, y), not repeated at the end; the last joins the first."""

_STEPS = np.array([[1, 0], [0, 1], [-1, 0], [0, -1]])
"""Directions 0 right, 1 down, 2 left, 3 up: going that way along a region keeps it on the right."""


@dataclass(frozen=True)
class Outline:
    """One region.

    Attributes:
        exterior: clockwise on the screen.
        holes: counter-clockwise.
    """

    exterior: Ring
    holes: list[Ring]


def regions(mask: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Number the regions of a mask.

    Args:
        mask: (H, W) uint8, 0 is background.

    Returns:
        (H, W) int32: 0 background, then 1, 2, ... in reading order of their first pixels.
    """
    height, width = mask.shape
    # Runs of one class along the rows; a run never crosses the end of its row.
    starts_run = np.ones((height, width), bool)
    starts_run[:, 1:] = mask[:, 1:] != mask[:, :-1]
    run_of = np.cumsum(starts_run).reshape(height, width) - 1
    touching = (mask[1:] == mask[:-1]) & (mask[1:] != 0)
    touching &= starts_run[1:] | starts_run[:-1]  # the first pixel of each contact stands for all of it
    parent = _join(int(run_of[-1, -1]) + 1, run_of[:-1][touching], run_of[1:][touching])
    parent[mask[starts_run] == 0] = -1
    names, numbers = np.unique(parent, return_inverse=True)
    numbers = numbers + int(names[0] != -1)
    return np.take(numbers.astype(np.int32), run_of)


def region_at(mask: NDArray[np.bool_], x: float, y: float) -> NDArray[np.bool_]:
    """The region of a mask (H, W) at a place in its pixels, the nearest pixel of it for one outside.

    Returns:
        (H, W) bool, False everywhere where the mask is False there.
    """
    height, width = mask.shape
    numbers = regions(mask.view(np.uint8))
    number = numbers[min(max(0, int(y)), height - 1), min(max(0, int(x)), width - 1)]
    return np.asarray((numbers == number) & mask)


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


def trace(numbers: NDArray[np.int32], tolerance: float) -> list[Outline]:
    """The outlines of numbered regions.

    Args:
        numbers: (H, W) int32 as `regions` gives them.
        tolerance: how far, in pixels, the outline may stray; 0 keeps every corner. Regions too small to
            survive it keep theirs too.

    Returns:
        One outline per region: that of region n at index n - 1.
    """
    if not numbers.any():
        return []
    starts, directions, owners = _edges(numbers)
    following = _following(starts, directions, owners, numbers.shape[1] + 1)
    rings: list[tuple[list[Ring], list[Ring]]] = [([], []) for _ in range(int(numbers.max()))]
    for edges in _walk(directions, following):
        ring = starts[edges]
        exteriors, holes = rings[owners[edges[0]] - 1]
        (exteriors if _area(ring) > 0 else holes).append(_simplify(ring, tolerance))
    return [Outline(exteriors[0], holes) for exteriors, holes in rings]


def _edges(numbers: NDArray[np.int32]) -> tuple[Ring, NDArray[np.int64], NDArray[np.int32]]:
    """Every pixel side between a region and anything else, directed.

    Returns:
        (E, 2) where each starts, (E,) its direction, (E,) the region on its right.
    """
    padded = np.pad(numbers, 1)
    # By direction: the neighbour across that side, and where the side starts within its pixel.
    neighbours = (padded[:-2, 1:-1], padded[1:-1, 2:], padded[2:, 1:-1], padded[1:-1, :-2])
    corners = ((0, 0), (1, 0), (1, 1), (0, 1))
    starts, directions, owners = [], [], []
    for direction, (neighbour, corner) in enumerate(zip(neighbours, corners, strict=True)):
        rows, columns = np.nonzero((numbers != 0) & (numbers != neighbour))
        starts.append(np.stack([columns, rows], 1) + corner)
        directions.append(np.full(len(rows), direction))
        owners.append(numbers[rows, columns])
    return np.concatenate(starts), np.concatenate(directions), np.concatenate(owners)


def _following(
    starts: Ring, directions: NDArray[np.int64], owners: NDArray[np.int32], stride: int
) -> NDArray[np.int64]:
    """(E,) the edge that follows each edge around its region.

    Where a region touches itself corner to corner, two edges could follow. The left turn keeps what it
    encloses there a hole of its own, so no ring ever meets itself.
    """

    def key(points: Ring, ways: NDArray[np.int64]) -> NDArray[np.int64]:
        return (points[:, 1] * stride + points[:, 0]) * 4 + ways

    keys = key(starts, directions)
    order = np.argsort(keys)
    ends = starts + _STEPS[directions]
    following = np.full(len(starts), -1)
    for turn in (-1, 0, 1):
        wanted = key(ends, (directions + turn) % 4)
        found = order[np.minimum(np.searchsorted(keys, wanted, sorter=order), len(order) - 1)]
        fits = (following < 0) & (keys[found] == wanted) & (owners[found] == owners)
        following[fits] = found[fits]
    return following


def _walk(directions: NDArray[np.int64], following: NDArray[np.int64]) -> Iterator[list[int]]:
    """Each ring as the edges that begin at one of its corners, in order."""
    turns = np.zeros(len(following), bool)
    turns[following] = directions[following] != directions
    is_corner, after = turns.tolist(), following.tolist()  # plain lists: several times faster to walk
    seen = bytearray(len(after))
    for first in range(len(after)):
        edge, corners = first, []
        while not seen[edge]:
            seen[edge] = 1
            if is_corner[edge]:
                corners.append(edge)
            edge = after[edge]
        if corners:
            yield corners


def _area(ring: Ring) -> int:
    """Twice the signed area: positive where the ring runs clockwise on the screen."""
    x, y = ring.T
    return int((x * np.roll(y, -1) - np.roll(x, -1) * y).sum())


def _simplify(ring: Ring, tolerance: float) -> Ring:
    """Leave out the vertices that lie within `tolerance` of the rest (Douglas and Peucker, 1973)."""
    if tolerance == 0 or len(ring) == 4:  # a rectangle is simple already
        return ring
    closed = np.concatenate([ring, ring[:1]]).astype(np.float64)
    farthest = int(((closed - closed[0]) ** 2).sum(1).argmax())
    keep = np.zeros(len(ring), bool)
    keep[[0, farthest]] = True
    chains = [(0, farthest), (farthest, len(ring))]
    while chains:
        first, last = chains.pop()
        inner = closed[first + 1 : last] - closed[first]
        if len(inner) == 0:
            continue
        chord = closed[last] - closed[first]
        along = np.clip(inner @ chord / (chord @ chord), 0, 1)
        squared = ((inner - along[:, None] * chord) ** 2).sum(1)
        worst = int(squared.argmax())
        if squared[worst] > tolerance**2:
            middle = first + 1 + worst
            keep[middle] = True
            chains += [(first, middle), (middle, last)]
    simple = ring[keep]
    # A speck can collapse to a line, or turn inside out: better its true corners than nothing.
    return simple if np.sign(_area(simple)) == np.sign(_area(ring)) else ring
