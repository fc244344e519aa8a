"""Any photo in, one upright RGB array out.

`load` takes what people have at hand (a path, bytes, an open file, a PIL image, an array) and answers
with (H, W, 3) uint8, or with an `ImageError` that names the input and the fix.
"""

import io
import os
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from petseg.errors import ImageError, ImageTooLargeError, ImageWarning
from petseg.pixels import colour, cut_short, decode_guard, values
from petseg.pixels.identify import identify
from petseg.pixels.scaling import scaled
from petseg.pixels.source import name_of

DEFAULT_MAX_PIXELS = 100_000_000
"""Photos above this are refused before they are decoded (a few kilobytes can claim gigabytes)."""

ImageInput: TypeAlias = (
    "str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes] | Image.Image | NDArray[Any]"
)
"""What `load` accepts; any other object with `__array__` (a CPU tensor, say) counts as an array."""

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> what turns the photo upright."""
_ON_THE_SIDE = frozenset(_UPRIGHT[key] for key in (5, 6, 7, 8))
_FROM_THE_END = frozenset(_UPRIGHT[key] for key in (3, 4, 6, 7))
"""Turns that make rows columns, and those that put the first of them last."""

_LONGEST = 4095
"""Letters of a path, about, on any system."""

_STRIP = 1 << 22
"""Pixels that are converted at a time: whole copies of a large photo would take gigabytes."""


def load(image: ImageInput, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> NDArray[np.uint8]:
    """Read a photo, upright, in RGB.

    The EXIF orientation is applied, colours are converted to sRGB where an ICC profile says that they are
    others, transparent pixels are laid over white, 16-bit and float values are scaled to 8 bits, and of an
    animation the first frame is taken. A JPEG that lacks no more than its last rows is read with an
    `ImageWarning`.

    Args:
        image: path, encoded bytes, binary file (read from its start, left open), PIL image of any
            mode, or array: (H, W), (H, W, 1), (H, W, 3) RGB or (H, W, 4) RGBA, of bool, uint8, uint16
            (0..65535) or float (0..1, and as little beside it as resampling overshoots).
        max_pixels: largest width x height, checked from the header before anything is decoded. Of WebP and
            AVIF it is half of that, of JPEG 2000 a quarter, since they take more memory.

    Returns:
        (H, W, 3) uint8, read-only, never sharing memory with the input.

    Raises:
        ImageTooLargeError: more than `max_pixels`.
        ImageError: anything else that keeps the photo from being read.

    Example:
        >>> pixels = load("chelsea.jpg")
        >>> pixels.shape, pixels.dtype
        ((300, 451, 3), dtype('uint8'))
    """
    return load_reduced(image, 0, max_pixels=max_pixels)[0]


def load_reduced(
    image: ImageInput, least: int, *, max_pixels: int = DEFAULT_MAX_PIXELS
) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """Like `load`, but a large JPEG comes in a half, a quarter or an eighth of its size.

    Its decoder leaves out what the smaller size does not need, which takes a fraction of the time and the
    memory. Everything else comes at its own size.

    Args:
        image: see `load`; only files and bytes come reduced.
        least: the longest side, in pixels, is not reduced below this; 0 reduces nothing.
        max_pixels: see `load`; of the photo's own size.

    Returns:
        The pixels, and the photo's own (width, height), both upright.

    Raises:
        ImageTooLargeError, ImageError: as `load`.
    """
    if isinstance(max_pixels, bool) or not isinstance(max_pixels, int | np.integer) or max_pixels < 1:
        raise ImageError(f"max_pixels is {max_pixels!r}; give a whole number of at least 1")
    name = name_of(image)
    if isinstance(image, Image.Image):
        pixels, size = _from_pillow(image, name, max_pixels), None
    elif isinstance(image, str | os.PathLike):
        if not os.fspath(image):
            raise ImageError("the path given as a photo is empty; look where it comes from")
        with _open_path(Path(os.fsdecode(image)), name) as file:
            pixels, size = _decode(file, name, max_pixels, least)
    elif isinstance(image, bytes | bytearray | memoryview):
        pixels, size = _decode(io.BytesIO(bytes(image)), name, max_pixels, least)
    elif hasattr(image, "read"):
        pixels, size = _decode(_seekable(cast("IO[bytes]", image), name), name, max_pixels, least)
    elif hasattr(image, "__array__"):
        pixels, size = _from_array(image, name, max_pixels), None
    else:
        raise ImageError(
            f"{name} is no photo; give a path, bytes, a binary file, a PIL image or an array (H, W, 3)"
        )
    values.warn_of_black(pixels, name)
    pixels.flags.writeable = False
    return pixels, size or (pixels.shape[1], pixels.shape[0])


def shrink(photo: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """A copy of an (H, W, 3) uint8 photo whose longest side is `side`; one no larger is given back itself."""
    longest = max(photo.shape[:2])
    if longest <= side:
        return photo
    height, width = (max(1, round(length * side / longest)) for length in photo.shape[:2])
    return np.asarray(scaled(photo, (width, height), gap=1.5))


def _open_path(path: Path, name: str) -> IO[bytes]:
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise ImageError(f"{name} is a folder; give one photo, or its files one by one")
        if not stat.S_ISREG(status.st_mode):
            # Opening a pipe without a writer, or reading a device, could block for ever.
            raise ImageError(f"{name} is no regular file; read it yourself and give the bytes")
        return path.open("rb")
    except FileNotFoundError as error:
        raise ImageError(f"{name} does not exist; {_way_to(path)}") from error
    except PermissionError as error:
        raise ImageError(f"{name} may not be read; check its permissions and its folder's") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ImageError(f"{name} cannot be opened ({reason}); {_way_to(path)}") from error


def _way_to(path: Path) -> str:
    """What to do about a path that leads nowhere."""
    if str(path).startswith(("http:/", "https:/")):
        return "download it first and give the file"
    if str(path).startswith("data:") or len(str(path)) > _LONGEST:
        return "check the path; a photo as text must be decoded first, with base64.b64decode"
    return "check the path and the working folder"


def read_all(file: IO[bytes]) -> bytes:
    """All bytes of a binary file, from its start.

    Raises:
        ImageError: it does not give bytes.
    """
    name = name_of(file)
    with _as_image_error(name):
        return _seekable(file, name).read()


def _seekable(file: IO[bytes], name: str) -> IO[bytes]:
    """The file at its start; a stream that cannot seek is read to its end first."""
    with _as_image_error(name):
        if not isinstance(file.read(0), bytes):
            raise ImageError(f"{name} does not read bytes; open it in binary mode ('rb')")
        # An mmap can seek from the first, but says so from Python 3.13 on only.
        if file.seekable() if hasattr(file, "seekable") else hasattr(file, "seek"):
            file.seek(0)
            return file
        return io.BytesIO(file.read())


def _decode(
    file: IO[bytes], name: str, max_pixels: int, least: int
) -> tuple[NDArray[np.uint8], tuple[int, int] | None]:
    """The pixels, and the photo's own (width, height) where they are reduced."""
    with _as_image_error(name):
        prefix = file.read(16)
        if not prefix:
            raise ImageError(f"{name} is empty (0 bytes); copy or download it again")
        rationed = decode_guard.Rationed(file, name)
        image = identify(cast("IO[bytes]", rationed), prefix, name)
        _check_size(image.width, image.height, name, max_pixels)
        decode_guard.check_cost(image, file, name, max_pixels)
        if decode_guard.reads_bytewise(image):
            rationed.lift()
        width, height = image.size
        reduced = _reduce(image, least)
        halved = values.loses_depth(image)
        try:
            image.load()
        except OSError as error:
            image = _complete(image, file, name, least, error)
        pixels = _from_pillow(image, name, max_pixels, halved)
        if not reduced:
            return pixels, None
        return pixels, (height, width) if _turn(image) in _ON_THE_SIDE else (width, height)


def _complete(image: Image.Image, file: IO[bytes], name: str, least: int, error: OSError) -> Image.Image:
    """A JPEG that lacks its end, decoded all the same, with a warning; or `error`."""
    if image.format != "JPEG" or "truncated" not in str(error):
        raise error

    def decode(data: IO[bytes]) -> Image.Image:
        again = identify(data, data.read(16), name)
        _reduce(again, least)
        again.load()
        return again

    found = cut_short.complete(file, decode)
    if found is None:
        raise error
    image, rows = found
    lacks = f"and the last {rows} rows of its pixels" if rows else "but no pixels"
    warnings.warn(f"{name} is cut short: it lacks its end marker, {lacks}", ImageWarning, stacklevel=2)
    return image


def _reduce(image: Image.Image, least: int) -> bool:
    """Have a JPEG decoded in a smaller size; whether that did anything."""
    scale = max(image.size) // least if least and image.format in ("JPEG", "MPO") else 1
    if scale < 2:
        return False
    before = image.size
    image.draft(None, (max(1, before[0] // scale), max(1, before[1] // scale)))
    return image.size != before


@contextmanager
def _as_image_error(name: str) -> Iterator[None]:
    """Pillow's decoders raise nearly anything on damaged input: all of it becomes `ImageError`."""
    try:
        yield
    except ImageError:
        raise
    except MemoryError as error:
        reason = f" ({error})" if str(error) else ""
        raise ImageTooLargeError(
            f"{name} needs more memory than is free{reason}; make it smaller, or end other programs"
        ) from error
    except Image.DecompressionBombError as error:
        raise ImageTooLargeError(f"{name} is too large to decode ({error}); make it smaller first") from error
    except UnidentifiedImageError as error:
        raise ImageError(f"{name} holds no image that Pillow can read; convert it to JPEG or PNG") from error
    except Exception as error:
        reason = str(error) or type(error).__name__
        if isinstance(error, io.UnsupportedOperation):
            raise ImageError(f"{name} is not open for reading; open it in binary mode ('rb')") from error
        if isinstance(error, ValueError) and "closed" in reason:
            raise ImageError(f"{name} was closed before it was read; give it while it is open") from error
        raise ImageError(f"{name} is damaged or cut short ({reason}); copy or download it again") from error


def _check_size(width: int, height: int, name: str, max_pixels: int) -> None:
    if width < 1 or height < 1:
        raise ImageError(f"{name} has no pixels ({width} x {height}); give a photo of at least 1 x 1")
    if width * height > max_pixels:
        raise ImageTooLargeError(
            f"{name} has {width} x {height} pixels, more than the limit of {max_pixels:,}; "
            "make it smaller, or, in Python, raise max_pixels if you trust it"
        )


def _from_pillow(image: Image.Image, name: str, max_pixels: int, halved: bool = False) -> NDArray[np.uint8]:
    """Its pixels; `halved` says that of 16 bits the upper 8 were decoded."""
    _check_size(image.width, image.height, name, max_pixels)
    with _as_image_error(name):
        if getattr(image, "tile", None) and getattr(image, "fp", image) is None:
            raise ValueError("operation on a closed file")  # Pillow only asserts it
        halved = halved or values.loses_depth(image)
        image.load()
        # Some formats (icons, TIFF with an orientation) know their true size only now.
        _check_size(image.width, image.height, name, max_pixels)
        values.check_tiff(image, name)
        if halved:
            values.check_halved((strip for strip, _ in _strips(image)), name)
        depth = values.depth_of(image, (strip for strip, _ in _strips(image)), name)
        if image.has_transparency_data:
            colour.check_alpha((strip for strip, _ in _strips(image)), name)
        turn, profile = _turn(image), colour.profile_of(image)
        sides = (image.width, image.height) if turn in _ON_THE_SIDE else (image.height, image.width)
        upright = np.empty((*sides, 3), np.uint8)
        for strip, rows in _strips(image):
            if turn in _FROM_THE_END:
                rows = slice(image.height - rows.stop, image.height - rows.start)
            part = colour.to_rgb(strip, depth, profile)
            part = part if turn is None else part.transpose(turn)
            upright[(slice(None), rows) if turn in _ON_THE_SIDE else rows] = np.asarray(part)
        return upright


def _strips(image: Image.Image) -> Iterator[tuple[Image.Image, slice]]:
    """The image in pieces of about `_STRIP` pixels, with the rows of each."""
    step = max(1, _STRIP // image.width)
    for top in range(0, image.height, step):
        bottom = min(image.height, top + step)
        whole = bottom - top == image.height
        yield image if whole else image.crop((0, top, image.width, bottom)), slice(top, bottom)


def turn_of(path: Path) -> Image.Transpose | None:
    """What `load` turns a photo's file by; None for nothing, and for what cannot be read."""
    try:
        with _open_path(path, str(path)) as file:
            return _turn(identify(file, file.read(16), str(path)))
    except Exception:
        return None  # `load` says why


def _turn(image: Image.Image) -> Image.Transpose | None:
    try:
        return _UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:
        return None  # broken EXIF is no reason to refuse a photo whose pixels are sound


def _from_array(image: Any, name: str, max_pixels: int) -> NDArray[np.uint8]:
    if np.ma.isMaskedArray(image) and (masked := np.count_nonzero(np.ma.getmaskarray(image))):
        raise ImageError(
            f"{name} is masked, {masked} of its values do not count; fill them, with image.filled(255) say"
        )
    try:
        array = np.asarray(image)
    except Exception as error:
        raise ImageError(f"{name} does not become a numpy array ({error}); convert it first") from error
    name = name_of(array)
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        raise ImageError(f"{name} is no photo; give (H, W), (H, W, 3) or (H, W, 4){_shape_hint(array)}")
    _check_size(array.shape[1], array.shape[0], name, max_pixels)
    pixels = values.array_to_uint8(array, name)
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        rgba = Image.fromarray(np.ascontiguousarray(pixels))
        colour.check_alpha([rgba], name)
        return np.asarray(colour.to_rgb(rgba))
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    return np.array(np.broadcast_to(pixels, (*pixels.shape[:2], 3)), order="C")


def _shape_hint(array: NDArray[Any]) -> str:
    if array.ndim == 4:
        return ", one photo at a time (Segmenter.map takes many)"
    if array.ndim == 3 and array.shape[0] in (1, 3, 4):
        return ": this one has its channels first, so try image.transpose(1, 2, 0)"
    return ""
