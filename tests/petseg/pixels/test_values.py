"""What is white in a file or an array of more than 8 bits: read right, or refused with the fix."""

import io
import re
import struct
import warnings
import zlib
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from petseg.errors import ImageError, ImageWarning
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


def deep_colours(values: NDArray[np.uint16], kind: str) -> bytes:
    """(H, W, 3) as a file of 16 bits for each colour, which Pillow reads and does not write."""
    height, width = values.shape[:2]
    if kind == "ppm":
        return b"P6\n%d %d\n65535\n" % (width, height) + values.astype(">u2").tobytes()
    if kind == "sgi":
        planes = values[::-1].transpose(2, 0, 1).astype(">u2").tobytes()
        return struct.pack(">HBBHHHH500x", 474, 0, 2, 3, width, height, 3) + planes
    if kind == "tiff":
        file = io.BytesIO()
        pytest.importorskip("tifffile").imwrite(file, values, photometric="rgb")
        return file.getvalue()
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    chunks = {b"IHDR": header, b"IDAT": zlib.compress(rows), b"IEND": b""}
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks.items()
    )


@pytest.mark.parametrize("kind", ["png", "tiff", "ppm", "sgi"])
def test_so_are_they_in_files_of_which_pillow_keeps_half_the_bits(kind: str) -> None:
    colours = np.dstack([GREY, GREY[::-1], GREY[:, ::-1]])
    whole = np.round(colours * 65535).astype(np.uint16)
    np.testing.assert_allclose(load(deep_colours(whole, kind)).astype(int), np.round(colours * 255), atol=1)
    for highest in (255, 1023, 4095):
        few = np.round(colours * highest).astype(np.uint16)
        with pytest.raises(ImageError, match=r"16 bits for each colour has .* black sheet"):
            load(deep_colours(few, kind))
        with pytest.raises(ImageError, match="black sheet"):
            load(Image.open(io.BytesIO(deep_colours(few, kind))))


@pytest.mark.parametrize("highest", [0.8, 2.4, 200.0])
def test_normalised_floats_are_told_from_those_with_another_white(highest: float) -> None:
    values = np.dstack([GREY * (highest + 1) - 1] * 3)
    with pytest.raises(ImageError, match=r"from -1 to .*undo their normalisation first, \(image \+ 1\) / 2"):
        load(values)


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


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", [np.int8, np.int16])
def test_a_sign_takes_a_bit_of_a_tiff(kind: type[np.signedinteger[Any]], order: str) -> None:
    tifffile = pytest.importorskip("tifffile", reason="needs tifffile, which scikit-image brings")
    white = np.iinfo(kind).max

    def written(values: NDArray[Any]) -> bytes:
        file = io.BytesIO()
        tifffile.imwrite(file, values.astype(kind), byteorder=order, photometric="minisblack")
        return file.getvalue()

    loaded = load(written(np.round(GREY * white)))[..., 0]
    np.testing.assert_allclose(loaded.astype(int), EXPECTED, atol=0 if kind is np.int16 else 2)
    with pytest.raises(ImageError, match=r"scale them to 0\.\.255"):
        load(written(np.round(GREY * white) - 9))
    with pytest.raises(ImageError, match="black sheet"):
        load(written(GREY * (4095 if kind is np.int16 else 15)))


BLACK = np.array([[0, 1, 1], [1, 0, 0]], np.uint8)


@pytest.mark.parametrize(
    "photo",
    [
        BLACK,
        np.dstack([BLACK] * 3),
        np.dstack([BLACK] * 3 + [np.full_like(BLACK, 255)]),
        (BLACK / 255).astype(np.float32),
        Image.fromarray(BLACK),
        np.vstack([np.zeros((200, 3), np.uint8), BLACK]),
    ],
)
def test_nothing_but_0_and_1_is_warned_of(photo: Any) -> None:
    with pytest.warns(ImageWarning, match="no value but 0 and 1, of 255: it is a black sheet; if 1 is white"):
        assert load(photo).max() == 1


@pytest.mark.parametrize(
    "photo",
    [BLACK > 0, BLACK * 255, BLACK * 2, BLACK * 0, BLACK.astype(np.float64), BLACK * np.uint16(65535)],
)
def test_what_the_warning_says_helps_and_no_light_is_no_fault(photo: NDArray[Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(photo)


def test_masked_values_are_no_pixels() -> None:
    photo = np.ma.masked_equal((GREY * 255).astype(np.uint8), 255)
    with pytest.raises(ImageError, match=r"is masked, 1 of its values do not count; fill them"):
        load(photo)
    np.testing.assert_array_equal(load(photo.filled(255)), load(photo.data))
    np.testing.assert_array_equal(load(np.ma.array(photo.data)), load(photo.data))
