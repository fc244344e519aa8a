import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from petseg.errors import ImageError
from petseg.pixels.image import load, shrink
from tests.support.encoding import Stream, encode, png

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (7, 5, 3), np.uint8)


def test_every_kind_of_input_gives_the_same_pixels(tmp_path: Path) -> None:
    image = Image.fromarray(RGB)
    data = encode(image)
    path = tmp_path / "photo.png"
    path.write_bytes(data)
    half_read = io.BytesIO(data)
    half_read.read(20)
    with path.open("rb") as file:
        inputs = [str(path), path, data, bytearray(data), memoryview(data), file, half_read]
        inputs += [io.BufferedReader(Stream(data)), image, RGB, RGB[..., ::-1][..., ::-1]]
        for given in inputs:
            loaded = load(given)
            assert loaded.dtype == np.uint8
            assert loaded.flags.c_contiguous
            np.testing.assert_array_equal(loaded, RGB)
        assert not file.closed


def test_name_of_the_file_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(encode(Image.fromarray(RGB), "GIF"))
    assert load(path).shape == RGB.shape


def test_result_shares_no_memory_with_the_input() -> None:
    array = RGB.copy()
    loaded = load(array)
    array[:] = 0
    np.testing.assert_array_equal(loaded, RGB)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.array([[0, 7, 255]], np.uint8), [0, 7, 255]),
        (np.array([[[0], [7], [255]]], np.uint8), [0, 7, 255]),
        (np.array([[0, 7 * 257, 7 * 257 + 128, 7 * 257 + 129, 65535]], np.uint16), [0, 7, 7, 8, 255]),
        (np.array([[0, 7 * 257, 65535]], ">u2"), [0, 7, 255]),
        (np.array([[0, 0.5, 1]], np.float32), [0, 128, 255]),
        (np.array([[0, 0.5, 1]], np.float64), [0, 128, 255]),
        (np.array([[0, 0.5, 1]], np.float16), [0, 128, 255]),
        (np.array([[False, True]]), [0, 255]),
    ],
    ids=lambda value: str(getattr(value, "dtype", "")),
)
def test_grey_arrays(array: np.ndarray, expected: list[int]) -> None:
    loaded = load(array)
    assert loaded.shape == (1, len(expected), 3)
    for channel in range(3):
        assert loaded[0, :, channel].tolist() == expected


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_transparent_arrays_are_laid_over_white(dtype: type) -> None:
    full = {np.uint8: 255, np.uint16: 65535, np.float32: 1}[dtype]
    array = np.array([[[full, 0, 0, full], [full, 0, 0, 0]]], dtype)
    assert load(array).tolist() == [[[255, 0, 0], [255, 255, 255]]]


def test_array_like_objects() -> None:
    class Tensor:
        def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:
            return RGB

    np.testing.assert_array_equal(load(Tensor()), RGB)


def test_what_refuses_to_become_an_array() -> None:
    class OnAnotherDevice:
        def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:
            raise TypeError("cannot be converted from the GPU")

    with pytest.raises(ImageError, match=r"the OnAnotherDevice .* no.* numpy array .*from the GPU"):
        load(OnAnotherDevice())


@pytest.mark.parametrize(
    "mode", ["1", "L", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "LA", "RGBX", "I", "F"]
)
def test_modes_of_pillow(mode: str) -> None:
    grey = np.where(RGB[..., 0] > 127, 255, 0).astype(np.uint8)
    given = Image.fromarray(grey).convert("RGB").convert(mode)
    difference = np.abs(load(given).astype(int) - grey[..., None])
    assert difference.max() <= 2


def test_lab() -> None:
    to_lab = ImageCms.buildTransform(
        ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"
    )
    lab = ImageCms.applyTransform(Image.new("RGB", (3, 2), (200, 40, 40)), to_lab)
    assert lab.mode == "LAB"
    assert np.abs(load(lab).astype(int) - (200, 40, 40)).max() <= 3


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "RGBa", "La"])
def test_transparent_modes_are_laid_over_white(mode: str) -> None:
    rgba = np.zeros((1, 3, 4), np.uint8)
    rgba[0, :, 3] = 255, 128, 0  # black: solid, half, clear
    image = Image.fromarray(rgba)
    for step in {"RGBA": [], "RGBa": ["RGBa"], "LA": ["LA"], "PA": ["LA"], "La": ["LA", "La"]}[mode]:
        image = image.convert(step)
    if mode == "PA":
        image.putpalette([value for value in range(256) for _ in range(3)])
    assert image.mode == mode
    loaded = load(image)
    assert np.abs(loaded[0, :, 0].astype(int) - [0, 127, 255]).max() <= 1
    assert (loaded == loaded[..., :1]).all()


@pytest.mark.parametrize(
    "data",
    [
        png(2, 1, 2, b"\0" + bytes([9, 9, 9, 50, 60, 70]), b"tRNS" + struct.pack(">HHH", 9, 9, 9)),
        png(2, 1, 0, b"\0" + bytes([9, 50]), b"tRNS" + struct.pack(">H", 9)),
        png(2, 1, 0, b"\0" + struct.pack(">HH", 9, 50 * 257), b"tRNS" + struct.pack(">H", 9), bits=16),
        png(2, 1, 3, b"\0" + bytes([0, 1]), b"PLTE" + bytes([9, 9, 9, 50, 60, 70]), b"tRNS" + b"\0"),
    ],
    ids=["RGB", "L", "16 bit", "palette"],
)
def test_transparent_colour_of_a_png(data: bytes) -> None:
    loaded = load(data)
    assert loaded[0, 0].tolist() == [255, 255, 255]
    assert loaded[0, 1, 0] == 50


@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
def test_sixteen_bit_files_are_scaled(file_format: str) -> None:
    values = np.array([[0, 100 * 257, 65535]], np.uint16)
    assert load(encode(Image.fromarray(values), file_format))[0, :, 0].tolist() == [0, 100, 255]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0, 100, 255]], np.int32), [0, 100, 255]),
        (np.array([[0, 100 * 257, 65535]], np.int32), [0, 100, 255]),
        (np.array([[0, 0.5, 1]], np.float32), [0, 128, 255]),
        (np.array([[0, 100, 255]], np.float32), [0, 100, 255]),
        (np.array([[0, 100 * 257, 65535]], np.float32), [0, 100, 255]),
    ],
)
def test_white_of_wide_modes_is_the_smallest_usual_one(values: np.ndarray, expected: list[int]) -> None:
    image = Image.fromarray(values)
    assert image.mode in ("I", "F")
    assert load(image)[0, :, 0].tolist() == expected


@pytest.mark.parametrize("values", [[[0.0, 70000.0]], [[-90.0, 200.0]], [[0.0, float("nan")]]])
def test_wide_modes_outside_any_usual_range(values: list[list[float]]) -> None:
    with pytest.raises(ImageError, match=r"scale them to 0..255"):
        load(Image.fromarray(np.array(values, np.float32)))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "TIFF", "in memory"])
def test_exif_orientation(orientation: int, file_format: str) -> None:
    upright = np.zeros((16, 32, 3), np.uint8)
    upright[:8, :8] = 255
    # What a camera held that way stores: the inverse of what the tag says to do.
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: np.rot90(upright, 2).transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    image = Image.fromarray(np.ascontiguousarray(stored))
    exif = Image.Exif()
    exif[0x0112] = orientation
    if file_format == "in memory":
        given: object = Image.open(io.BytesIO(encode(image, "PNG", exif=exif)))
        given.load()
    else:
        given = encode(image, file_format, exif=exif)
    loaded = load(given)
    assert loaded.shape == upright.shape
    assert np.abs(loaded.astype(int) - upright).max() <= 8
    again = load(given)
    np.testing.assert_array_equal(loaded, again)  # the input was left as it is


def test_broken_exif_is_ignored() -> None:
    data = encode(Image.fromarray(RGB), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff garbage")
    assert load(data).shape == RGB.shape


def test_first_frame_of_an_animation() -> None:
    frames = [Image.new("RGB", (4, 3), colour) for colour in ((255, 0, 0), (0, 255, 0))]
    data = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert load(data)[0, 0].tolist() == [255, 0, 0]


def test_one_pixel() -> None:
    data = encode(Image.new("RGB", (1, 1), (1, 2, 3)))
    assert load(data).tolist() == [[[1, 2, 3]]]


@pytest.mark.parametrize(
    ("size", "side", "shrunk"), [((100, 60), 50, (50, 30)), ((3, 500), 100, (1, 100)), ((7, 7), 1, (1, 1))]
)
def test_a_photo_is_shrunk_to_a_side(size: tuple[int, int], side: int, shrunk: tuple[int, int]) -> None:
    photo = np.full((size[1], size[0], 3), 77, np.uint8)
    np.testing.assert_array_equal(shrink(photo, side), np.full((shrunk[1], shrunk[0], 3), 77, np.uint8))
    assert shrink(photo, max(size)) is photo, "nothing is enlarged or copied"
