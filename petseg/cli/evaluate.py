"""`petseg eval`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from petseg.cli import outputs
from petseg.cli.options import Device, Model, Precision, PrecisionOption, Threads
from petseg.cli.segment import open_segmenter


def evaluate_folder(
    folder: Annotated[Path, typer.Argument(help="images/ beside masks/, or the Oxford-IIIT Pet layout.")],
    split: Annotated[str | None, typer.Option(help="A list in annotations/; default: every mask.")] = None,
    masks: Annotated[str, typer.Option(help="Name of the folder with the masks.")] = "masks",
    model: Model = None,
    device: Device = "auto",
    threads: Threads = 0,
    precision: PrecisionOption = Precision.AUTO,
    worst: Annotated[int, typer.Option(min=0, metavar="K", help="Name the K worst photos.")] = 0,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write all figures here.")
    ] = None,
) -> None:
    """Compare a model with true masks, at the photos' own size.

    Masks are PNG files of the photos' names: 0 background, 1 cat, 2 dog, 255 ignored.
    """
    from petseg.measure.datasets import read_pairs
    from petseg.measure.evaluation import evaluate, format_report

    outputs.check_writable(json_file)
    pairs = read_pairs(folder, split, masks)
    segmenter = open_segmenter(model, device, threads, precision)
    evaluation, scores = evaluate(
        pairs, lambda photo: segmenter.segment(photo).mask, progress=sys.stderr.isatty()
    )
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
        outputs.write_json(json_file, asked | report | {"miou_per_photo": per_photo})
