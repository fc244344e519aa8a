"""JPEGs that lack their end, and formats whose decoders read byte by byte."""

import io
import mmap
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from petseg.errors import ImageError, ImageTooLargeError, ImageWarning
from petseg.pixels.image import load, load_reduced

CHELSEA = Path(__file__).parents[3] / "docs" / "chelsea.jpg"
WHOLE = CHELSEA.read_bytes()


def encode(file_format: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.open(CHELSEA).convert("RGB").save(file, file_format, **options)
    return file.getvalue()


@pytest.mark.parametrize("data", [WHOLE, encode("JPEG", progressive=True)], ids=["baseline", "progressive"])
@pytest.mark.parametrize("cut", [1, 2])
def test_a_jpeg_without_its_end_marker_has_all_its_pixels(data: bytes, cut: int, tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_bytes(data[:-cut])
    with pytest.warns(ImageWarning, match=r"x.jpg' is cut short: it lacks its end marker, but no pixels"):
        loaded = load(tmp_path / "x.jpg")
    np.testing.assert_array_equal(loaded, load(data))


def test_without_a_few_bytes_it_lacks_its_last_rows() -> None:
    with pytest.warns(ImageWarning, match=r"and the last \d+ rows of its pixels"):
        loaded = load(WHOLE[:-10])
    np.testing.assert_array_equal(loaded[:-16], load(WHOLE)[:-16])


@pytest.mark.parametrize(
    ("share", "progressive"),
    # The last scan of a progressive one refines what is there: without some of it no row is missing.
    [(0.02, False), (0.3, False), (0.5, False), (0.9, False), (0.02, True), (0.3, True), (0.5, True)],
)
def test_with_less_it_is_refused(share: float, progressive: bool) -> None:
    data = encode("JPEG", progressive=True) if progressive else WHOLE
    with pytest.raises(ImageError, match="cut short"):
        load(data[: int(share * len(data))])


def test_the_reduced_decode_does_the_same() -> None:
    image = Image.open(CHELSEA).resize((1804, 1200))
    file = io.BytesIO()
    image.save(file, "JPEG")
    data = file.getvalue()
    with pytest.warns(ImageWarning, match="cut short"):
        reduced, size = load_reduced(data[:-2], 400)
    assert size == (1804, 1200)
    np.testing.assert_array_equal(reduced, load_reduced(data, 400)[0])


@pytest.mark.parametrize("file_format", ["QOI", "DDS"])
def test_formats_that_are_read_byte_by_byte(file_format: str) -> None:
    if file_format == "QOI" and "QOI" not in Image.SAVE:
        Image.init()
    if file_format not in Image.SAVE:
        pytest.skip(f"this Pillow writes no {file_format}")
    data = encode(file_format)
    with Image.open(CHELSEA) as image:
        np.testing.assert_array_equal(load(data), np.asarray(image.convert("RGB")))
    with pytest.raises(ImageTooLargeError, match="more memory or time than others"):
        load(data, max_pixels=8 * 451 * 300 - 8)


@pytest.mark.parametrize("white", [1023, 65535])
def test_so_are_netpbm_files_of_more_than_8_bits(white: int) -> None:
    with Image.open(CHELSEA) as image:
        photo = np.asarray(image.convert("RGB"))[::2, ::2]
    values = np.round(photo * (white / 255)).astype(">u2")
    data = b"P6\n%d %d\n%d\n" % (photo.shape[1], photo.shape[0], white) + values.tobytes()
    np.testing.assert_allclose(load(data).astype(int), photo, atol=1)
    with pytest.raises(ImageTooLargeError, match="more memory or time than others"):
        load(data, max_pixels=31 * photo.shape[0] * photo.shape[1])
    plain = b"P6\n%d %d\n255\n" % (photo.shape[1], photo.shape[0]) + photo.tobytes()
    np.testing.assert_array_equal(load(plain, max_pixels=photo.shape[0] * photo.shape[1]), photo)


def test_a_mapped_file_is_read_from_its_start() -> None:
    with CHELSEA.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        mapped.seek(1000)
        np.testing.assert_array_equal(load(mapped), load(WHOLE))


def test_memory_that_is_short_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    image = Image.new("RGB", (3, 2))

    def fail() -> None:
        raise MemoryError

    monkeypatch.setattr(image, "load", fail)
    with pytest.raises(ImageTooLargeError, match=r"3 x 2\) needs more memory than is free; make it smaller"):
        load(image)
