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
from PIL import Image, ImageCms

from petseg.errors import ImageError, ImageTooLargeError
from petseg.pixels.image import load, shrink

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (7, 5, 3), np.uint8)


def encode(image: Image.Image, file_format: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def png(width: int, height: int, colour: int, rows: bytes, *extra: bytes, bits: int = 8) -> bytes:
    """A PNG by hand, for what Pillow does not write."""

    def chunk(kind_and_data: bytes) -> bytes:
        crc = zlib.crc32(kind_and_data)
        return struct.pack(">I", len(kind_and_data) - 4) + kind_and_data + struct.pack(">I", crc)

    header = chunk(b"IHDR" + struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    body = chunk(b"IDAT" + zlib.compress(rows)) + chunk(b"IEND")
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(map(chunk, extra)) + body


class Stream(io.RawIOBase):
    """Readable and not seekable, like a socket."""

    def __init__(self, data: bytes) -> None:
        self._inner = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:
        return self._inner.readinto(buffer)


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


# -- what must not load ---------------------------------------------------------------------------------


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
    "empty name": (lambda _: "", "give one photo"),
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


@pytest.mark.parametrize(
    ("size", "side", "shrunk"), [((100, 60), 50, (50, 30)), ((3, 500), 100, (1, 100)), ((7, 7), 1, (1, 1))]
)
def test_a_photo_is_shrunk_to_a_side(size: tuple[int, int], side: int, shrunk: tuple[int, int]) -> None:
    photo = np.full((size[1], size[0], 3), 77, np.uint8)
    np.testing.assert_array_equal(shrink(photo, side), np.full((shrunk[1], shrunk[0], 3), 77, np.uint8))
    assert shrink(photo, max(size)) is photo, "nothing is enlarged or copied"
