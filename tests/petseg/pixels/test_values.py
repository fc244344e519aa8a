"""What is white in a file or an array of more than 8 bits: read right, or refused with the fix."""

import io
import re
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from petseg.errors import ImageError
from petseg.pixels.image import load

GREY = np.linspace(0, 1, 24, dtype=np.float32).reshape(4, 6)
EXPECTED = np.floor(GREY * np.float32(255) + np.float32(0.5)).astype(np.uint8)


def tiff(image: Image.Image, **tags: int) -> bytes:
    file = io.BytesIO()
    directory = TiffImagePlugin.ImageFileDirectory_v2()
    for name, value in tags.items():
        directory[{"photometric": 262, "planar": 284}[name]] = value
    image.save(file, "TIFF", tiffinfo=directory)
    return file.getvalue()


@pytest.mark.parametrize("white", [1, 255])
@pytest.mark.parametrize("kind", ["image", "file"])
def test_floats_may_overshoot_as_resampling_does(white: int, kind: str) -> None:
    values = GREY * white
    values[0, 0], values[-1, -1] = -0.1 * white, 1.1 * white
    image = Image.fromarray(values)
    loaded = load(image if kind == "image" else tiff(image))
    np.testing.assert_allclose(loaded[..., 0].astype(int), EXPECTED, atol=1)


def test_so_may_arrays() -> None:
    values = np.dstack([GREY] * 3)
    values[0, 0], values[-1, -1] = -0.1, 1.1
    np.testing.assert_array_equal(load(values)[..., 0], EXPECTED)


@pytest.mark.parametrize("highest", [1.4, 9.0, 400.0, 1023.0, 4000.0])
def test_floats_without_a_known_white_are_refused(highest: float) -> None:
    with pytest.raises(ImageError, match=r"black sheet; scale it to 0..1 .*image / 1023.0"):
        load(Image.fromarray(GREY * highest))


@pytest.mark.parametrize("highest", [1, 255, 1023, 4095])
@pytest.mark.parametrize("kind", ["array", "rgb", "rgba", "image", "png", "tiff"])
def test_fewer_bits_in_sixteen_are_refused(highest: int, kind: str) -> None:
    values = (GREY * highest).astype(np.uint16)
    given: Any = values
    if kind == "rgb":
        given = np.dstack([values] * 3)
    elif kind == "rgba":
        given = np.dstack([values] * 3 + [np.full_like(values, 65535)])
    elif kind != "array":
        given = Image.fromarray(values)
        if kind != "image":
            file = io.BytesIO()
            given.save(file, kind)
            given = file.getvalue()
    with pytest.raises(ImageError, match=re.escape(f"values up to {highest} where white is 65535")):
        load(given)


def test_the_fix_that_the_message_names_works() -> None:
    values = np.round(GREY * 1023).astype(np.uint16)
    np.testing.assert_allclose(load(values / 1023.0)[..., 0].astype(int), EXPECTED, atol=1)


@pytest.mark.parametrize("values", [np.zeros((2, 3), np.uint16), np.zeros((2, 3), np.float32)])
def test_black_is_black(values: NDArray[Any]) -> None:
    assert load(values).max() == 0
    assert load(Image.fromarray(values)).max() == 0


@pytest.mark.parametrize("highest", [1, 9, 900])
def test_mode_i_without_a_known_white(highest: int) -> None:
    with pytest.raises(ImageError, match="black sheet"):
        load(Image.fromarray((GREY * highest).astype(np.int32)))


@pytest.mark.parametrize("bits", [8, 16])
def test_tiff_whose_zero_is_white(bits: int) -> None:
    values = (GREY * (2**bits - 1) + 0.5).astype(np.uint8 if bits == 8 else np.uint16)
    inverted = Image.fromarray(values.max() - values)
    loaded = load(tiff(inverted, photometric=0))
    if bits == 8:  # Pillow writes the tag and inverts again: what counts is that both agree
        file = io.BytesIO(tiff(inverted, photometric=0))
        np.testing.assert_array_equal(loaded[..., 0], np.asarray(Image.open(file).convert("L")))
    else:
        np.testing.assert_allclose(loaded[..., 0].astype(int), EXPECTED, atol=1)


def test_sixteen_bit_tiffs_as_other_programs_write_them() -> None:
    tifffile = pytest.importorskip("tifffile", reason="needs tifffile, which scikit-image brings")
    values = (GREY * 65535 + 0.5).astype(np.uint16)
    colours = np.stack([values, values[::-1], values[:, ::-1]])

    def written(array: NDArray[Any], **options: Any) -> bytes:
        file = io.BytesIO()
        tifffile.imwrite(file, array, **options)
        return file.getvalue()

    inverted = load(written(65535 - values, photometric="miniswhite"))
    np.testing.assert_allclose(inverted[..., 0].astype(int), EXPECTED, atol=1)
    with pytest.raises(ImageError, match=r"plane for each colour.*interleaved"):
        load(written(colours, photometric="rgb", planarconfig="separate"))
    together = load(written(colours.transpose(1, 2, 0), photometric="rgb"))
    np.testing.assert_allclose(together[..., 0].astype(int), EXPECTED, atol=1)
    eight = (colours >> 8).astype(np.uint8)
    planes = load(written(eight, photometric="rgb", planarconfig="separate"))
    np.testing.assert_array_equal(planes, eight.transpose(1, 2, 0))
