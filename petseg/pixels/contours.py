"""Outlines as YOLO has them: one ring of pixels for each animal, whatever holes and pieces it has."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from petseg.pixels.polygons import Outline
from petseg.pixels.simplify import Ring

Offset: TypeAlias = tuple[int, int]
Vertices: TypeAlias = NDArray[np.int64] | NDArray[np.floating[Any]]
"""(N, 2) x, y."""

_PAIRS = 1 << 20
"""Pairs of vertices, at most, among which a bridge is looked for."""
_TRIES = 64
"""The shortest bridges that are tried."""


def along_pixels(ring: Ring) -> Ring:
    """The pixels along the inside of an exact ring of corners: (N, 2) x, y, each of them in the region.

    OpenCV fills a polygon with the pixels that it runs through, and so do those who train with it: drawn
    along the corners, a region would grow to the right and downwards.
    """
    before, after = np.roll(ring, 1, 0), np.roll(ring, -1, 0)
    ends = ring + _beside(ring - before, (-1, 0), (-1, -1), (0, -1), (0, 0))
    begins = ring + _beside(after - ring, (0, 0), (-1, 0), (-1, -1), (0, -1))
    pixels = np.stack([ends, begins], 1).reshape(-1, 2)
    moved = (pixels != np.roll(pixels, 1, 0)).any(1)
    return pixels[moved] if moved.any() else pixels[:1]


def _beside(steps: Ring, right: Offset, down: Offset, left: Offset, up: Offset) -> Ring:
    """Which pixel a side has at one of its ends, relative to the corner there, by its direction."""
    x, y = steps.T
    across = np.where((x < 0)[:, None], left, up)
    beside: Ring = np.where((x > 0)[:, None], right, np.where((y > 0)[:, None], down, across))
    return beside


def joined(outlines: list[Outline], inside: NDArray[np.bool_] | None) -> Vertices:
    """One ring of all that an animal is made of, (N, 2) x, y.

    Holes and further pieces are joined by a way there and back, where it is shortest.

    Args:
        outlines: of the pieces, at least one, the largest first.
        inside: (h, w) their mask: then they are exact, and the ring runs along pixels. None: it runs along
            corners, less a half, as outlines that are simplified do.
    """
    corners = [ring for outline in outlines for ring in (outline.exterior, *outline.holes)]
    rings = [along_pixels(ring) if inside is not None else ring - 0.5 for ring in corners]
    result: Vertices = rings[0]
    for ring in rings[1:]:
        here, there = _bridge(result, ring, inside)
        way = np.concatenate([ring[there:], ring[: there + 1]])
        result = np.concatenate([result[: here + 1], way, result[here:]])
    return result


def _bridge(one: Vertices, other: Vertices, inside: NDArray[np.bool_] | None) -> tuple[int, int]:
    """The two vertices that are next to each other, if possible with nothing but the animal between them."""
    step = max(1, len(one) * len(other) // _PAIRS)
    some = one[::step]
    distances = ((some[:, None] - other[None]) ** 2).sum(2).ravel()
    tries = min(_TRIES if inside is not None else 1, len(distances))
    nearest = np.argpartition(distances, tries - 1)[:tries]
    pairs = nearest[np.argsort(distances[nearest], kind="stable")]
    for pair in pairs.tolist():
        here, there = divmod(pair, len(other))
        if inside is None or _leads_through(some[here], other[there], inside):
            return here * step, there
    here, there = divmod(int(pairs[0]), len(other))
    return here * step, there


def _leads_through(start: Vertices, end: Vertices, inside: NDArray[np.bool_]) -> bool:
    """Whether all pixels on the line from one to another are in a mask."""
    count = int(np.abs(end - start).max()) + 1
    x, y = np.round(np.linspace(start, end, count)).astype(np.int64).T
    return bool(inside[y, x].all())
