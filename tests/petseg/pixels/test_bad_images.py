"""What is no photo, or too large, or damaged, is refused with an error that says what to do."""

import base64
import io
import os
import struct
import sys
import threading
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from petseg.errors import ImageError, ImageTooLargeError
from petseg.pixels.image import load
from tests.support.encoding import encode, png

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (7, 5, 3), np.uint8)

JPEG = encode(Image.fromarray(RNG.integers(0, 256, (64, 64, 3), np.uint8)), "JPEG")


def written(name: str, data: bytes) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(data)
        return folder / name

    return write


def pipe(folder: Path) -> Path:
    os.mkfifo(folder / "pipe.jpg")
    return folder / "pipe.jpg"


BAD_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda folder: folder / "missing.jpg", "does not exist; check the path"),
    "url": (lambda _: "https://example.org/dog.jpg", "download it first"),
    "empty name": (lambda _: "", "photo is empty; look where it comes from"),
    "null in the name": (lambda _: "a\0b.jpg", "check the path"),
    "name too long": (lambda _: "a" * 5000, "check the path"),
    "below a file": (lambda folder: written("file", b"x")(folder) / "photo.jpg", "check the path"),
    "folder": (lambda folder: folder, "is a folder; give one photo"),
    "truncated": (written("truncated.jpg", JPEG[: len(JPEG) // 2]), "cut short.*download it again"),
    "truncated bytes": (lambda _: JPEG[: len(JPEG) // 2], "cut short.*download it again"),
    "text": (written("text.jpg", b"these are no pixels, only words"), "convert it to JPEG or PNG"),
    "text bytes": (lambda _: b"these are no pixels", "convert it to JPEG or PNG"),
    "zero bytes": (written("empty.jpg", b""), r"empty \(0 bytes\).*download it again"),
    "no bytes": (lambda _: b"", r"empty \(0 bytes\)"),
    "pipe": (pipe, "give the bytes"),
    "device": (lambda _: "/dev/zero", "give the bytes"),
    "text mode": (lambda _: io.StringIO("x"), "binary mode"),
    "number": (lambda _: 7, "give a path, bytes"),
    "nothing": (lambda _: None, "give a path, bytes"),
    "list": (lambda _: [[1, 2], [3, 4]], "give a path, bytes"),
}


@pytest.mark.parametrize("brand", [b"heic", b"mif1", b"hevc"])
def test_heif_where_nothing_reads_it(brand: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)
    with pytest.raises(ImageError, match="pip install pillow-heif`, nothing more"):
        load(b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0mif1heic")


def test_heif_works_by_itself_where_pillow_heif_is(monkeypatch: pytest.MonkeyPatch) -> None:
    pillow_heif = pytest.importorskip("pillow_heif", reason="needs the extra [heif]")
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)
    buffer = io.BytesIO()
    pillow_heif.from_pillow(Image.new("RGB", (64, 48), (200, 40, 40))).save(buffer)
    loaded = load(buffer.getvalue())
    assert loaded.shape == (48, 64, 3)
    assert np.abs(loaded[20, 20].astype(int) - (200, 40, 40)).max() <= 8
    with pytest.raises(ImageTooLargeError):
        load(buffer.getvalue(), max_pixels=64 * 48)  # half as many for HEIF
    with pytest.raises(ImageError):
        load(buffer.getvalue()[:200])


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_files(case: str, tmp_path: Path) -> None:
    make, fix = BAD_FILES[case]
    given = make(tmp_path)
    with pytest.raises(ImageError, match=fix) as caught:
        load(given)
    if isinstance(given, Path):
        assert str(given) in str(caught.value)


@pytest.mark.parametrize(
    ("array", "fix"),
    [
        (np.zeros((3, 40, 50), np.uint8), r"transpose\(1, 2, 0\)"),
        (np.zeros((2, 40, 50, 3), np.uint8), "one photo at a time"),
        (np.zeros((40, 50, 2), np.uint8), r"give \(H, W\), \(H, W, 3\)"),
        (np.zeros(40, np.uint8), r"give \(H, W\), \(H, W, 3\)"),
        (np.zeros((0, 50, 3), np.uint8), "at least 1 x 1"),
        (np.zeros((40, 50, 3), np.int64), r"astype\(np.uint8\)"),
        (np.zeros((40, 50, 3), object), r"astype\(np.uint8\)"),
        (np.zeros((40, 50, 3), complex), r"astype\(np.uint8\)"),
        (np.full((4, 5, 3), np.nan), "nan_to_num"),
        (np.full((4, 5, 3), np.inf, np.float32), "nan_to_num"),
        (np.full((4, 5, 3), 200.0), "divide by the value of white.*image / 255"),
        (np.full((4, 5, 3), -0.5), "0..1"),
    ],
)
def test_bad_arrays(array: np.ndarray, fix: str) -> None:
    with pytest.raises(ImageError, match=fix) as caught:
        load(array)
    assert str(array.shape) in str(caught.value)


def test_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "secret.png"
    path.write_bytes(encode(Image.fromarray(RGB)))

    def deny(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", deny)  # root may read anything, so chmod would prove nothing
    with pytest.raises(ImageError, match=r"secret.png.*check its permissions"):
        load(path)


def test_bomb_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    side = 20_000
    path = tmp_path / "bomb.png"
    path.write_bytes(png(side, side, 0, bytes((side // 8 + 1) * side), bits=1))
    assert path.stat().st_size < 100_000
    with pytest.raises(ImageTooLargeError, match=r"bomb.png.*20000 x 20000.*100,000,000.*raise max_pixels"):
        load(path)
    header = path.read_bytes()[:60]  # no pixel could be decoded from this, so none was
    with pytest.raises(ImageTooLargeError):
        load(header)


@pytest.mark.parametrize("kind", ["bytes", "PIL", "array"])
def test_limit_is_the_callers(kind: str) -> None:
    given = {"bytes": encode(Image.fromarray(RGB)), "PIL": Image.fromarray(RGB), "array": RGB}[kind]
    assert load(given, max_pixels=35).shape == RGB.shape
    with pytest.raises(ImageTooLargeError, match=r"5 x 7.*limit of 34"):
        load(given, max_pixels=34)


def test_limit_of_pillow_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    data = encode(Image.fromarray(RGB))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(load(data), RGB)


@pytest.mark.parametrize("limit", [0, -1, 1.5, "many", True])
def test_bad_limits(limit: object) -> None:
    with pytest.raises(ImageError, match="whole number of at least 1"):
        load(RGB, max_pixels=limit)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "ICO", "TGA"])
def test_damaged_files_raise_nothing_but_image_errors(file_format: str) -> None:
    rng = np.random.default_rng(1)
    sound = encode(Image.fromarray(RNG.integers(0, 256, (16, 16, 3), np.uint8)), file_format)
    for _ in range(60):
        damaged = bytearray(sound)
        for at in rng.integers(0, len(damaged), 4):
            damaged[at] = rng.integers(0, 256)
        cut = int(rng.integers(1, len(damaged) + 1))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                loaded = load(bytes(damaged[:cut]), max_pixels=10**6)
            except ImageError:
                continue
        assert loaded.ndim == 3


@pytest.mark.parametrize(
    "error", [SyntaxError, struct.error, OverflowError, EOFError, MemoryError, zlib.error]
)
def test_whatever_a_decoder_raises(error: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise error("boom")

    image = Image.fromarray(RGB)
    monkeypatch.setattr(image, "load", lambda: fail(image))
    with pytest.raises(ImageError, match="boom"):
        load(image)


def test_many_threads_read_at_once(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(encode(Image.fromarray(RGB)))
    results: list[np.ndarray] = []
    threads = [threading.Thread(target=lambda: results.append(load(path))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 8
    assert all((result == RGB).all() for result in results)


@pytest.mark.parametrize("file_format", ["TIFF", "JPEG"])
def test_a_known_format_cut_within_its_header_is_named(file_format: str) -> None:
    # Compressed, a TIFF has at its end what says where everything is.
    options = {"compression": "tiff_lzw"} if file_format == "TIFF" else {}
    data = encode(Image.fromarray(RGB), file_format, **options)
    short = data[:-8] if file_format == "TIFF" else data[:20]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's own
        with pytest.raises(ImageError, match=f"begins as {file_format} and .*cut short.*copy or download"):
            load(short)


def test_what_was_closed_is_not_damaged(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(RGB).save(path)
    with path.open("rb") as file, Image.open(path) as image:
        pass
    loaded = Image.fromarray(RGB)
    loaded.close()
    for given in (file, image, loaded):
        with pytest.raises(ImageError, match="closed before it was read; give it while it is open"):
            load(given)


def test_a_file_that_is_open_for_writing(tmp_path: Path) -> None:
    with (tmp_path / "a.png").open("wb") as file, pytest.raises(ImageError, match="not open for reading"):
        load(file)


@pytest.mark.parametrize("before", ["", "data:image/jpeg;base64,"])
def test_a_photo_as_text_is_named_in_few_words(before: str) -> None:
    text = before + base64.b64encode(bytes(range(256)) * 40).decode()
    with pytest.raises(
        ImageError, match=r"letters\).*text must be decoded first, with base64\.b64decode"
    ) as caught:
        load(text)
    assert len(str(caught.value)) < 500
