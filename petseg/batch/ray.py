"""The engine on Ray: actors on all machines of a cluster, each with a model of its own.

Photos travel as names; the actors read them and save the results where the photos and the results lie, and
only rows come back. Ray is imported when a run begins, never before.
"""

import logging
import os
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from petseg.batch.worker import Job, Row, Worker, failed
from petseg.errors import DeviceError, PetsegError
from petseg.lazy import lazy
from petseg.pipeline import GPU_WORKERS

OBJECT_STORE_BYTES = 256 * 2**20
"""Of the Ray that is started for one run: names and rows are all that goes through it."""

_ON_GPU = ("cuda", "tensorrt")

_CHUNK = 64
"""Photos that an actor is given at a time, for each of its threads: what is done again when it dies."""


@dataclass(frozen=True)
class Plan:
    """How the work is spread.

    Attributes:
        workers: actors.
        threads: of each: the cores that it keeps busy.
        gpus: of each, may be a fraction.
    """

    workers: int
    threads: int
    gpus: float


def plan(nodes: Sequence[tuple[int, int]], device: str, workers: int, threads: int) -> Plan:
    """Share out a cluster, so that actors x threads = cores, or one actor has one GPU.

    Args:
        nodes: (cores, GPUs) of each machine.
        device: "cpu", "cuda", "tensorrt", or "auto": GPUs where there are any.
        workers, threads: as asked for; 0: find out.

    Raises:
        DeviceError: the cluster has no room for what was asked for.
    """
    gpus = sum(node[1] for node in nodes)
    if device not in ("auto", "cpu", *_ON_GPU):
        raise DeviceError(f"device {device!r}: Ray itself gives each worker a GPU; give cpu, cuda or auto")
    if device in _ON_GPU and not gpus:
        raise DeviceError("Ray's machines have no GPU; give --device cpu, or start Ray with --num-gpus")
    if device != "cpu" and gpus:
        workers = workers or gpus
        share = min(GPU_WORKERS, sum(node[0] for node in nodes) // workers)
        return Plan(workers, threads or max(1, share), 1 / -(-workers // gpus))
    cores = sum(node[0] for node in nodes)
    for each in [threads] if threads else range(max(1, cores // workers) if workers else 1, 0, -1):
        room = sum(node[0] // each for node in nodes)
        if room >= max(workers, 1):
            return Plan(workers or room, each, 0)
    raise DeviceError(
        f"Ray's machines have {cores} cores together and at most {max(node[0] for node in nodes)} each: no "
        f"room for {workers or 1} workers with {threads or 1} threads; give fewer --workers or --threads"
    )


def rows(job: Job, paths: Sequence[str]) -> Generator[Row, None, None]:
    """Work on photos in the actors of a Ray cluster; see `Worker.rows`. They come in any order.

    It is the cluster that `ray.init` or RAY_ADDRESS named, else one that is started here and ends here. An
    actor that dies is replaced, and what it had is done again, but no photo that killed two is tried again.

    Args:
        job: what to do; its workers are actors, and its threads each actor's, as `plan` has it.
        paths: names of the photos.

    Raises:
        DeviceError: no room for that many.
        PetsegError: Ray or a worker gave up.
    """
    with _cluster() as ray:
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        room = [(int(node.get("CPU", 0)), int(node.get("GPU", 0))) for node in nodes]
        spread = plan(room, job.device, job.workers or 0, job.threads)
        # One network per core does more work than one network on all of them.
        job = replace(job, threads=1, workers=spread.threads)
        ledger = ray.remote(num_cpus=0)(_Ledger).remote()
        try:
            yield from _rows(job, paths, spread, ledger)
        except ray.exceptions.RayError as error:
            reason = str(error).strip() or type(error).__name__
            raise ray.get(ledger.why.remote()) or PetsegError(f"Ray gave up ({reason})") from error


def _rows(job: Job, paths: Sequence[str], spread: Plan, ledger: Any) -> Iterator[Row]:
    import pyarrow as pa
    from ray import data

    data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # what goes wrong is raised
    chunk = max(1, min(_CHUNK * spread.threads, len(paths) // (spread.workers * 4)))
    takes: dict[str, Any] = {"num_gpus": spread.gpus} if spread.gpus else {"num_cpus": spread.threads}
    parts = [pa.table({"path": paths[start : start + chunk]}) for start in range(0, len(paths), chunk)]
    done = data.from_arrow(parts).map_batches(
        _Actor,
        fn_constructor_args=(job, ledger),
        batch_size=chunk,
        batch_format="pyarrow",
        compute=data.ActorPoolStrategy(size=min(spread.workers, len(parts))),
        **takes,
    )
    for table in done.iter_batches(batch_size=None, batch_format="pyarrow"):
        yield from table.to_pylist()


@contextmanager
def _cluster() -> Iterator[Any]:
    """Ray, connected."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # else it prints of each actor that dies
    import ray
    import ray.exceptions

    if ray.is_initialized():
        yield ray
        return
    address = os.environ.get("RAY_ADDRESS")
    options: dict[str, Any] = {"address": address}
    if not address:
        options = {
            "address": "local",
            "include_dashboard": False,
            "object_store_memory": OBJECT_STORE_BYTES,
        }
    try:
        with _hushed():
            ray.init(log_to_driver=False, logging_level=logging.CRITICAL, **options)
    except Exception as error:  # of no common base
        where = f"at {address}" if address else "here"
        raise PetsegError(f"Ray does not start {where} ({error}); is the machine too busy?") from error
    try:
        yield ray
    finally:
        ray.shutdown()


@contextmanager
def _hushed() -> Iterator[None]:
    """Without what Ray's core prints when it starts: it knows no option for that. Errors are raised."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


class _Ledger:
    """Knows which photos a worker was at when it died, and why one gave up. One for all workers."""

    def __init__(self) -> None:
        self._at: dict[str, str | None] = {}
        self._deadly: dict[str, list[str]] = {}
        self._why: PetsegError | None = None

    def begin(self, chunk: str) -> tuple[bool, list[str]]:
        """Whether a worker died within this chunk, and the photos that it was at, if that is known."""
        again = chunk in self._at
        deadly = self._deadly.setdefault(chunk, [])
        if again and (at := self._at[chunk]) is not None:
            deadly.append(at)
        self._at[chunk] = None
        return again, deadly

    def note(self, chunk: str, path: str) -> None:
        """The worker turns to this photo."""
        self._at[chunk] = path

    def end(self, chunk: str) -> None:
        """The chunk is done."""
        del self._at[chunk], self._deadly[chunk]

    def give_up(self, error: PetsegError) -> None:
        """A worker ends the run: Ray itself brings no more than the text of this."""
        self._why = error

    def why(self) -> PetsegError | None:
        """Why a worker ended the run, if one did."""
        return self._why


class _Actor:
    """One worker. Ray gives it a chunk of photos again when it, or another one, died of it."""

    def __init__(self, job: Job, ledger: Any) -> None:
        self._job, self._ledger = job, ledger

    @lazy
    def _worker(self) -> Worker:
        return Worker(self._job)  # at the first photo: of an actor that does not start, Ray tells no reason

    def __call__(self, batch: Any) -> Any:
        import ray

        from petseg.batch.index import to_table

        paths = batch["path"].to_pylist()
        chunk = paths[0]
        again, deadly = ray.get(self._ledger.begin.remote(chunk))
        try:
            found = self._one_by_one(ray, chunk, paths, deadly) if again else list(self._worker.rows(paths))
        except PetsegError as error:
            ray.get(self._ledger.give_up.remote(error))
            raise
        ray.get(self._ledger.end.remote(chunk))
        return to_table(found)

    def _one_by_one(self, ray: Any, chunk: str, paths: list[str], deadly: list[str]) -> list[Row]:
        """As `Worker.rows`, with the ledger kept, and less the photos that kill."""
        found = []
        for path in paths:
            if path in deadly:
                found.append(
                    failed(path, f"photo {path}: its worker died of it, twice; see Ray's log for why")
                )
                continue
            ray.get(self._ledger.note.remote(chunk, path))
            found += self._worker.rows([path])
        return found
