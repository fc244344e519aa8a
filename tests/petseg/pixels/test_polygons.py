import time

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage
from shapely.geometry import Polygon
from shapely.validation import explain_validity
from skimage.draw import polygon2mask

from petseg.pixels.polygons import Outline, Runs, regions, trace
from petseg.pixels.simplify import Ring

PICTURES = {
    "one pixel": ["1"],
    "full": ["11", "11"],
    "hole": ["111", "101", "111"],
    "diagonal": ["10", "01"],
    "pinched hole": ["1110", "1011", "0111"],
    "two holes that touch": ["1111", "1011", "1101", "1111"],
    "hole that touches the outside": ["011", "101", "111"],
    "island in a hole": ["11111", "10001", "10101", "10001", "11111"],
    "cat beside dog": ["1122", "1122"],
    "dog in cat": ["1111", "1221", "1111"],
    "empty": ["00", "00"],
}


def parse(rows: list[str]) -> NDArray[np.uint8]:
    return np.array([[int(c) for c in row] for row in rows], np.uint8)


def fill(ring: Ring, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Pixels whose centre lies in the ring; skimage speaks (row, column) with centres at whole numbers."""
    return polygon2mask(shape, ring[:, ::-1] - 0.5)


def rasterise(outline: Outline, shape: tuple[int, int]) -> NDArray[np.bool_]:
    mask = fill(outline.exterior, shape)
    for hole in outline.holes:
        mask &= ~fill(hole, shape)
    return mask


def blobs(seed: int) -> NDArray[np.uint8]:
    """As large and as round as pets in a photo."""
    rng = np.random.default_rng(seed)
    smooth = [ndimage.gaussian_filter(rng.normal(size=(375, 500)), 30) for _ in range(2)]
    return np.where(smooth[0] > 0, np.where(smooth[1] > 0, 1, 2), 0).astype(np.uint8)


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_come_back_exactly(name: str) -> None:
    mask = parse(PICTURES[name])
    numbers = regions(mask)
    outlines = trace(Runs.of(mask), 0)
    assert len(outlines) == numbers.max()
    for number, outline in enumerate(outlines, 1):
        np.testing.assert_array_equal(rasterise(outline, mask.shape), numbers == number)


@pytest.mark.parametrize("seed", range(40))
def test_noise_comes_back_exactly_and_no_ring_meets_itself(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.integers(0, 3, rng.integers(1, 12, 2)).astype(np.uint8)
    numbers = regions(mask)
    for number, outline in enumerate(trace(Runs.of(mask), 0), 1):
        np.testing.assert_array_equal(rasterise(outline, mask.shape), numbers == number)
        for ring in (outline.exterior, *outline.holes):
            assert len(np.unique(ring, axis=0)) == len(ring)


@pytest.mark.parametrize("seed", range(5))
def test_regions_are_those_of_scipy(seed: int) -> None:
    mask = np.random.default_rng(seed).integers(0, 3, (30, 40)).astype(np.uint8)
    numbers = regions(mask)
    theirs = [ndimage.label(mask == label) for label in (1, 2)]
    assert numbers.max() == sum(count for _, count in theirs)
    for labels, count in theirs:
        for number in range(1, count + 1):
            ours = np.unique(numbers[labels == number])
            assert len(ours) == 1
            np.testing.assert_array_equal(numbers == ours[0], labels == number)
    firsts = [np.flatnonzero(numbers == number)[0] for number in range(1, numbers.max() + 1)]
    assert firsts == sorted(firsts)


def test_a_long_way_round_is_one_region() -> None:
    spiral = np.zeros((41, 41), np.uint8)
    for i in range(0, 20, 2):  # square rings, each joined to the next
        spiral[i, i : 41 - i] = spiral[40 - i, i : 41 - i] = 1
        spiral[i : 41 - i, i] = spiral[i : 41 - i, 40 - i] = 1
        spiral[i + 1, 20] = 1
    assert regions(spiral).max() == ndimage.label(spiral)[1] == 1


def test_winding() -> None:
    (outline,) = trace(Runs.of(parse(PICTURES["hole"])), 0)
    assert outline.exterior.tolist() == [[0, 0], [3, 0], [3, 3], [0, 3]]  # clockwise on the screen
    (hole,) = outline.holes
    assert sorted(hole.tolist()) == [[1, 1], [1, 2], [2, 1], [2, 2]]
    assert [hole[(i + 1) % 4].tolist() for i in range(4) if hole[i].tolist() == [1, 1]] == [[1, 2]]


@pytest.mark.parametrize("seed", range(4))
def test_one_pixel_of_tolerance_keeps_the_shape_with_fewer_vertices(seed: int) -> None:
    mask = blobs(seed)
    numbers = regions(mask)
    exact, simple = trace(Runs.of(mask), 0), trace(Runs.of(mask), 1)
    for label in (1, 2):
        back = np.zeros(mask.shape, bool)
        for number, outline in enumerate(simple, 1):
            if mask[numbers == number][0] == label:
                back |= rasterise(outline, mask.shape)
        truth = mask == label
        assert (back & truth).sum() / (back | truth).sum() > 0.98
    assert sum(len(o.exterior) for o in simple) < 0.4 * sum(len(o.exterior) for o in exact)


def test_no_vertex_is_invented_and_none_strays() -> None:
    runs = Runs.of(blobs(7))
    for exact, simple in zip(trace(runs, 0), trace(runs, 3), strict=True):
        assert set(map(tuple, simple.exterior.tolist())) <= set(map(tuple, exact.exterior.tolist()))
        starts, ends = simple.exterior, np.roll(simple.exterior, -1, 0)
        for vertex in exact.exterior[::7]:
            along = ((vertex - starts) * (ends - starts)).sum(1) / ((ends - starts) ** 2).sum(1)
            nearest = starts + np.clip(along, 0, 1)[:, None] * (ends - starts)
            assert np.linalg.norm(vertex - nearest, axis=1).min() <= 3 + 1e-9


def test_specks_survive_any_tolerance() -> None:
    mask = parse(["1000", "0000", "0011", "0010"])
    outlines = trace(Runs.of(mask), 50)
    back = sum(rasterise(outline, mask.shape) for outline in outlines)
    np.testing.assert_array_equal(back, mask)


def ribbons(seed: int) -> NDArray[np.uint8]:
    """Thin bands with many holes, in which a careless simplification crosses itself."""
    smooth = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(90, 110)), 3)
    return (np.abs(smooth) < 0.025).astype(np.uint8)


@pytest.mark.parametrize("tolerance", [0, 0.5, 1, 2, 5, 20])
@pytest.mark.parametrize("draw", ["ribbons", "blobs", "noise"])
def test_outlines_are_valid_at_any_tolerance(draw: str, tolerance: float) -> None:
    """As GIS programs, shapely and COCO readers ask: no ring crosses itself, holes lie inside."""
    for seed in range(3):
        noise = np.random.default_rng(seed).integers(0, 3, (14, 17)).astype(np.uint8)
        mask = {"ribbons": ribbons(seed), "blobs": blobs(seed)[::3, ::3], "noise": noise}[draw]
        numbers = regions(mask)
        for number, outline in enumerate(trace(Runs.of(mask), tolerance), 1):
            polygon = Polygon(outline.exterior, outline.holes)
            assert polygon.is_valid, explain_validity(polygon)
            area = np.count_nonzero(numbers == number)
            assert polygon.area == area if tolerance == 0 else polygon.area > 0


def test_a_hole_stays_inside_where_the_outline_bulges_around_it() -> None:
    mask = np.zeros((40, 60), np.uint8)
    mask[10:30, 5:55] = 1
    mask[6:10, 28:34] = 1  # a bump that four pixels of tolerance cut away
    mask[8, 30:32] = 0  # with a hole in it
    (outline,) = trace(Runs.of(mask), 4)
    polygon = Polygon(outline.exterior, outline.holes)
    assert polygon.is_valid, explain_validity(polygon)
    assert len(outline.holes) == 1


def test_a_large_photo_is_quick() -> None:
    mask = np.kron(blobs(3), np.ones((6, 6), np.uint8))  # 7 megapixels
    started = time.process_time()  # the machine may be busy with other things
    trace(Runs.of(mask), 1)
    assert time.process_time() - started < 5  # about 0.4 s
