"""What commands print: figures as JSON, for programs, and errors on one line."""

from collections.abc import Sequence
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


def tell_missed(result: "Segmentation") -> None:
    """Warn of clicks that were on nothing."""
    for x, y in result.missed.tolist():
        where = f"{result.source}: " if result.source else ""
        typer.echo(f"petseg: warning: {where}({x:g}, {y:g}) is on no pet; it changed nothing", err=True)


def told(label: str, score: float, targets: Sequence[Path], sets: Sequence[Path] = ()) -> str:
    """The line of a photo: what was found, and the files that were written of it.

    Args:
        label, score: see `petseg.Segmentation`.
        targets: the photo's own files.
        sets: files that it is in with others, which have a line of their own.
    """
    files = [str(target) for target in targets] or ([] if sets else [NOTHING])
    return "  ".join([f"{label} {score:.2f}", *files])
