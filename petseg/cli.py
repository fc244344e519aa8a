"""The command line: `petseg segment`, `batch`, `bench`, `app`, `models`, `pull`, `push`, `doctor` and `eval`.

numpy, Pillow and ONNX Runtime are imported inside the commands, so that help and wrong usage answer
at once.
"""

import errno
import math
import os
import sys
import warnings
from collections.abc import Generator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from petseg import cli_app, cli_batch, cli_bench, cli_hub, reports
from petseg.errors import ImageError, OutputError, PetsegError, PromptError
from petseg.options import (
    AsJson,
    BatchSize,
    Device,
    Model,
    Precision,
    PrecisionOption,
    Resize,
    Save,
    Threads,
    Workers,
    is_one_file,
    parse_kinds,
    parse_prompt,
    prompt_kinds,
)

if TYPE_CHECKING:
    from petseg.files import Encoded, Photo, Saver
    from petseg.segmenter import Segmenter

INTERRUPTED = 130
"""What shells expect of a program that ended by Ctrl-C."""


class _Commands(TyperGroup):
    """The commands, with petseg's errors as one line instead of a traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except PetsegError as error:
            _complain(error)
            raise typer.Exit(1) from error
        except OSError as error:
            if error.errno == errno.EPIPE:  # the reader of our output has left: typer ends quietly
                raise
            _complain(error)
            raise typer.Exit(1) from error
        except KeyboardInterrupt as error:
            typer.echo("petseg: interrupted", err=True)
            raise typer.Exit(INTERRUPTED) from error


app = typer.Typer(
    cls=_Commands,
    help="Find cats and dogs in photos, pixel by pixel.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run the command line, and end the process with its exit status."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # read when huggingface_hub is imported
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a file's name may be more than the terminal can show
            stream.reconfigure(errors="backslashreplace")
    try:
        app(prog_name="petseg")
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _show_version(wanted: bool) -> None:
    if wanted:
        import petseg

        typer.echo(f"petseg {petseg.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and leave."),
    ] = False,
) -> None:
    pass


@app.command()
def segment(
    photos: Annotated[list[Path], typer.Argument(metavar="PHOTO|FOLDER", show_default=False)],
    out: Annotated[
        Path,
        typer.Option(
            "-o",
            "--out",
            metavar="OUT",
            help="Folder for the results; for one photo and one kind of result it may be a file.",
            show_default=False,
        ),
    ],
    save: Save = None,
    model: Model = None,
    device: Device = "auto",
    threads: Threads = 0,
    precision: PrecisionOption = Precision.AUTO,
    point: Annotated[list[str] | None, typer.Option(metavar="X,Y", help="A click on the pet.")] = None,
    negative: Annotated[list[str] | None, typer.Option(metavar="X,Y", help="A click beside it.")] = None,
    box: Annotated[str | None, typer.Option(metavar="X0,Y0,X1,Y1", help="A box around the pet.")] = None,
    resize: Annotated[Resize, typer.Option(help="nearest: cheaper, with coarse edges.")] = Resize.SMOOTH,
    opacity: Annotated[float, typer.Option(min=0, max=1, metavar="0..1", help="Of the overlay.")] = 0.5,
    batch_size: BatchSize = None,
    workers: Workers = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
) -> None:
    """Find the pets in photos.

    Folders are searched with their sub-folders, which OUT gets too, for images that are neither hidden
    nor results of petseg. Results are called after the photo: OUT/NAME.mask.png, NAME.cutout.png,
    NAME.overlay.jpg and NAME.json; where a.jpg and a.png lie side by side: a.jpg.mask.png and
    a.png.mask.png. Photos are never overwritten.

    Clicks and boxes are pixels of the upright photo, x to the right, and hold for every photo. Without
    --model, a model that takes them answers for that pet alone.

    A photo that fails is reported and skipped, and the exit status is 1 in the end.
    """
    kinds = parse_kinds(save)
    prompt = parse_prompt(point or [], negative or [], box)
    if math.isnan(opacity):
        raise typer.BadParameter("nan is no number from 0 to 1", param_hint="--opacity")
    from petseg import catalog, files

    one_file = is_one_file(photos, out, kinds)
    found, faults = files.find_photos(photos, None if one_file else out)
    for fault in faults:
        _complain(fault)
    failed, count = len(faults), len(found) + len(faults)
    if found:
        kinds = kinds or ["json" if one_file and out.suffix.lower() == ".json" else "mask"]
        asked = prompt_kinds(prompt)
        segmenter = _segmenter(model or catalog.choose(asked), device, threads, precision, resize.value)
        segmenter.check_takes(asked)
        saver = files.Saver(out, kinds, found, one_file=one_file, opacity=opacity)
        if workers is None and len(found) == 1:
            workers = 1  # which has all cores for itself
        results = _answers(segmenter, found, prompt, saver, batch_size, workers)
        failed += _write_all(found, results, saver, quiet)
    if failed:
        if count > 1:
            typer.echo(f"petseg: error: {failed} of {count} failed", err=True)
        raise typer.Exit(1)


def _segmenter(
    model: str | None, device: str, threads: int, precision: Precision, resize: Any = "smooth"
) -> "Segmenter":
    from petseg.runtime import DeviceWarning
    from petseg.segmenter import Segmenter

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DeviceWarning)
        segmenter = Segmenter(model, device=device, threads=threads, resize=resize, precision=precision.value)
    for warning in caught:
        typer.echo(f"petseg: warning: {warning.message}", err=True)
    return segmenter


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
    if not prompt:
        return segmenter.each(
            paths, saver.encode, batch_size, workers, keep_photos=saver.needs_photos, return_errors=True
        )

    def answer(batch: list[Path]) -> list["Encoded | PetsegError"]:
        try:
            return [saver.encode(segmenter.segment(path, **prompt)) for path in batch]
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
                    _complain(error)
            else:
                if not quiet:
                    line = "  ".join([f"{result.label} {result.score:.2f}", *map(str, targets)])
                    with bar.external_write_mode(sys.stdout):
                        typer.echo(line)
            bar.update()
    return failed


@app.command()
def models(as_json: AsJson = False) -> None:
    """List the models that can be asked for by name."""
    from dataclasses import asdict

    from petseg.catalog import list_models

    known = list_models()
    if as_json:
        typer.echo(reports.to_json([asdict(info) for info in known]))
        return
    rows = [("name", "status", "size", "prompts", "parameters", "precisions", "mIoU (float32)")]
    for info in known:
        miou = info.metrics.get("miou")
        rows.append(
            (
                info.name,
                info.status,
                f"{info.bytes / 1e6:.1f} MB",
                ", ".join(info.prompts) or "-",
                f"{info.parameters:,}",
                ", ".join(info.precisions),
                f"{miou:.3f}" if isinstance(miou, int | float) else "-",
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


app.command("app")(cli_app.serve)
app.command()(cli_batch.batch)
app.command()(cli_bench.bench)
app.command()(cli_hub.pull)
app.command()(cli_hub.push)


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Say what runs where, and why not on the GPU.

    The exit status is 1 if something is broken; a GPU that cannot be used is not, the CPU does its work.
    """
    from petseg import diagnosis

    checkup = diagnosis.examine()
    typer.echo(reports.to_json(checkup.document()) if as_json else checkup.text())
    if checkup.problems:
        raise typer.Exit(1)


@app.command("eval")
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
    from petseg.evaluation import evaluate, format_report
    from petseg.pairs import read_pairs

    reports.check_writable(json_file)
    pairs = read_pairs(folder, split, masks)
    segmenter = _segmenter(model, device, threads, precision)
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
        reports.write_json(json_file, asked | report | {"miou_per_photo": per_photo})


def _complain(error: Exception) -> None:
    typer.echo(f"petseg: error: {error}", err=True)
