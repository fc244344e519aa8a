"""Rings of pixels, filled by OpenCV as those who train with YOLO's labels fill them."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from petseg.pixels import contours
from petseg.pixels.contours import along_pixels, joined
from petseg.pixels.polygons import Runs, trace
from tests.support.animals import blobs


def filled(ring: NDArray[np.int64], shape: tuple[int, int]) -> NDArray[np.bool_]:
    result = np.zeros(shape, np.uint8)
    cv2.fillPoly(result, [np.round(ring).astype(np.int32)], 1)
    return result.astype(bool)


def regions(mask: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    from petseg.pixels.polygons import regions as numbered

    numbers = numbered(mask.view(np.uint8))
    return [numbers == number for number in range(1, int(numbers.max()) + 1)]


@pytest.mark.parametrize("seed", range(6))
def test_a_region_is_filled_as_it_was(seed: int) -> None:
    rng = np.random.default_rng(seed)
    noisy = rng.random((14, 17)) < 0.7
    for mask in (*regions(noisy), *regions(blobs(seed, 64) != 0)):
        (outline,) = trace(Runs.of(mask.view(np.uint8)), 0)
        ring = along_pixels(outline.exterior)
        assert mask[ring[:, 1], ring[:, 0]].all()
        whole = mask.copy()
        for hole in outline.holes:
            around = along_pixels(hole)
            assert mask[around[:, 1], around[:, 0]].all()
            whole |= filled(around, mask.shape)
        np.testing.assert_array_equal(filled(ring, mask.shape) | whole, whole)
        np.testing.assert_array_equal(filled(joined([outline], mask), mask.shape), mask)


def test_bridges_are_found_among_fewer_vertices_of_large_rings(monkeypatch: pytest.MonkeyPatch) -> None:
    mask = blobs(3, 64) != 0
    mask = max(regions(mask), key=np.count_nonzero)
    (outline,) = trace(Runs.of(mask.view(np.uint8)), 0)
    monkeypatch.setattr(contours, "_PAIRS", 50)
    monkeypatch.setattr(contours, "_TRIES", 1)
    ring = joined([outline], mask)
    assert mask[ring[:, 1], ring[:, 0]].all()
    assert (filled(ring, mask.shape) | ~mask).all()


def test_simplified_rings_run_along_corners() -> None:
    mask = np.zeros((20, 20), bool)
    mask[3:15, 4:18] = True
    (outline,) = trace(Runs.of(mask.view(np.uint8)), 1)
    ring = joined([outline], None)
    assert ring.min(0).tolist() == [3.5, 2.5]
    assert ring.max(0).tolist() == [17.5, 14.5]
