"""`petseg eval`."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from petseg.cli.options import Device, Figures, Force, Model, Precision, PrecisionOption, Threads, path_of
from petseg.cli.segment import open_segmenter

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def evaluate_folder(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER", parser=path_of, help="images/ beside masks/, or the Oxford-IIIT Pet layout."
        ),
    ],
    split: Annotated[str | None, typer.Option(help="A list in annotations/; default: every mask.")] = None,
    masks: Annotated[
        str,
        typer.Option(
            metavar="FOLDER|FILE", help="Folder with the masks, or COCO, Label Studio or CVAT file."
        ),
    ] = "masks",
    classes: Annotated[
        str | None,
        typer.Option(
            metavar="VALUE=CLASS,...",
            help="What masks hold: 0=background,255=cat or #f00=dog; or labels: *=background.",
        ),
    ] = None,
    model: Model = None,
    device: Device = "auto",
    threads: Threads = 0,
    precision: PrecisionOption = Precision.AUTO,
    no_pets: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="PHOTO|FOLDER", parser=path_of, help="Photos without cats and dogs, for false alarms."
        ),
    ] = None,
    worst: Annotated[int, typer.Option(min=0, metavar="K", help="Name the K worst photos.")] = 0,
    json_file: Figures = None,
    force: Force = False,
) -> None:
    """Compare a model with true masks, at the photos' own size.

    Masks are PNG files of the photos' names: 0 background, 1 cat, 2 dog, 255 ignored; or outlines in COCO
    JSON, Label Studio JSON or XML of "CVAT for images", of photos in images/ beside it. False alarms are
    counted on photos whose masks show no pet, and on those of --no-pets, which need no masks.
    """
    from petseg.measure import report_file
    from petseg.measure.datasets import read_pairs
    from petseg.measure.evaluation import count_false_alarms, evaluate, format_report

    report_file.check_writable(json_file, force=force)
    pairs = read_pairs(folder, split, masks, _parse_classes(classes))
    without_pets = _photos(no_pets or [])
    segmenter = open_segmenter(model, device, threads, precision)

    def predict(photo: "NDArray[np.uint8]") -> "NDArray[np.uint8]":
        return segmenter.segment(photo).mask

    progress = sys.stderr.isatty()
    evaluation, scores = evaluate(pairs, predict, progress=progress)
    count_false_alarms(evaluation, without_pets, predict, progress=progress)
    report = evaluation.report()
    typer.echo(f"{segmenter!r}\n{format_report(report)}")
    for score in scores[:worst]:
        typer.echo(f"{score.name:<38}{score.miou:>8.4f}")
    if json_file is not None:
        asked = {
            "model": segmenter.name,
            "device": segmenter.device,
            "precision": segmenter.precision,
            "folder": folder,
            "split": split,
        }
        per_photo = {score.name: score.miou for score in scores}
        report_file.write(json_file, asked | report | {"miou_per_photo": per_photo})


def _parse_classes(text: str | None) -> dict[str, str] | None:
    """VALUE=CLASS,... as a mapping."""
    if text is None:
        return None
    from petseg.measure.labels import parse_classes

    try:
        return parse_classes(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--classes") from error


def _photos(given: Sequence[Path]) -> list[Path]:
    """The photos that are meant; of a folder with images/ those in it, not the masks beside them."""
    from petseg.folders import find_photos

    photos, faults = find_photos(
        [inner if (inner := path / "images").is_dir() else path for path in given], None
    )
    if faults:
        raise faults[0]
    return [photo.path for photo in photos]
