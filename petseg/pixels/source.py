"""Where a photo came from."""

import os

from PIL import Image


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
