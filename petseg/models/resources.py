"""Files of the package itself, which may lie in a folder or, with all of petseg, in a zip."""

import os
from importlib.resources import files
from io import BufferedIOBase
from pathlib import Path
from typing import cast

PACKAGE = Path(__file__).parents[1]


def open_binary(path: Path) -> BufferedIOBase:
    """Open a file for reading, also one of the package's own where that is a zip.

    Raises:
        OSError: it cannot be opened.
    """
    try:
        return path.open("rb")
    except (FileNotFoundError, NotADirectoryError):
        if (parts := _inside(path)) is None or archive() is None:
            raise
        return cast(BufferedIOBase, files("petseg").joinpath(*parts).open("rb"))


def read_bytes(path: Path) -> bytes:
    """The bytes of a file that `open_binary` opens; raises as that does."""
    with open_binary(path) as file:
        return file.read()


def status(path: Path) -> os.stat_result:
    """`path.stat()`; of one of the package's own files in a zip, the zip's.

    Raises:
        OSError: there is no such file.
    """
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError):
        parts, zipped = _inside(path), archive()
        if parts is None or zipped is None or not files("petseg").joinpath(*parts).is_file():
            raise
        return zipped.stat()


def archive() -> Path | None:
    """The zip that petseg was imported from; None if it lies in a folder."""
    if PACKAGE.is_dir():
        return None
    return next((parent for parent in PACKAGE.parents if parent.is_file()), None)


def _inside(path: Path) -> tuple[str, ...] | None:
    """The parts of a path below the package; None if it lies elsewhere."""
    for package in (PACKAGE, Path(os.path.realpath(PACKAGE))):
        if path.is_relative_to(package):
            return path.relative_to(package).parts
    return None
