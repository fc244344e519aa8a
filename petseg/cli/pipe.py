"""`petseg segment` with - for a file: a photo from standard input, a result to standard output."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from petseg.cli.options import is_one_file
from petseg.errors import OutputError

if TYPE_CHECKING:
    from petseg.pixels.saving import Kind
    from petseg.segmenter import Segmenter

PIPE = Path("-")
NAME = "stdin"
"""What the results of a photo without a name are called in a folder."""


def segment(
    segmenter: "Segmenter",
    photos: Sequence[Path],
    out: Path,
    kinds: Sequence["Kind"],
    prompt: dict[str, Any],
    *,
    opacity: float,
    force: bool,
    quiet: bool,
) -> None:
    """Find the pets of one photo.

    Args:
        segmenter: the model.
        photos: one, - for standard input.
        out: a file, a folder, or - for standard output, which then gets nothing but the result.
        kinds: what to save; for - at most one.
        prompt: arguments for `Segmenter.segment`.
        opacity: of overlays, 0..1.
        force: replace files that petseg did not write.
        quiet: print errors only.

    Raises:
        PetsegError: the photo cannot be read, or the result not be written.
    """
    from petseg import folders
    from petseg.folders import Photo, Saver

    if len(photos) != 1 or folders.is_folder(photos[0]):
        raise typer.BadParameter("- takes one photo, and nothing besides", param_hint="PHOTO")
    if out == PIPE and len(kinds) > 1:
        raise typer.BadParameter("- takes one kind of result; give a folder", param_hint="-o")
    one_file = out != PIPE and is_one_file(photos, out, kinds)
    kinds = kinds or ["json" if one_file and out.suffix.lower() == ".json" else "mask"]
    image = sys.stdin.buffer.read() if photos[0] == PIPE else photos[0]
    result = segmenter.segment(image, **prompt)
    if out == PIPE:
        if sys.stdout.isatty() and kinds[0] != "json":
            raise OutputError("a picture is nothing for a terminal; send it to a file or a program")
        sys.stdout.buffer.write(result.encode(None, kinds[0], opacity=opacity))
        sys.stdout.buffer.flush()
        return
    photo = Photo(photos[0], Path(NAME if photos[0] == PIPE else photos[0].stem))
    saver = Saver(out, kinds, [photo], one_file=one_file, opacity=opacity, force=force)
    targets = saver.write(photo, saver.encode(result))
    if not quiet:
        typer.echo("  ".join([f"{result.label} {result.score:.2f}", *map(str, targets)]))
