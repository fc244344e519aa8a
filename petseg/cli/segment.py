"""`petseg segment`."""

import sys
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from petseg.cli import pipe
from petseg.cli.options import (
    Background,
    BatchSize,
    Boxes,
    Crop,
    Device,
    Each,
    Force,
    Model,
    Negatives,
    Objects,
    Opacity,
    Out,
    Photos,
    Points,
    Precision,
    PrecisionOption,
    Quiet,
    Resize,
    ResizeOption,
    Save,
    Threads,
    Tolerance,
    WholeNames,
    Workers,
    is_one_file,
    or_default,
    parse_prompt,
    parse_wanted,
    prompt_kinds,
)
from petseg.cli.outputs import complain, tell_missed, told, warned
from petseg.errors import ImageError, OutputError, PetsegError, PromptError

if TYPE_CHECKING:
    from petseg.folders import Photo
    from petseg.saver import Encoded, Saver
    from petseg.segmenter import Segmenter


def segment(
    photos: Photos,
    out: Out,
    save: Save = None,
    model: Model = None,
    device: Device = "auto",
    threads: Threads = 0,
    precision: PrecisionOption = Precision.AUTO,
    point: Points = None,
    negative: Negatives = None,
    box: Boxes = None,
    objects: Objects = None,
    resize: ResizeOption = Resize.SMOOTH,
    opacity: Opacity = 0.5,
    background: Background = None,
    crop: Crop = False,
    each: Each = False,
    tolerance: Tolerance = 0.0,
    batch_size: BatchSize = None,
    workers: Workers = None,
    whole_names: WholeNames = False,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Find the pets in photos.

    Folders are searched with their sub-folders, which OUT gets too, for images that are neither hidden
    nor results of petseg. Results are called after the photo: OUT/NAME.mask.png, NAME.mask-gray.png,
    NAME.cutout.png, NAME.overlay.jpg, NAME.on.jpg, NAME.crop.jpg, NAME.sticker.png and NAME.json; where a.jpg
    and a.png lie side by side, or with --whole-names: a.jpg.mask.png and a.png.mask.png. Photos are never
    overwritten, and other files that petseg did not write with --force only. Without a pet there is no crop
    and no sticker.

    Data sets are OUT/coco.json, OUT/labelstudio.json, and OUT/labels/NAME.txt with OUT/data.yaml (yolo): an
    annotation for each animal. Coco or labelstudio alone may be a file: -o pets.json.

    PHOTO may be - for standard input, and OUT - for standard output, if there is one photo and one kind.

    Clicks and boxes are pixels of the upright photo, x to the right, and hold for every photo. Without
    --model, a model that takes them answers for that pet alone.

    A photo that fails is reported and skipped, and the exit status is 1 in the end.
    """
    wanted = parse_wanted(
        save, opacity=opacity, background=background, crop=crop, each=each, tolerance=tolerance
    )
    prompt = parse_prompt(point or [], negative or [], box or [], objects or [])
    from petseg import folders
    from petseg.models import catalog
    from petseg.saver import Saver

    if pipe.PIPE in photos or out == pipe.PIPE:
        segmenter = open_segmenter(
            model or catalog.choose(prompt_kinds(prompt)), device, threads, precision, resize.value
        )
        pipe.segment(segmenter, photos, out, wanted, prompt, force=force, quiet=quiet)
        return
    one_file = is_one_file(photos, out, wanted)
    found, faults = folders.find_photos(photos, None if one_file else out)
    for fault in faults:
        complain(fault)
    if whole_names:
        found = [replace(photo, name=photo.name.with_name(photo.path.name)) for photo in found]
    failed, count = len(faults), len(found) + len(faults)
    if found:
        asked = prompt_kinds(prompt)
        segmenter = open_segmenter(model or catalog.choose(asked), device, threads, precision, resize.value)
        segmenter.check_takes(asked)
        wanted = or_default(wanted, out, one_file=one_file)
        with Saver(out, wanted, found, one_file=one_file, force=force) as saver:
            results = _answers(segmenter, found, prompt, saver, batch_size, workers)
            failed += _write_all(found, results, saver, quiet)
        if saver.sets and not quiet:
            typer.echo("  ".join(map(str, saver.sets)))
    if failed:
        if count > 1:
            typer.echo(f"petseg: error: {failed} of {count} failed", err=True)
        raise typer.Exit(1)


def open_segmenter(
    model: str | None, device: str, threads: int, precision: Precision, resize: Any = "smooth"
) -> "Segmenter":
    """A model, with what is to be said of its device as one line."""
    from petseg.engine.session import DeviceWarning
    from petseg.segmenter import Segmenter

    with warned(DeviceWarning):
        return Segmenter(model, device=device, threads=threads, resize=resize, precision=precision.value)


def _answers(
    segmenter: "Segmenter",
    photos: Sequence["Photo"],
    prompt: dict[str, Any],
    saver: "Saver",
    batch_size: int | None,
    workers: int | None,
) -> Generator["Encoded | PetsegError", None, None]:
    """For each photo what is to be written, or why there is nothing."""
    from petseg import pipeline

    paths = [photo.path for photo in photos]
    if workers is None and len(paths) == 1:
        workers = 1  # which has all cores for itself
    if not prompt:
        return segmenter.each(
            paths, saver.encode, batch_size, workers, keep_photos=saver.wanted.takes_photo, return_errors=True
        )

    def answer(batch: list[Path]) -> list["Encoded | PetsegError"]:
        try:
            results = [segmenter.segment(path, **prompt) for path in batch]
            for result in results:
                tell_missed(result)
            return [saver.encode(result) for result in results]
        except (ImageError, OutputError, PromptError) as error:
            return [error]

    return pipeline.run(answer, paths, 1, workers or 1, return_errors=True)


def _write_all(
    photos: Sequence["Photo"],
    results: Generator["Encoded | PetsegError", None, None],
    saver: "Saver",
    quiet: bool,
) -> int:
    """Write each result as it comes and say so; returns how many photos failed."""
    from tqdm import tqdm

    failed = 0
    hidden = quiet or len(photos) < 2 or not sys.stderr.isatty()
    with closing(results), tqdm(total=len(photos), desc="segment", unit="photo", disable=hidden) as bar:
        for photo, result in zip(photos, results, strict=True):
            try:
                if isinstance(result, PetsegError):
                    raise result
                targets = saver.write(photo, result)
            except PetsegError as error:
                failed += 1
                with bar.external_write_mode(sys.stderr):
                    complain(error)
            else:
                if not quiet:
                    with bar.external_write_mode(sys.stdout):
                        typer.echo(told(result.label, result.score, targets, saver.sets))
            bar.update()
    return failed
