"""One run: what is still to be done, done by an engine, and written down."""

import os
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal, TypeAlias

from petseg.batch import local
from petseg.batch import ray as on_ray
from petseg.batch.storage import open_folder
from petseg.batch.worker import Job, Row, failed, model_sha256
from petseg.engine.precision import Precision
from petseg.errors import PetsegError
from petseg.models import catalog
from petseg.pixels.saving import Kind
from petseg.segmentation import Resize
from petseg.segmenter import Segmenter

if TYPE_CHECKING:
    from petseg.batch.index import Index

Engine: TypeAlias = Literal["local", "ray"]

_PINNED: dict[str, Precision] = {"float32": "float32", "int8": "int8"}
"""What a model runs in -> what to ask for on another machine; anything else, there is no choice of."""


@dataclass(frozen=True)
class Summary:
    """How a run went.

    Attributes:
        found: photos in the input.
        done_before, failed_before: of those, by the runs before this one, and left as they are.
        ok, failed: of those, by this run.
        seconds: that it took.
        faults: folders that could not be looked at.
    """

    found: int
    done_before: int
    failed_before: int
    ok: int
    failed: int
    seconds: float
    faults: tuple[PetsegError, ...]


def prepare(
    source: str,
    output: str,
    engine: Engine,
    *,
    kinds: Sequence[Kind] = ("mask",),
    resize: Resize = "smooth",
    model: str | None = None,
    precision: Precision = "auto",
    device: str = "auto",
    threads: int = 0,
    workers: int | None = None,
    batch_size: int | None = None,
    force: bool = False,
) -> Job:
    """Say what is to be done, and try the model, so that a mistake is answered before any work.

    Args:
        source, output: folders, or addresses that fsspec knows.
        engine: who works.
        kinds: what to save.
        resize, model, device, threads: as for `Segmenter`; with Ray, `threads` are each actor's.
        precision: as for `Segmenter`, by this machine's processor; with Ray, "auto" is float32 unless the
            device is "cpu", because GPUs know nothing else.
        batch_size, workers: as for `Segmenter.each`; with Ray, `workers` are actors.
        force: replace files that petseg did not write, too.

    Raises:
        PetsegError: a package is missing, or fsspec does not know an address.
        PromptError: the model needs a point or a box.
        ModelError, HubError, DeviceError: as for `Segmenter`.
    """
    _check_installed(engine)
    file = catalog.resolve(model)[-1]
    if model is not None and file.sha256 is None:  # a path, and workers may run in other folders
        model = os.path.abspath(model)  # noqa: PTH100 (a link stays one)
    here = device, threads
    if engine == "ray":  # where the workers have a GPU, this machine may have none
        here = "cpu", 1
        precision = "float32" if precision == "auto" and device != "cpu" else precision
    segmenter = Segmenter(model, device=here[0], threads=here[1], resize=resize, precision=precision)
    pinned = _PINNED.get(segmenter.precision, "auto")
    segmenter.check_takes(())
    return Job(
        input=open_folder(source).address,
        output=open_folder(output).address,
        kinds=tuple(kinds),
        resize=resize,
        model=model,
        name=segmenter.name,
        version=segmenter.manifest.version,
        sha256=model_sha256(model, pinned),
        precision=pinned,
        device=device,
        threads=threads,
        batch_size=batch_size,
        workers=workers,
        force=force,
    )


def run(
    job: Job,
    engine: Engine,
    *,
    retry: bool = False,
    overwrite: bool = False,
    report: Callable[[Row, int], None] = lambda row, count: None,
) -> Summary:
    """Segment the photos of the input that the index does not have yet.

    However it ends, files are whole, and rows in the index have their files. Another run goes on from there.

    Args:
        job: what to do.
        engine: who works.
        retry: take the photos too that failed before.
        overwrite: begin anew.
        report: told of each photo's row, and how many photos this run has.

    Raises:
        ImageError: the input has no photos or cannot be listed.
        OutputError: the output holds other results, or cannot be written, or another run writes to it.
        PetsegError: the engine gave up.
    """
    from petseg.batch.index import LOCK, Index  # here, because it needs pyarrow

    since = time.perf_counter()
    source, out = open_folder(job.input), open_folder(job.output)
    names, faults = source.photos(out)
    if not names:
        raise faults[0]
    with out.locked(LOCK):
        index = Index(out)
        index.claim(job.settings(), overwrite=overwrite)
        paths = {_printable(name): name for name in names}
        if retry:
            index.forget_failed(paths)
        before = _statuses(index, paths)
        pending = {path: name for path, name in paths.items() if path not in before}
        failures = 0
        with index, closing(_exactly_once(job, engine, pending)) as rows:
            for row in rows:
                index.add(row)
                failures += row["status"] == "failed"
                report(row, len(pending))
    again = sum(status == "failed" for status in before.values())
    return Summary(
        found=len(paths),
        done_before=len(before) - again,
        failed_before=again,
        ok=len(pending) - failures,
        failed=failures,
        seconds=time.perf_counter() - since,
        faults=tuple(faults),
    )


def _check_installed(engine: Engine) -> None:
    """Raise `PetsegError`, which says what to install, where the engine lacks a package."""
    for package in ("pyarrow", "ray") if engine == "ray" else ("pyarrow",):
        if find_spec(package) is None:
            raise PetsegError(f'a batch needs {package}, which is not installed: pip install "petseg[ray]"')


def _exactly_once(job: Job, engine: Engine, pending: dict[str, str]) -> Generator[Row, None, None]:
    """One row for each photo, whatever the engine says twice or not at all.

    Args:
        job, engine: as for `run`.
        pending: path in the index -> name of the photo.

    Raises:
        PetsegError: the engine ended without some photos.
    """
    missing = set(pending)
    for path, name in pending.items():
        if path != name:
            missing.remove(path)
            yield failed(path, f"photo {path} has a name that is not UTF-8; rename it")
    todo = [path for path in pending if path in missing]
    if todo:
        work = on_ray.rows(job, todo) if engine == "ray" else local.rows(job, todo)
        with closing(work) as rows:
            for row in rows:
                if row["path"] in missing:
                    missing.remove(row["path"])
                    yield row
    if missing:
        raise PetsegError(f"{len(missing)} photos came back without an answer; run again to do them")


def _statuses(index: "Index", paths: dict[str, str]) -> dict[str, str]:
    """Path -> status, of these photos as far as they have a row."""
    rows = index.read(["path", "status"])
    known = zip(rows["path"].to_pylist(), rows["status"].to_pylist(), strict=True)
    return {path: status for path, status in known if path in paths}


def _printable(name: str) -> str:
    """A file's name as Parquet can hold it: the same, unless it is not UTF-8."""
    return name.encode("utf-8", "backslashreplace").decode()
