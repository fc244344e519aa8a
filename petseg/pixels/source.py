"""Where a photo came from, and how messages name it."""

import os

import numpy as np
from PIL import Image

_MOST = 300
"""Letters of a path, or of what was given for one, that a message repeats."""


def source_of(image: object) -> str | None:
    """The path of a photo, or the name of the file it was read from; None where it has neither."""
    if isinstance(image, str | os.PathLike):
        return os.fsdecode(image)
    name: object = None
    if isinstance(image, Image.Image):
        name = getattr(image, "filename", None)
    elif hasattr(image, "read"):
        name = getattr(image, "name", None)
    return os.fsdecode(name) if isinstance(name, str | bytes | os.PathLike) and name else None


def name_of(image: object) -> str:
    """How error messages name an input: its path where it has one, else its kind."""
    if isinstance(image, str | os.PathLike):
        path = os.fsdecode(image)
        return (
            f"photo {path!r}" if len(path) <= _MOST else f"photo {path[:_MOST]!r}... ({len(path):,} letters)"
        )
    if isinstance(image, bytes | bytearray | memoryview):
        return f"the photo given as {memoryview(image).nbytes:,} bytes"
    if isinstance(image, Image.Image):
        return f"the PIL image ({image.mode}, {image.width} x {image.height})"
    if hasattr(image, "read"):
        file_name = getattr(image, "name", None)
        return f"photo {file_name!r}" if isinstance(file_name, str) else "the photo given as an open file"
    if isinstance(image, np.ndarray):
        return f"the array of shape {image.shape} and dtype {image.dtype}"
    return f"the {type(image).__name__} given as a photo"
