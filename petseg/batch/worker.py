"""What one process does: read photos, segment them, save the results, and say how it went."""

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeAlias, TypeVar

from petseg.batch.storage import open_folder, target_of
from petseg.engine.precision import Precision
from petseg.errors import ModelError, PetsegError
from petseg.models import bundle, catalog
from petseg.pixels import saving
from petseg.pixels.saving import Kind
from petseg.segmentation import Resize, Segmentation
from petseg.segmenter import Segmenter

T = TypeVar("T")
R = TypeVar("R")

Row: TypeAlias = dict[str, Any]
"""Column of `petseg.batch.index.SCHEMA` -> value; what is missing is null."""

_IO = 16
"""Photos that are read ahead, and results that are being written: an object store answers slowly."""


@dataclass(frozen=True)
class Job:
    """What is to be done to each photo; goes to the workers.

    Attributes:
        input, output: addresses of folders.
        kinds: what to save, at least one.
        resize: how masks get the photo's size.
        model: as for `Segmenter`; a path is absolute.
        name, version, sha256: of that model, or its quantised version.
        precision: one for all workers, whatever their processors would choose.
        device, threads: as for `Segmenter`.
        batch_size, workers: as for `Segmenter.each`.
        force: replace files that petseg did not write, too.
    """

    input: str
    output: str
    kinds: tuple[Kind, ...]
    resize: Resize
    model: str | None
    name: str
    version: str
    sha256: str
    precision: Precision
    device: str
    threads: int
    batch_size: int | None
    workers: int | None
    force: bool = False

    def settings(self) -> dict[str, Any]:
        """What the results depend on; those of one output all have the same."""
        return {
            "format": 1,
            "input": self.input,
            "save": list(self.kinds),
            "resize": self.resize,
            "model": self.name,
            "version": self.version,
            "precision": self.precision,
            "sha256": self.sha256,
        }


def failed(path: str, error: str) -> Row:
    """The row of a photo without a result."""
    return {"path": path, "status": "failed", "error": error if path in error else f"photo {path}: {error}"}


class Done(NamedTuple):
    """A result: columns of its row, and kind -> the bytes of its file."""

    columns: Row
    files: dict[Kind, bytes]


class Worker:
    """A model, ready to work on photos of one job. As a context, it ends its threads.

    Attributes:
        segmenter: the model.
    """

    def __init__(self, job: Job) -> None:
        """Load the model.

        Raises:
            ModelError, HubError, DeviceError: as for `Segmenter`; or the model is another one here.
        """
        self._job = job
        self._in, self._out = open_folder(job.input), open_folder(job.output)
        if (found := model_sha256(job.model, job.precision)) != job.sha256:
            raise ModelError(
                f"model {job.name!r} has sha256 {found[:12]} on one machine, {job.sha256[:12]} on another; "
                "install the same petseg and the same model on all"
            )
        self.segmenter = Segmenter(
            job.model, device=job.device, threads=job.threads, resize=job.resize, precision=job.precision
        )
        self._io = ThreadPoolExecutor(_IO, "petseg-io")

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """End, once the files that are being written are whole."""
        self._io.shutdown(cancel_futures=True)

    def rows(self, paths: Sequence[str]) -> Generator[Row, None, None]:
        """Work on photos, in order; when a row comes, the photo's files are whole.

        Args:
            paths: names of the photos below the input.

        Yields:
            The row of each.

        Raises:
            PromptError: the model needs a point or a box.
            DeviceError, ModelError: the device gave up, or the network is broken: no photo's fault.
        """
        images = in_order(self._io, self._in.fetch, paths, _IO)
        shows_photo = not saving.SHOWS_PHOTO.isdisjoint(self._job.kinds)
        results = self.segmenter.each(
            images,
            self._encode,
            self._job.batch_size,
            self._job.workers,
            keep_photos=shows_photo,
            return_errors=True,
        )
        since = time.perf_counter()
        with closing(results):
            for row in in_order(self._io, self._write, zip(paths, results, strict=True), _IO):
                row["milliseconds"] = (time.perf_counter() - since) * 1000
                yield row
                since = time.perf_counter()

    def _encode(self, result: Segmentation) -> Done:
        width, height = result.size
        columns = {"label": result.label, "score": result.score, "width": width, "height": height}
        bare = result.label == "background"
        files = {
            kind: result.encode(Path(target_of("photo", kind)), kind)
            for kind in self._job.kinds
            if not (bare and kind in saving.NEEDS_PET)
        }
        return Done(columns, files)

    def _write(self, answer: tuple[str, Done | PetsegError]) -> Row:
        path, done = answer
        about = {"path": path, "model": self._job.name, "sha256": self._job.sha256}
        try:
            if isinstance(done, PetsegError):
                raise done
            for kind, data in done.files.items():
                self._out.write_result(target_of(path, kind), data, force=self._job.force)
        except PetsegError as error:
            return about | failed(path, str(error))
        kinds: tuple[Kind, ...] = ("mask", "mask-gray")
        mask = next((target_of(path, kind) for kind in kinds if kind in done.files), None)
        return about | done.columns | {"status": "ok", "mask": mask}


def in_order(
    pool: ThreadPoolExecutor, function: Callable[[T], R], items: Iterable[T], limit: int
) -> Iterator[R]:
    """As `map`, in the threads of a pool: no further ahead than it must, and by `limit` items at most."""
    under_way: deque[Future[R]] = deque()
    for item in items:
        under_way.append(pool.submit(function, item))
        while under_way and (under_way[0].done() or len(under_way) >= limit):
            yield under_way.popleft().result()
    while under_way:
        yield under_way.popleft().result()


def model_sha256(model: str | None, precision: Precision) -> str:
    """The hash of a model's file of this precision, in hex.

    Raises:
        ModelError, HubError: as for `petseg.models.catalog.find`, or the file cannot be read.
    """
    found = catalog.find(model)
    path = (found.int8 if precision == "int8" and found.int8 else found.float32)[-1].path
    try:
        return bundle.digest(path)
    except OSError as error:
        raise ModelError(f"model file {str(path)!r} cannot be read ({error.strerror})") from error
