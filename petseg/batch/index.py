"""The Parquet index of an output: one row for each photo, in parts that are written whole.

    pyarrow.dataset.dataset("OUTPUT/index").to_table()

reads it, and so does anything else that reads Parquet: a photo never has two rows, not even in two parts.
"""

import io
import json
import re
import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset
import pyarrow.parquet

from petseg.batch.storage import Folder
from petseg.batch.worker import Row
from petseg.errors import OutputError

SCHEMA = pa.schema(
    [
        pa.field("path", pa.string(), nullable=False),  # of the photo, below INPUT
        pa.field("status", pa.string(), nullable=False),  # "ok" or "failed"
        pa.field("error", pa.string()),  # why it failed
        pa.field("label", pa.string()),  # "cat", "dog" or "background"
        pa.field("score", pa.float64()),  # mean probability of the label over the pet area, 0..1
        pa.field("width", pa.int32()),  # of the upright photo, in pixels
        pa.field("height", pa.int32()),
        pa.field("mask", pa.string()),  # the mask's file, below OUTPUT; null if none was asked for
        pa.field("model", pa.string()),
        pa.field("sha256", pa.string()),  # of the model's file, in hex
        pa.field("milliseconds", pa.float64()),  # its worker was busy with it; all rows add up to its time
    ]
)

FOLDER = "index"
LOCK = f"{FOLDER}/.lock"
_RUN = f"{FOLDER}/_run.json"  # readers of Parquet folders pass over names that begin so
_PART = re.compile(r"part-\d{8}T\d{6}-[0-9a-f]{12}\.parquet")

PART_ROWS, PART_SECONDS = 20_000, 30.0
"""A part is written when it has so many rows, or is so old: what a crash costs at most."""


class Index:
    """The index of one output. As a context, it writes what it holds when it ends, however it ends."""

    def __init__(self, out: Folder) -> None:
        self._out = out
        self._rows: list[Row] = []
        self._since = time.monotonic()

    def __enter__(self) -> Self:
        """Begin a run."""
        return self

    def __exit__(self, *_: object) -> None:
        """Write what is not yet written."""
        self.flush()

    def claim(self, settings: dict[str, Any], *, overwrite: bool) -> None:
        """Make sure that all results in this output are of one kind.

        Args:
            settings: what a result depends on, JSON values by name.
            overwrite: forget what is there, and begin anew.

        Raises:
            OutputError: the output holds results of other settings, or is not petseg's.
        """
        text = self._out.read(_RUN)
        if not overwrite and text is not None:
            self._compare(text, settings)
            return
        parts = self._parts()
        if parts and not overwrite:
            raise OutputError(
                f"{self._out.address}/{FOLDER} has rows, but no {_RUN} that says of what; "
                "give another output, or --overwrite"
            )
        for part in parts:
            self._out.remove(part)
        self._out.write(_RUN, json.dumps(settings, indent=2).encode())

    def _compare(self, text: bytes, settings: dict[str, Any]) -> None:
        try:
            before = dict(json.loads(text))
        except (ValueError, TypeError) as error:
            raise OutputError(f"{self._out.address}/{_RUN} is damaged ({error}); give --overwrite") from error
        for name, asked in settings.items():
            if before.get(name) != asked:
                raise OutputError(
                    f"{self._out.address!r} holds results with {name} {before.get(name)!r}, this run has "
                    f"{asked!r}; give another output, or --overwrite to begin anew"
                )

    def read(self, columns: Sequence[str] | None = None) -> pa.Table:
        """All rows, or some columns of them.

        Raises:
            OutputError: a part is damaged.
        """
        paths = [self._out.path(part) for part in self._parts()]
        with self._reading():
            found = pyarrow.dataset.dataset(paths, SCHEMA, "parquet", self._out.filesystem)
            return found.to_table(columns=columns)

    def forget_failed(self, paths: Iterable[str]) -> None:
        """Drop the rows of those of these photos that failed, so that they count as never tried.

        Part by part, each whole: a crash in between leaves fewer rows, never two for one photo.

        Raises:
            OutputError: a part is damaged, or cannot be written.
        """
        tried = pa.array(paths, pa.string())
        for part in self._parts():
            with self._reading(), self._out.filesystem.open(self._out.path(part)) as file:
                rows = pyarrow.parquet.read_table(file, schema=SCHEMA)
            again = pc.and_(pc.equal(rows["status"], "failed"), pc.is_in(rows["path"], tried))
            kept = rows.filter(pc.invert(again))
            if not len(kept):
                self._out.remove(part)
            elif len(kept) < len(rows):
                self._write(part, kept)

    def add(self, row: Row) -> None:
        """Keep a row; now and then all that are kept become a part.

        Raises:
            OutputError: the part cannot be written.
        """
        self._rows.append(row)
        if len(self._rows) >= PART_ROWS or time.monotonic() - self._since >= PART_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write the rows that are kept as a part.

        Raises:
            OutputError: it cannot be written.
        """
        if self._rows:
            name = f"part-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{secrets.token_hex(6)}.parquet"
            self._write(f"{FOLDER}/{name}", to_table(self._rows))
        self._rows, self._since = [], time.monotonic()

    def _write(self, part: str, rows: pa.Table) -> None:
        buffer = io.BytesIO()
        pyarrow.parquet.write_table(rows, buffer, compression="zstd")
        self._out.write(part, buffer.getvalue())

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except (pa.ArrowException, OSError) as error:
            raise OutputError(
                f"the index {self._out.address}/{FOLDER} cannot be read ({error}); if a part is damaged, "
                "delete it: its photos will be done again"
            ) from error

    def _parts(self) -> list[str]:
        return [f"{FOLDER}/{name}" for name in self._out.names(FOLDER) if _PART.fullmatch(name)]


def to_table(rows: Sequence[Row]) -> pa.Table:
    """Rows as a table of `SCHEMA`."""
    return pa.Table.from_pylist(list(rows), SCHEMA)
