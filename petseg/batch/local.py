"""The engine without Ray: this process and its threads."""

from collections.abc import Generator, Sequence

from petseg.batch.worker import Job, Row, Worker


def rows(job: Job, paths: Sequence[str]) -> Generator[Row, None, None]:
    """Work on photos in this process; see `Worker.rows`."""
    with Worker(job) as worker:
        yield from worker.rows(paths)
