"""What would cost far more than it seems is refused before it is decoded."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from petseg.errors import ImageError, ImageTooLargeError
from petseg.pixels.decode_guard import Rationed, check_cost, count_scans
from petseg.pixels.image import load


def encode(file_format: str, size: tuple[int, int] = (40, 30), mode: str = "RGB", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size).save(buffer, file_format, **options)
    return buffer.getvalue()


def refined(data: bytes, times: int) -> bytes:
    """A progressive JPEG whose last scan is repeated."""
    last = data[data.rfind(b"\xff\xda") : -2]
    return data[:-2] + last * times + b"\xff\xd9"


PROGRESSIVE = encode("JPEG", progressive=True)
PLAIN = encode("JPEG")


@pytest.mark.parametrize(
    ("data", "scans"),
    [
        (PLAIN, 1),
        (PROGRESSIVE, 10),
        (refined(PROGRESSIVE, 25), 35),
        (refined(PROGRESSIVE, 999), 101),  # no further than one beyond what is asked for
        (PLAIN[:2] + b"\xff\xe1\x00\x06\xff\xda\xff\xda" + PLAIN[2:], 1),  # in a segment they mean nothing
        (PLAIN + refined(PROGRESSIVE, 99), 1),  # behind the end is another picture
        (b"", 0),
        (b"\xff\xd8\xff", 0),
        (b"\xff\xd8" + b"\xff\xda\x00\x00" * 5, 5),
    ],
)
def test_scans_are_counted(data: bytes, scans: int) -> None:
    assert count_scans(io.BytesIO(data), 100) == scans


def test_too_many_scans() -> None:
    data = refined(PROGRESSIVE, 30)
    assert load(data).shape == (30, 40, 3), "of a small picture they cost little"
    with pytest.raises(ImageError, match=r"drawn in more than 20 scans; save it again as plain JPEG"):
        load(data, max_pixels=1200)
    assert load(PROGRESSIVE, max_pixels=1200).shape == (30, 40, 3)


@pytest.mark.parametrize(
    ("file_format", "times"),
    [("PNG", 1), ("JPEG", 1), ("WEBP", 2), ("JPEG2000", 4)],
    ids=lambda value: str(value),
)
def test_heavy_formats_have_a_lower_limit(file_format: str, times: int) -> None:
    data = encode(file_format)
    assert load(data, max_pixels=1200 * times).shape == (30, 40, 3)
    with pytest.raises(ImageTooLargeError, match="40 x 30 pixels, more than the limit"):
        load(data, max_pixels=1200 * times - 1)


def test_a_tiff_in_one_huge_piece() -> None:
    side = 1000
    entries = [
        (256, 4, 1, 16),
        (257, 4, 1, 16),
        (258, 3, 1, 16),
        (259, 3, 1, 8),
        (262, 3, 1, 1),
        (277, 3, 1, 1),
    ]
    entries += [(322, 4, 1, side), (323, 4, 1, side), (324, 4, 1, 8), (325, 4, 1, 9)]
    packed = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    data = b"II*\0" + struct.pack("<IH", 8, len(entries)) + packed + bytes(4)
    with pytest.raises(ImageTooLargeError, match="TIFF in one huge piece"):
        load(data, max_pixels=side * side // 2 - 1)
    with pytest.raises(ImageError, match="damaged"):
        load(data, max_pixels=side * side // 2)


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "jpeg"])
def test_usual_tiffs_pass(compression: str) -> None:
    assert load(encode("TIFF", compression=compression), max_pixels=1200).shape == (30, 40, 3)


def test_a_file_is_not_read_in_crumbs() -> None:
    file = Rationed(io.BytesIO(bytes(6400)), "the photo")
    for _ in range(50_100):
        file.read(1)
    with pytest.raises(ImageError, match="the photo is made of too many tiny parts"):
        file.read(1)
    assert file.tell() == 6400
    assert file.seekable()


def test_postscript_is_not_run() -> None:
    data = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n"
    assert Image.open(io.BytesIO(data)).format == "EPS"
    with pytest.raises(ImageError, match="no image format"):
        load(data)


def iptc(hidden: bytes) -> bytes:
    """An IPTC image of one pixel that holds another file."""
    head = [((3, 60), b"\1\0"), ((3, 20), b"\0\1"), ((3, 30), b"\0\1"), ((3, 120), b"\5"), ((8, 10), hidden)]
    return b"".join(bytes([0x1C, *tag]) + struct.pack(">H", len(data)) + data for tag, data in head)


def test_no_file_is_opened_that_lies_in_another() -> None:
    data = iptc(encode("EPS", (8, 8)))
    assert Image.open(io.BytesIO(data)).format == "IPTC"
    with pytest.raises(ImageError, match="no image format"):
        load(data)


def test_an_image_that_its_caller_opened_and_that_holds_none() -> None:
    with pytest.raises(ImageError, match="holds no image that Pillow can read"):
        load(Image.open(io.BytesIO(iptc(b"no image"))))


def test_cost_of_an_image_in_memory_is_its_callers_matter() -> None:
    image = Image.open(io.BytesIO(encode("WEBP")))
    with pytest.raises(ImageTooLargeError, match="WEBP"):
        check_cost(image, io.BytesIO(), "it", 1200)
    assert load(image, max_pixels=1200).shape == (30, 40, 3)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photos_of_several_strips_are_put_together(orientation: int, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (50, 30, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", exif=exif)
    whole = load(buffer.getvalue())
    monkeypatch.setattr("petseg.pixels.image._STRIP", 30 * 7)
    np.testing.assert_array_equal(load(buffer.getvalue()), whole)


@pytest.mark.parametrize("mode", ["I;16", "I", "F", "LA", "P", "RGBA"])
def test_strips_of_other_modes(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    grey = np.random.default_rng(0).integers(0, 256, (50, 30), np.uint8)
    grey[0], grey[-1] = 0, 255
    if mode == "I;16":
        image = Image.fromarray(grey.astype(np.uint16) * 257)
    else:
        image = Image.fromarray(grey).convert("RGB" if mode == "P" else mode)
        image = image.convert(mode)
    whole = load(image)
    monkeypatch.setattr("petseg.pixels.image._STRIP", 1)
    np.testing.assert_array_equal(load(image), whole)
