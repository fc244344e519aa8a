"""What commands print: figures as JSON, for programs, and errors on one line."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from petseg.errors import OutputError

NOTHING = "(nothing to save without a pet)"
"""Stands in the place of files."""


def to_json(document: object) -> str:
    """Strict JSON: figures without a value (nan) become null, paths texts."""

    def plain(value: object) -> object:
        if isinstance(value, dict):
            return {str(key): plain(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [plain(item) for item in value]
        if isinstance(value, float) and not math.isfinite(value):
            return None
        return str(value) if isinstance(value, Path) else value

    return json.dumps(plain(document), indent=2, allow_nan=False)


def write_json(path: Path, document: dict[str, Any]) -> None:
    """Write it to a file, with petseg's mark; raises `OutputError` where that does not work."""
    from petseg.pixels import saving
    from petseg.version import version

    saving.write(path, (to_json({saving.MARK: version()} | document) + "\n").encode())


def check_writable(path: Path | None, *, force: bool) -> None:
    """Raise `OutputError` now rather than after the work; also where a file is that petseg did not write."""
    if path is not None and not path.parent.is_dir():
        raise OutputError(f"there is no folder {str(path.parent)!r} for {path.name!r}; make it first")
    if path is not None and path.exists() and not path.is_file():
        raise OutputError(f"{str(path)!r} is there and no regular file; choose another name")
    if path is not None and not force:
        from petseg.pixels import saving

        saving.check_free(path)


def complain(error: Exception) -> None:
    """Say on one line what went wrong."""
    typer.echo(f"petseg: error: {error}", err=True)


def told(label: str, score: float, targets: Sequence[Path], sets: Sequence[Path] = ()) -> str:
    """The line of a photo: what was found, and the files that were written of it.

    Args:
        label, score: see `petseg.Segmentation`.
        targets: the photo's own files.
        sets: files that it is in with others, which have a line of their own.
    """
    files = [str(target) for target in targets] or ([] if sets else [NOTHING])
    return "  ".join([f"{label} {score:.2f}", *files])
