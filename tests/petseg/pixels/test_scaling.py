"""Photos made smaller in strips are what Pillow makes of the whole."""

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from petseg.pixels import scaling
from petseg.pixels.geometry import Letterbox


def of(width: int, height: int, *channels: int) -> NDArray[np.uint8]:
    return np.random.default_rng(width).integers(0, 256, (height, width, *channels), np.uint8)


@pytest.mark.parametrize("gap", [1.5, 2.0])
@pytest.mark.parametrize("size", [(40, 30), (7, 64), (1, 1), (300, 200)])
@pytest.mark.parametrize("photo", [of(301, 203, 3), of(640, 480, 3), of(97, 811), of(3, 900, 3)])
def test_strips_are_as_the_whole(
    photo: NDArray[np.uint8], size: tuple[int, int], gap: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scaling, "_STRIP", 5000)
    whole = Image.fromarray(photo).resize(size, Image.Resampling.BILINEAR, reducing_gap=gap)
    np.testing.assert_array_equal(np.asarray(scaling.scaled(photo, size, gap)), np.asarray(whole))


@pytest.mark.parametrize("region", [None, (100, 10, 1900, 1190)])
def test_no_large_photo_is_copied_as_a_whole(
    region: tuple[int, int, int, int] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scaling, "_STRIP", 1 << 16)
    copied, fromarray = [], Image.fromarray

    def counted(array: NDArray[np.uint8]) -> Image.Image:
        copied.append(array.shape[0] * array.shape[1])
        return fromarray(array)

    photo = of(2000, 1200, 3)
    with monkeypatch.context() as patched:
        patched.setattr(Image, "fromarray", counted)
        Letterbox.fit(2000, 1200, 64, region).apply(photo)
    assert max(copied) <= 1 << 16
    assert sum(copied) > 2e6
