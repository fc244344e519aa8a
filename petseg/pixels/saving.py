"""Results into files, whole or not at all."""

import io
import json
import os
import secrets
from pathlib import Path
from typing import Any

from PIL import Image

from petseg.errors import OutputError

FORMATS: dict[str, tuple[str, dict[str, Any]]] = {
    ".png": ("PNG", {}),
    ".jpg": ("JPEG", {"quality": 95}),
    ".jpeg": ("JPEG", {"quality": 95}),
    ".webp": ("WEBP", {"quality": 95}),
}
"""Suffix -> Pillow's name of the format, and options for it."""


SUFFIXES: dict[str, tuple[str, ...]] = {
    "mask": (".png",),
    "cutout": (".png", ".webp"),
    "overlay": (".png", ".jpg", ".jpeg", ".webp"),
    "json": (".json",),
}
"""What can be saved as what: a mask suffers no lossy format, a cutout needs transparency."""


def kind_of(path: Path, kind: str | None) -> str:
    """What is to be written to a file: `kind`, or without it the mask to .png, and the JSON to .json.

    Raises:
        OutputError: the file's suffix does not say, or cannot hold that.
    """
    suffix = path.suffix.lower()
    if kind is None:
        if suffix not in (".png", ".json"):
            raise OutputError(f"{path} ends in {suffix!r}; give .png for the mask, .json, or say which kind")
        return "mask" if suffix == ".png" else "json"
    if kind not in SUFFIXES:
        raise OutputError(f"kind {kind!r} is unknown; give one of {', '.join(SUFFIXES)}")
    if suffix not in SUFFIXES[kind]:
        raise OutputError(f"{path} cannot hold a {kind}; use {' or '.join(SUFFIXES[kind])}")
    return kind


def encode(image: Image.Image, suffix: str) -> bytes:
    """The bytes of an image file.

    Args:
        image: of a mode that the format can hold; made from a bare array, so that no EXIF goes along.
        suffix: a key of `FORMATS`.

    Raises:
        OutputError: the format cannot hold an image of this size, or this Pillow does not know it.
    """
    buffer, (file_format, options) = io.BytesIO(), FORMATS[suffix]
    try:
        image.save(buffer, file_format, **options)
    except (OSError, KeyError, ValueError) as error:
        raise OutputError(f"the image cannot be written as {suffix} ({error}); use .png") from error
    return buffer.getvalue()


def write_json(path: Path, document: object) -> None:
    """Write a document, indented, as `write` does."""
    write(path, (json.dumps(document, indent=2) + "\n").encode())


def write(path: Path, data: bytes) -> None:
    """Write beside the target, then move over it: a reader never sees half a file.

    Folders are made; a link keeps pointing at what is written.

    Raises:
        OutputError: it is there and no regular file, or cannot be written.
    """
    try:
        path = Path(os.path.realpath(path))
        if path.exists() and not path.is_file():
            raise OutputError(f"{path} is there and no regular file; choose another name")
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".petseg-{secrets.token_hex(6)}.tmp")
        try:
            with draft.open("xb") as file:
                file.write(data)
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"{path} cannot be written ({reason}); choose another place") from error
