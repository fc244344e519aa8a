"""Telling animals apart by what a network says of all places: which of them are of one animal.

Places spread over all pets are looked at. Two belong to one animal where their vectors are close to each
other; places that belong together make one animal, and each pixel is of the animal whose places are surest
of it. So no pixel has two owners, and none is left without.

That is done twice. Most photos show one animal, so whether there are several is decided with caution. Where
there are, a neighbour is easily taken for a part of an animal: two places must then be surer of being one,
and an animal may be smaller. Then places are chosen anew, also near the edges, and more of them in a crowd.

The limits were chosen on held-out photos of two to four animals, beside held-out photos of one.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from petseg.pixels.decision import ENOUGH
from petseg.pixels.polygons import regions

PLACES = 10
"""Places looked at, in a photo whose pets are in no more regions than that."""
CROWD, PLACES_OF_CROWD = 5, 40
"""Animals found from which on so many places are looked at: of more, ten miss some."""
MOST_PLACES = 24
"""Places looked at, at most, to have one in each of the largest regions."""
STEP = 4
"""Places lie on a grid with this many pixels of the square from one to the next."""
DEEP, DEEP_SEVERAL = 0.5, 0.25
"""Depth of a place inside its region, in grid cells, at least, over that of the deepest one there, the latter
where there are several: some of them are at the region's edges. At least two cells, where it is that deep."""
SAME = 4.0
"""Log-odds that two places with the same vector are of one animal, see `margins`."""
FINER = 2
"""How many times their resolution vectors are enlarged before they are compared."""
LOW, HIGH = -8.0, 2.0
"""Log-odds beyond these say no more about whether two places are one animal."""
LARGE = 4.5
"""By how much less sure of one animal two places may be to be one, where pets cover the whole photo.

The larger a pet is in its photo, the likelier it is alone there, and the farther apart its vectors are.
"""
SEVERAL = 1.5
"""How sure of one animal two places must be to be one, where there are several; at most `HIGH`."""
WITHIN, WITHIN_SEVERAL = 0.4, 0.15
"""Share of the pixels of its largest neighbour in a region that an animal must have there, the latter of
several."""
ACROSS, ACROSS_SEVERAL = 0.1, 0.08
"""Share of the pixels of the largest animal of the photo that an animal must have, the latter of several."""
CRUMB = 0.05
"""Share of an animal's largest piece below which another piece is of the animal that is nearest to it."""
NOBODYS = -3.0
"""Log-odds up to which the surest animal says nothing about whose a pixel is: it is of the nearest one."""
UNCLAIMED = 0.0
"""Mean log-odds below which a region without a place of its own is an animal by itself."""


def places(pets: NDArray[np.bool_], count: int = PLACES, deep: float = DEEP) -> NDArray[np.float64]:
    """Where to look: spread over the pets, and not at their edges.

    Args:
        pets: (S, S) bool.
        count: of places; one more for each region above that number, up to `MOST_PLACES`.
        deep: see `DEEP`.

    Returns:
        (N, 2) x, y in pixels of the square, the deepest place of each region first, the largest region before
        the others; none where no pet is as large as a step of the grid.
    """
    grid = pets[STEP // 2 :: STEP, STEP // 2 :: STEP]
    numbers = regions(grid.view(np.uint8))
    deep_by = depths(grid)
    sizes = np.bincount(numbers.ravel())[1:]
    order = np.argsort(-sizes, kind="stable") + 1
    chosen: list[tuple[int, int]] = []
    inner = np.zeros_like(grid)
    for number in order[:MOST_PLACES].tolist():
        inside = np.where(numbers == number, deep_by, 0)
        row, column = divmod(int(inside.argmax()), grid.shape[1])
        chosen.append((row, column))
        deepest = inside[row, column]
        inner |= inside >= max(min(2, deepest), deep * deepest)
    candidates = np.argwhere(inner)
    nearest = np.full(len(candidates), np.inf)
    for place in chosen:
        nearest = np.minimum(nearest, _distances(candidates, place))
    while len(chosen) < count and nearest.max(initial=0) > 1:
        best = int((nearest + np.where(nearest > 0, deep_by[tuple(candidates.T)] / 2, 0)).argmax())
        chosen.append((int(candidates[best, 0]), int(candidates[best, 1])))
        nearest = np.minimum(nearest, _distances(candidates, chosen[-1]))
    return np.array(chosen, np.float64).reshape(-1, 2)[:, ::-1] * STEP + STEP / 2 + 0.5


def _distances(cells: NDArray[np.int64], cell: tuple[int, int]) -> NDArray[np.float64]:
    return np.asarray(np.hypot(*(cells - np.array(cell)).T))


def depths(grid: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(h, w) how many steps along rows and columns a cell is from the nearest one that is False."""
    left, result = np.pad(grid, 1), np.zeros(grid.shape, np.int64)
    while left.any():
        result += left[1:-1, 1:-1]
        inner = left[1:-1, 1:-1] & left[:-2, 1:-1] & left[2:, 1:-1] & left[1:-1, :-2] & left[1:-1, 2:]
        left = np.pad(inner, 1)
    return result


def margins(vectors: NDArray[np.float32], spots: NDArray[np.float64], size: int) -> NDArray[np.float32]:
    """How likely each pixel is of the animal at some places, by what a network says of all places.

    Args:
        vectors: (E, s, s), those of places of one animal being close to each other.
        spots: (N, 2) x, y, in pixels of the square.
        size: S.

    Returns:
        (N, S, S) log-odds: `SAME`, less the squared distance of the vectors.
    """
    side = FINER * vectors.shape[-1]
    finer = np.stack([_resized(plane, side) for plane in vectors]).reshape(len(vectors), -1)
    columns, rows = (spots * side / size).clip(0, side - 1).astype(int).T
    chosen = finer[:, rows * side + columns]
    distances = (chosen**2).sum(0)[:, None] + (finer**2).sum(0) - 2 * chosen.T @ finer
    return np.stack([_resized(SAME - plane.reshape(side, side), size) for plane in distances])


def _resized(plane: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """(s, s) -> (side, side), bilinear."""
    return np.asarray(Image.fromarray(plane).resize((side, side), Image.Resampling.BILINEAR))


def animals(
    pets: NDArray[np.bool_], spots: NDArray[np.float64], margins: NDArray[np.float32], share: float
) -> NDArray[np.float32]:
    """What is known of some places together.

    Args:
        pets: (S, S) bool, all pets of the square.
        spots: (N, 2) x, y, the places, N at least 1.
        margins: (N, S, S) as the function of that name gives them.
        share: of the photo that is pet, 0..1.

    Returns:
        (K, S, S) a plane for each animal: a pixel of a pet is of the animal whose plane is highest there.
    """
    columns, rows = spots.astype(int).T
    claims = np.clip(margins[:, rows, columns], LOW, HIGH)
    alike = (claims + claims.T) / 2
    numbers = regions(pets.view(np.uint8))
    coarse = pets[::2, ::2]  # every second pixel says enough about sizes
    coarse_numbers = regions(coarse.view(np.uint8))[coarse] - 1

    def grouped(enough: float, within: float, across: float) -> NDArray[np.float32]:
        planes = np.stack([margins[group].mean(0) for group in _linked(alike, enough)])
        planes = np.concatenate([planes, _unclaimed(pets, numbers, spots, planes.max(0))])
        return planes[_large_enough(planes[:, ::2, ::2][:, coarse], coarse_numbers, within, across)]

    planes = grouped(-LARGE * share, WITHIN, ACROSS)
    if len(planes) > 1:
        planes = grouped(SEVERAL, WITHIN_SEVERAL, ACROSS_SEVERAL)
    return _tidied(pets, planes)


def _unclaimed(
    pets: NDArray[np.bool_],
    numbers: NDArray[np.int32],
    spots: NDArray[np.float64],
    surest: NDArray[np.float32],
) -> NDArray[np.float32]:
    """(M, S, S) planes of the regions without a place, and that no animal takes for its own."""
    columns, rows = spots.astype(int).T
    sizes = np.bincount(numbers.ravel())
    sizes[0] = 0
    sizes[numbers[rows, columns]] = 0
    sums = np.bincount(numbers.ravel(), surest.ravel(), len(sizes))
    alone = np.flatnonzero((sizes >= ENOUGH * pets.size) & (sums < UNCLAIMED * sizes))
    planes = [np.where(numbers == number, HIGH, LOW * 4).astype(np.float32) for number in alone.tolist()]
    return np.stack(planes) if planes else np.zeros((0, *pets.shape), np.float32)


def _large_enough(
    planes: NDArray[np.float32], numbers: NDArray[np.int32], within: float, across: float
) -> NDArray[np.int64]:
    """Which animals stay when those that are too small leave their pixels to others, the smallest first.

    Args:
        planes: (K, P) of each animal at the pixels of pets.
        numbers: (P,) region of each, from 0.
        within: share of the pixels of its largest neighbour in a region that an animal must have there.
        across: share of the pixels of the largest animal that another one must have.
    """
    alive, count = np.arange(len(planes)), int(numbers.max(initial=-1)) + 1
    while len(alive) > 1:
        owners = planes[alive].argmax(0)
        pixels = np.bincount(owners * count + numbers, minlength=len(alive) * count).reshape(-1, count)
        sizes, main = pixels.sum(1), pixels.argmax(1)
        needed = np.maximum(within * pixels[:, main].max(0), 1)
        small = (pixels.max(1) < needed) | (sizes < across * sizes.max())
        if not small.any():
            break
        alive = np.delete(alive, np.where(small, sizes, sizes.max() + 1).argmin())
    return alive


def _linked(alike: NDArray[np.floating[Any]], enough: float) -> list[list[int]]:
    """Groups of the places, joined while the mean over all pairs between two groups is at least `enough`."""
    groups = [[place] for place in range(len(alike))]
    between = alike.astype(np.float64)
    while len(groups) > 1:
        pairs = np.where(np.triu(np.ones_like(between, bool), 1), between, -np.inf)
        one, other = divmod(int(pairs.argmax()), len(groups))
        if pairs[one, other] < enough:
            break
        weights = np.array([len(groups[one]), len(groups[other])], np.float64)
        joined = np.average(between[[one, other]], 0, weights)
        between[one], between[:, one] = joined, joined
        between = np.delete(np.delete(between, other, 0), other, 1)
        groups[one] += groups.pop(other)
    return groups


def _tidied(pets: NDArray[np.bool_], planes: NDArray[np.float32]) -> NDArray[np.float32]:
    """The planes (K, S, S), with crumbs of an animal, and all that is no pet, given to the nearest animal.

    A mask at the photo's size may have pixels where the square shows no pet.
    """
    if len(planes) == 1:
        return planes
    surest = planes.argmax(0).astype(np.uint8) + np.uint8(1)
    owners = np.where(pets & (planes.max(0) > NOBODYS), surest, np.uint8(0))
    pieces = regions(owners)
    sizes = np.bincount(pieces.ravel())
    whose = np.zeros(len(sizes), np.int64)
    whose[pieces.ravel()] = owners.ravel()
    largest = np.zeros(len(planes) + 1)
    np.maximum.at(largest, whose[1:], sizes[1:])
    owners[(sizes < CRUMB * largest[whose])[pieces]] = 0
    coarse = _grown(owners[STEP // 2 :: STEP, STEP // 2 :: STEP], max(pets.shape))
    far = coarse.repeat(STEP, 0).repeat(STEP, 1)
    far = np.pad(
        far, [(0, max(0, side - length)) for side, length in zip(pets.shape, far.shape, strict=True)]
    )
    near = _grown(owners, STEP)
    nearest = np.where(near == 0, far[: pets.shape[0], : pets.shape[1]], near)
    rows, columns = np.nonzero((nearest != 0) & ((owners == 0) | (nearest != surest)))
    result = planes.copy()
    result[nearest[rows, columns] - 1, rows, columns] = planes.max(0)[rows, columns] + 1
    return result


def _grown(owners: NDArray[np.uint8], steps: int) -> NDArray[np.uint8]:
    """Numbers (h, w), spread over zeros beside them, at most so many times."""
    for _ in range(steps):
        padded = np.pad(owners, 1)
        beside = np.maximum(
            np.maximum(padded[:-2, 1:-1], padded[2:, 1:-1]), np.maximum(padded[1:-1, :-2], padded[1:-1, 2:])
        )
        grown = np.where(owners == 0, beside, owners)
        if np.array_equal(grown, owners):
            break
        owners = grown
    return owners
