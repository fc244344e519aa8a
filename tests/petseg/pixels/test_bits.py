"""Masks, eight pixels in a byte."""

import numpy as np
import pytest

from petseg.pixels.bits import Bits


@pytest.mark.parametrize("shape", [(1, 1), (3, 8), (5, 17), (16, 250)])
def test_a_mask_and_its_parts_come_back(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    mask = rng.random(shape) < 0.5
    bits = Bits.of(mask)
    assert bits.shape == shape
    assert bits.packed.nbytes == shape[0] * -(-shape[1] // 8)
    np.testing.assert_array_equal(bits.whole(), mask)
    for _ in range(50):
        rows, columns = (
            slice(*np.sort(rng.choice(length + 1, 2, replace=False)).tolist()) for length in shape
        )
        part = bits.part(rows, columns)
        assert part.dtype == bool
        np.testing.assert_array_equal(part, mask[rows, columns])
