"""`petseg bench`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from petseg.cli.options import (
    BatchSize,
    Device,
    Figures,
    Force,
    Model,
    Precision,
    PrecisionOption,
    Threads,
    path_of,
)
from petseg.errors import ImageError
from petseg.measure.tables import aligned

_PRECISIONS = {each.value for each in Precision} - {Precision.AUTO.value}


def bench(
    photos: Annotated[
        list[Path] | None,
        typer.Argument(metavar="PHOTO", parser=path_of, help="Default: one that is drawn, 500 x 375."),
    ] = None,
    model: Model = None,
    device: Device = "auto",
    threads: Threads = 0,
    precision: PrecisionOption = Precision.AUTO,
    batch: BatchSize = None,
    compare: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL|PRECISION",
            help="Measure this model too, or the same one in float32 or int8, in turns with the other.",
        ),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, metavar="N", help="How often each stage is timed.")] = 50,
    json_file: Figures = None,
    force: Force = False,
) -> None:
    """Measure a model on this machine, after a warm-up: stages, photos per second, memory, cold start.

    decode: file to pixels; fit: pixels to the network's square; run: the network; restore: its answer to the
    mask at the photo's size. A promptable model is asked about the middle of the photo. Times of different
    machines, or of different runs, say little: --compare gives ratios.
    """
    from petseg.measure import bench as benchmark
    from petseg.measure import report_file
    from petseg.segmenter import Segmenter

    report_file.check_writable(json_file, force=force)
    models: dict[str, Any] = {"model": (model, precision.value)}
    if compare is not None:
        models["peer"] = (model, compare) if compare in _PRECISIONS else (compare, "auto")
    given = [_read(path) for path in photos or []] or [benchmark.draw_photo()]
    report: dict[str, Any] = benchmark.environment() | {
        "photos": len(given),
        "threads": threads,
        "batch": batch,
        "rounds": rounds,
    }
    figures = benchmark.measure(
        models,
        given,
        lambda name, kind: Segmenter(name, device=device, threads=threads, precision=kind),
        threads=threads,
        batch=batch,
        rounds=rounds,
    )
    report |= {"card": benchmark.card(figures["model"]["device"]), "figures": figures}
    if compare is not None:
        report["ratios"] = benchmark.ratios(figures, "model", "peer")
    typer.echo(table(report))
    if json_file is not None:
        report_file.write(json_file, report)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ImageError(f"photo {str(path)!r} cannot be read ({error.strerror}); check the path") from error


def table(report: dict[str, Any]) -> str:
    """The figures for people; a last column has the ratios where two models were measured."""
    figures, ratios = report["figures"], report.get("ratios", {})
    threads = report["threads"] or "all"
    where = f"{report['machine']}{', ' + report['card'] if report['card'] else ''}; {threads} threads"
    heads = [f"{one['model']} {one['precision']} on {one['device']}" for one in figures.values()]
    rows = [["", *heads, "ratio" if ratios else ""]]

    def row(name: str, cells: list[str], key: str) -> list[str]:
        return [name, *cells, f"{ratios[key]:.2f}" if key in ratios else ""]

    for stage in next(iter(figures.values()))["stages"]:
        times = [one["stages"][stage] for one in figures.values()]
        cells = [f"{time['median']:.2f} (p95 {time['p95']:.2f})" for time in times]
        rows.append(row(f"{stage}, ms", cells, stage))
    for key, unit, factor, digits in (
        ("photos per second", "", 1, 1),
        ("cold start", ", s", 1, 2),
        ("import", ", ms", 1000, 1),
        ("memory", ", MiB", 2**-20, 0),
    ):
        values = [one[key] for one in figures.values()]
        cells = ["-" if value is None else f"{value * factor:.{digits}f}" for value in values]
        rows.append(row(f"{key}{unit}", cells, key))
    return f"{where}\n{aligned(rows, right=range(1, len(rows[0])))}"
