"""`petseg batch`."""

import sys
from enum import StrEnum
from typing import Annotated, Any

import typer

from petseg.cli.options import (
    BatchSize,
    BatchThreads,
    Device,
    Force,
    Model,
    Precision,
    PrecisionOption,
    Quiet,
    Resize,
    ResizeOption,
    Save,
    Workers,
    check_given,
    parse_kinds,
)
from petseg.cli.outputs import warned

_SHOWN = 10
"""So many failures are printed; all of them are in the index."""


class Engine(StrEnum):
    """Who works."""

    LOCAL = "local"
    RAY = "ray"


def batch(
    source: Annotated[
        str,
        typer.Argument(
            metavar="INPUT", parser=check_given, help="A folder, or s3://BUCKET/FOLDER and the like."
        ),
    ],
    output: Annotated[
        str,
        typer.Argument(
            metavar="OUTPUT", parser=check_given, help="A folder for masks and index, or an address."
        ),
    ],
    engine: Annotated[
        Engine, typer.Option(help="local: this process; ray: a Ray cluster, or all cores of this machine.")
    ] = Engine.LOCAL,
    save: Save = None,
    model: Model = None,
    device: Device = "auto",
    precision: PrecisionOption = Precision.AUTO,
    threads: BatchThreads = 0,
    workers: Workers = None,
    batch_size: BatchSize = None,
    resize: ResizeOption = Resize.SMOOTH,
    retry: Annotated[bool, typer.Option("--retry", help="Try photos again that failed before.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Begin anew, though OUTPUT has results, of another model say.")
    ] = False,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Segment very many photos into masks and a Parquet index; run it again to go on after a stop.

    INPUT is searched with its sub-folders, which OUTPUT gets too: a/b.jpg becomes OUTPUT/a/b.jpg.mask.png.
    OUTPUT/index/ has one row for each photo: path, status (ok or failed), error, label, score, width, height,
    mask, model, sha256 and milliseconds. What has a row is not done again; what failed is, with --retry.

    Addresses are fsspec's; s3:// needs `pip install s3fs`, gs:// gcsfs, az:// adlfs. Ray is the cluster that
    RAY_ADDRESS names, where INPUT and OUTPUT must mean the same on every machine.

    Needs `pip install "petseg[ray]"`. The exit status is 1 if a photo failed, in this run or in one before.
    """
    kinds = parse_kinds(save) or ["mask"]
    from tqdm import tqdm

    from petseg.batch import run as batches

    with warned():
        job = batches.prepare(
            source,
            output,
            engine.value,
            kinds=kinds,
            resize=resize.value,
            model=model,
            precision=precision.value,
            device=device,
            threads=threads,
            workers=workers,
            batch_size=batch_size,
            force=force,
        )
    failures = 0
    with tqdm(desc="batch", unit="photo", disable=quiet or not sys.stderr.isatty()) as bar:

        def report(row: dict[str, Any], count: int) -> None:
            nonlocal failures
            bar.total = count
            bar.update()
            if row["status"] == "failed":
                failures += 1
                if failures <= _SHOWN:
                    with bar.external_write_mode(sys.stderr):
                        typer.echo(f"petseg: error: {row['error']}", err=True)

        summary = batches.run(job, engine.value, retry=retry, overwrite=overwrite, report=report)
    _conclude(summary, job.output, quiet)


def _conclude(summary: Any, output: str, quiet: bool) -> None:
    for fault in summary.faults:
        typer.echo(f"petseg: error: {fault}", err=True)
    if summary.failed:
        typer.echo(
            f"petseg: error: {summary.failed} of {summary.ok + summary.failed} failed; see {output}/index",
            err=True,
        )
    if summary.failed_before:
        typer.echo(
            f"petseg: error: {summary.failed_before} failed before; --retry tries them again", err=True
        )
    if not quiet:
        rate = (summary.ok + summary.failed) / summary.seconds
        line = f"{summary.found} photos: {summary.ok} done in {summary.seconds:.1f} s ({rate:.1f}/s)"
        if summary.done_before:
            line += f", {summary.done_before} were done before"
        if summary.failed_before:
            line += f", {summary.failed_before} failed before"
        typer.echo(f"{line}; {output}/index has a row for each")
    if summary.failed or summary.failed_before or summary.faults:
        raise typer.Exit(1)
