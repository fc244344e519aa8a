"""`petseg segment` with - for a file: a photo from standard input, a result to standard output."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from petseg.cli.options import is_one_file, or_default
from petseg.cli.outputs import tell_missed, told
from petseg.errors import OutputError

if TYPE_CHECKING:
    from petseg.saver import Wanted
    from petseg.segmenter import Segmenter

PIPE = Path("-")
NAME = "stdin"
"""What the results of a photo without a name are called in a folder."""


def segment(
    segmenter: "Segmenter",
    photos: Sequence[Path],
    out: Path,
    wanted: "Wanted",
    prompt: dict[str, Any],
    *,
    force: bool,
    quiet: bool,
) -> None:
    """Find the pets of one photo.

    Args:
        segmenter: the model.
        photos: one, - for standard input.
        out: a file, a folder, or - for standard output, which then gets nothing but the result.
        wanted: what to save; for - at most one kind.
        prompt: arguments for `Segmenter.segment`.
        force: replace files that petseg did not write.
        quiet: print errors only.

    Raises:
        PetsegError: the photo cannot be read, or the result not be written.
    """
    from petseg import folders
    from petseg.folders import Photo
    from petseg.saver import Saver

    if len(photos) != 1 or folders.is_folder(photos[0]):
        raise typer.BadParameter("- takes one photo, and nothing besides", param_hint="PHOTO")
    if out == PIPE and (len(wanted.kinds) > 1 or wanted.formats or wanted.each):
        raise typer.BadParameter("- takes one kind of result; give a folder", param_hint="-o")
    one_file = out != PIPE and is_one_file(photos, out, wanted)
    wanted = or_default(wanted, out, one_file=one_file)
    image = sys.stdin.buffer.read() if photos[0] == PIPE else photos[0]
    result = segmenter.segment(image, **prompt)
    tell_missed(result)
    if out == PIPE:
        if sys.stdout.isatty() and wanted.kinds[0] != "json":
            raise OutputError("a picture is nothing for a terminal; send it to a file or a program")
        wanted.content(result, wanted.kinds[0]).put(sys.stdout.buffer.write)
        sys.stdout.buffer.flush()
        return
    photo = Photo(photos[0], Path(NAME if photos[0] == PIPE else photos[0].stem))
    with Saver(out, wanted, [photo], one_file=one_file, force=force) as saver:
        targets = saver.write(photo, saver.encode(result))
    if not quiet:
        typer.echo(told(result.label, result.score, [*targets, *saver.sets]))
