"""Run lengths, against those of pycocotools; of Label Studio's see tests/petseg/annotations."""

import numpy as np
import pytest
from numpy.typing import NDArray
from pycocotools import mask as pycoco

from petseg.pixels import polygons, rle
from petseg.pixels.geometry import bounds


def counts(mask: NDArray[np.bool_]) -> list[int]:
    x0, y0, x1, y1 = box = bounds(mask)
    return rle.coco(mask[y0:y1, x0:x1], box, mask.shape[1], mask.shape[0])


@pytest.mark.parametrize("share", [0.02, 0.5, 0.98])
def test_counts_are_those_of_pycocotools(share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    for strip in (1 << 22, 16):  # the second: worked out in many strips
        monkeypatch.setattr(polygons, "_STRIP", strip)
        for _ in range(30):
            mask = rng.random(rng.integers(1, 20, 2)) < share
            mask.flat[rng.integers(mask.size)] = True
            height, width = mask.shape
            encoded = pycoco.frPyObjects({"size": [height, width], "counts": counts(mask)}, height, width)
            np.testing.assert_array_equal(pycoco.decode(encoded).astype(bool), mask)
            assert encoded["counts"] == pycoco.encode(np.asfortranarray(mask.view(np.uint8)))["counts"]


def test_ends() -> None:
    assert counts(np.ones((2, 3), bool)) == [0, 6]
    mask = np.zeros((2, 3), bool)
    mask[0, 0] = True
    assert counts(mask) == [0, 1, 5]
    mask = np.zeros((2, 3), bool)
    mask[:, 1:] = True  # columns that meet are one run
    assert counts(mask) == [2, 4]


def test_long_runs_of_a_brush_are_split() -> None:
    """A run has at most 65,536 values."""
    for side, least in ((100, 1), (600, 20)):
        brush = rle.label_studio(np.ones((side, side), bool), (0, 0, side, side), side, side)
        head = 32 + 5 + 16
        assert len(brush) * 8 >= head + least * (3 + 16 + 8)
        assert int.from_bytes(brush[:4]) == 4 * side * side


def test_brushes_have_a_limit() -> None:
    with pytest.raises(ValueError, match="40000 x 30000 pixels is too large"):
        rle.label_studio(np.ones((1, 1), bool), (0, 0, 1, 1), 40_000, 30_000)
