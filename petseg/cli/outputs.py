"""What commands print: figures as JSON, for programs, and errors on one line."""

import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from petseg.segmentation import Segmentation

NOTHING = "(nothing to save without a pet)"
"""Stands in the place of files."""


def print_json(document: object) -> None:
    """Say it as `petseg.pixels.saving.to_json` does."""
    from petseg.pixels import saving

    typer.echo(saving.to_json(document))


def complain(error: Exception) -> None:
    """Say on one line what went wrong."""
    typer.echo(f"petseg: error: {error}", err=True)


def warn(message: Warning | str, *_: object, **__: object) -> None:
    """Say it on one line; takes what `warnings.showwarning` gets besides."""
    line = f"petseg: warning: {message}"
    if "tqdm" not in sys.modules:
        typer.echo(line, err=True)
        return
    from tqdm import tqdm

    tqdm.write(line, file=sys.stderr)  # beside a progress bar, if there is one


@contextmanager
def warned(*always: type[Warning]) -> Iterator[None]:
    """Say what is warned of meanwhile, of the kinds given every time."""
    with warnings.catch_warnings(record=True) as caught:
        for kind in always:
            warnings.simplefilter("always", kind)
        try:
            yield
        finally:
            for warning in caught:
                warn(warning.message)


def tell_missed(result: "Segmentation") -> None:
    """Warn of clicks that were on nothing."""
    for x, y in result.missed.tolist():
        where = f"{result.source}: " if result.source else ""
        warn(f"{where}({x:g}, {y:g}) is on no pet; it changed nothing")


def told(label: str, score: float, targets: Sequence[Path], sets: Sequence[Path] = ()) -> str:
    """The line of a photo: what was found, and the files that were written of it.

    Args:
        label, score: see `petseg.Segmentation`.
        targets: the photo's own files.
        sets: files that it is in with others, which have a line of their own.
    """
    files = [str(target) for target in targets] or ([] if sets else [NOTHING])
    return "  ".join([f"{label} {score:.2f}", *files])
