"""Results into files, whole or not at all, and never in the place of what is not petseg's."""

import io
import json
import math
import os
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, TypeAlias, cast

from PIL import ExifTags, Image, PngImagePlugin

from petseg.errors import OutputError

MARK = "petseg"
"""Every file that petseg writes says that it did: only those may be replaced unasked."""

_QUICK: dict[str, Any] = {"compress_level": 1, "compress_type": 3}
"""Runs only (zlib's Z_RLE): of photos a smaller file than its search for repetitions makes, in less time."""

FORMATS: dict[str, tuple[str, dict[str, Any]]] = {
    ".png": ("PNG", _QUICK),
    ".jpg": ("JPEG", {"quality": 95}),
    ".jpeg": ("JPEG", {"quality": 95}),
    ".webp": ("WEBP", {"quality": 95}),
}
"""Suffix -> Pillow's name of the format, and options for it."""

_MASK: dict[str, Any] = {"bits": 8, "compress_level": 6}
"""Of a mask's PNG: Pillow packs few values into fewer bits, which torchvision and others cannot read."""

Kind: TypeAlias = Literal["mask", "mask-gray", "cutout", "overlay", "on", "crop", "sticker", "json"]
"""What a result can be saved as."""

_ANY = (".png", ".jpg", ".jpeg", ".webp")

SUFFIXES: dict[str, tuple[str, ...]] = {
    "mask": (".png",),
    "mask-gray": (".png",),
    "cutout": (".png", ".webp"),
    "overlay": _ANY,
    "on": _ANY,
    "crop": _ANY,
    "sticker": (".png", ".webp"),
    "json": (".json",),
}
"""What can be saved as what: a mask suffers no lossy format, cutout and sticker need transparency."""

SHOWS_PHOTO = frozenset({"cutout", "overlay", "on", "crop", "sticker"})
"""What shows pixels of the photo itself."""
NEEDS_PET = frozenset({"crop", "sticker"})
"""What there is not without a pet."""

_TEXTS = tuple(
    start.replace(b"MARK", MARK.encode())
    for start in (rb'\s*\{\s*"MARK"\s*:', rb'\[\{"meta":\{"MARK":', rb"\[\]\n\Z", rb"# MARK ")
)
"""How petseg's JSON files begin: results and COCO, tasks of Label Studio, none of those; and YOLO's names."""

_PIECE = 1 << 20
"""Bytes that are copied at a time."""

Put: TypeAlias = Callable[[bytes], object]
"""Takes the next bytes of a file."""

HEAD = 1 << 16
"""Bytes of a file in which its mark is, if it has one."""


def kind_of(name: str, suffix: str, kind: str | None) -> str:
    """What is to be written to a file: `kind`, or without it the mask to .png, and the JSON to .json.

    Args:
        name: of the file, for messages.
        suffix: with its dot, in lower case.

    Raises:
        OutputError: the file's suffix does not say, or cannot hold that.
    """
    if kind is None:
        if suffix not in (".png", ".json"):
            raise OutputError(f"{name} ends in {suffix!r}; give .png for the mask, .json, or say which kind")
        return "mask" if suffix == ".png" else "json"
    if not isinstance(kind, str) or kind not in SUFFIXES:
        raise OutputError(f"kind {kind!r} is unknown; give one of {', '.join(SUFFIXES)}")
    if suffix not in SUFFIXES[kind]:
        raise OutputError(f"{name} cannot hold a {kind}; use {' or '.join(SUFFIXES[kind])}")
    return kind


def suffix_of(path: Path | None, kind: object, file_format: object) -> str:
    """The suffix that says how to write a result, with its dot, in lower case.

    Args:
        path: of the file, None for an open one.
        kind: of the result; of an open file the format is the first that this can be saved as.
        file_format: "png", "jpg", ".webp", ..., which beats both.

    Raises:
        OutputError: a format that is none.
    """
    if file_format is not None:
        suffix = f".{file_format.lower().lstrip('.')}" if isinstance(file_format, str) else ""
        if suffix not in (*FORMATS, ".json"):
            known = ", ".join(name[1:] for name in (*FORMATS, ".json"))
            raise OutputError(f"format {file_format!r} is unknown; give one of {known}")
        return suffix
    if path is not None:
        return path.suffix.lower()
    return SUFFIXES[kind][0] if isinstance(kind, str) and kind in SUFFIXES else ".png"


def encode(image: Image.Image, suffix: str) -> bytes:
    """The bytes of an image file, with petseg's mark.

    Args:
        image: of a mode that the format can hold; made from a bare array, so that no EXIF goes along.
        suffix: a key of `FORMATS`.

    Raises:
        OutputError: the format cannot hold an image of this size, or this Pillow does not know it.
    """
    return Content(image, suffix).encoded()


class _Into:
    """All that Pillow gets to know of a file: one with a descriptor it writes to behind Python's back."""

    def __init__(self, put: Put) -> None:
        self._put = put
        self.failed: Exception | None = None

    def write(self, data: bytes) -> None:
        """Hand on the next bytes; what that raises is no fault of the image."""
        try:
            self._put(data)
        except Exception as error:
            self.failed = error
            raise


@dataclass(frozen=True)
class Content:
    """What is to be written to a file: an image becomes bytes part by part, of which a large one has many.

    Attributes:
        of: an image as for `encode`, or the bytes themselves.
        suffix: of an image, a key of `FORMATS`.
    """

    of: Image.Image | bytes
    suffix: str

    def put(self, write: Put) -> None:
        """Give all bytes to a function, in order.

        Args:
            write: takes some bytes; what it raises is raised.

        Raises:
            OutputError: as for `encode`.
        """
        if isinstance(self.of, bytes):
            write(self.of)
            return
        file_format, options = FORMATS[self.suffix]
        if self.of.mode in ("P", "L") and file_format == "PNG":
            options = _MASK
        file = _Into(write)
        try:
            self.of.save(cast("IO[bytes]", file), file_format, **options, **_marking(file_format))
        except (OSError, KeyError, ValueError) as error:
            if error is file.failed:
                raise
            raise OutputError(f"the image cannot be written as {self.suffix} ({error}); use .png") from error

    def encoded(self) -> bytes:
        """All bytes; raises as `put`."""
        buffer = io.BytesIO()
        self.put(buffer.write)
        return buffer.getvalue()

    def save(self, path: Path) -> None:
        """Write a file, whole or not at all; see `drafted`."""
        with drafted(path) as file:
            self.put(into(file, path))


def _marking(file_format: str) -> dict[str, Any]:
    """Pillow's options that put the mark into a file."""
    if file_format == "PNG":
        texts = PngImagePlugin.PngInfo()
        texts.add_text("Software", MARK)
        return {"pnginfo": texts}
    if file_format == "JPEG":
        return {"comment": MARK}
    exif = Image.Exif()
    exif[ExifTags.Base.Software] = MARK
    return {"exif": exif}


def is_ours(path: Path) -> bool:
    """Whether petseg wrote a file; False if it cannot be read."""
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
            if head.startswith(b"RIFF"):
                file.seek(-min(HEAD, path.stat().st_size), os.SEEK_END)  # a WebP tells at its end
                head += file.read()
    except (OSError, ValueError):
        return False
    return is_marked(head) or _is_label(path)


def is_marked(head: bytes) -> bool:
    """Whether the first `HEAD` bytes of a file, of a WebP its last ones too, have petseg's mark."""
    mark = MARK.encode()
    if head.startswith(b"\x89PNG"):
        return b"tEXtSoftware\0" + mark in head
    if head.startswith(b"\xff\xd8"):
        return b"\xff\xfe" + (len(mark) + 2).to_bytes(2, "big") + mark in head
    if head.startswith(b"RIFF"):
        return b"EXIF" in head and mark + b"\0" in head
    return any(re.match(start, head) for start in _TEXTS)


def _is_label(path: Path) -> bool:
    """Whether a file is a label of YOLO's as petseg writes them: no other line ends so."""
    if path.suffix != ".txt":
        return False
    with path.open("rb") as file:
        return all(re.fullmatch(rb"[01]( [\d.e-]+)+ \n", line) for line in file)


def identity(path: Path) -> tuple[int, int] | None:
    """What two names of one file share: links of either kind, another case. None if nothing is there."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino


def check_free(path: Path, fix: str = "give another name, or --force to replace it") -> None:
    """Raise `OutputError`, which says the fix, where a file is that is not empty and not petseg's own."""
    try:
        free = not path.is_file() or path.stat().st_size == 0
    except (OSError, ValueError):
        return  # to write there will say so
    if not free and not is_ours(path):
        raise OutputError(f"{str(path)!r} is there and no result of petseg's; {fix}")


def to_json(document: object) -> str:
    """Strict JSON, indented: figures without a value (nan, infinity) become null, paths texts.

    Example:
        >>> to_json([float("nan"), 0.5]).split()
        ['[', 'null,', '0.5', ']']
    """

    def plain(value: object) -> object:
        if isinstance(value, dict):
            return {str(key): plain(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [plain(item) for item in value]
        if isinstance(value, float) and not math.isfinite(value):
            return None
        return str(value) if isinstance(value, Path) else value

    return json.dumps(plain(document), indent=2, allow_nan=False)


def write_json(path: Path, document: object) -> None:
    """Write a document as `to_json` says it, and as `write` does."""
    write(path, (to_json(document) + "\n").encode())


def write(path: Path, data: bytes) -> None:
    """Write a file, whole or not at all; see `drafted`."""
    Content(data, path.suffix).save(path)


def copy(file: IO[bytes], path: Path) -> None:
    """Write the bytes of a file, from where it stands, to another one as `write` does."""
    with drafted(path) as draft:
        put = into(draft, path)
        while piece := file.read(_PIECE):
            put(piece)


def into(file: IO[bytes], path: Path) -> Put:
    """What writes to a file; what the system says against it names the path."""

    def put(data: bytes) -> None:
        with as_output_error(path):
            file.write(data)

    return put


def write_all(file: IO[bytes], data: bytes) -> None:
    """Write to a file that somebody else opened; one without a buffer may take a part at a time.

    Raises:
        OutputError: it does not take bytes, or not all of them.
    """
    left = memoryview(data)
    try:
        while left:
            count = file.write(left.tobytes() if len(left) < len(data) else data)
            if count == 0:
                raise OSError("it takes no more")
            left = left[count if isinstance(count, int) else len(left) :]
    except (OSError, ValueError, TypeError) as error:
        opened = isinstance(error, OSError) and not isinstance(error, io.UnsupportedOperation)
        fix = "look at its disk or who reads it" if opened else "open it with 'wb'"
        raise OutputError(f"the file cannot be written to ({error}); {fix}") from error


@contextmanager
def drafted(path: Path) -> Iterator[IO[bytes]]:
    """A file beside the target, which is moved over it in the end: a reader never sees half a file.

    Folders are made; a link keeps pointing at what is written. After an error there is what was there before.

    Raises:
        OutputError: the target is there and no regular file, or cannot be written.
    """
    with as_output_error(path):
        path = Path(os.path.realpath(path))
        if path.exists() and not path.is_file():
            raise OutputError(f"{path} is there and no regular file; choose another name")
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".petseg-{secrets.token_hex(6)}.tmp")
        file = draft.open("xb")
    try:
        yield file
        with as_output_error(path):
            file.close()
            draft.replace(path)
    finally:
        with suppress(OSError):
            file.close()
        with suppress(OSError):
            draft.unlink(missing_ok=True)


@contextmanager
def as_output_error(path: Path) -> Iterator[None]:
    """What the system says against writing to a file, as an `OutputError`."""
    try:
        yield
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"{path} cannot be written ({reason}); choose another place") from error
