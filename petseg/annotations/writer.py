"""What the writers of data sets have in common."""

import json
import os
from abc import ABC, abstractmethod
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

from petseg.errors import OutputError
from petseg.pixels import saving
from petseg.pixels.checks import check_tolerance
from petseg.segmentation import Segmentation


class Writer(ABC):
    """A data set that grows by a photo at a time. As a context, it is whole when that ends, or not there.

    Attributes:
        file: what its file is called in a folder of results.
        target: the file that is written in the end; of YOLO the one that names the classes.
    """

    file: ClassVar[str]
    target: Path

    def __init__(self, path: str | os.PathLike[str], *, tolerance: float = 0.0, force: bool = False) -> None:
        """Say where to.

        Args:
            path: of the file; of YOLO, the folder.
            tolerance: how far, in pixels, outlines may stray from the mask; 0 is exact. Files become much
                smaller with 1. Run lengths are always exact.
            force: replace what is there though petseg did not write it.

        Raises:
            OutputError: a negative or infinite tolerance.
        """
        check_tolerance(tolerance)
        self._path, self._tolerance, self._force = Path(path), float(tolerance), force
        self.target = self._path
        self._stack = ExitStack()
        self._names: set[str] = set()

    def __enter__(self) -> Self:
        """Begin.

        Raises:
            OutputError: what is there was not written by petseg, or nothing can be written there.
        """
        if not self._force:
            saving.check_free(self.target)
        with ExitStack() as stack:
            self._begin(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End: after an error, or a stop, there is no file, unless YOLO's, each of which is whole."""
        if kind is not None:
            self._stack.__exit__(kind, error, trace)
            return
        with self._stack:
            self._end()

    def add(self, result: Segmentation, name: str | None = None) -> None:
        """Take a photo's animals in.

        Args:
            result: what was found.
            name: of the photo's file, as the data set shall know it, with "/" between folders; by default
                where the photo was read from.

        Raises:
            OutputError: the photo has no name, or one that another one has; or it cannot be written.
        """
        if name is None and result.source is None:
            raise OutputError("a photo given as pixels has no name; say how the data set shall call it")
        self.put(self.describe(result), Path(name or str(result.source)).as_posix())

    def put(self, described: Any, name: str) -> None:
        """As `add`, of what `describe` made of an answer; one at a time."""
        if name in self._names:
            raise OutputError(
                f"photo {name!r} is in {str(self.target)!r} already; give each a name of its own"
            )
        self._put(described, name)
        self._names.add(name)

    @abstractmethod
    def describe(self, result: Segmentation) -> Any:
        """What is to be written of an answer, which then may go; may be asked from any thread."""

    @abstractmethod
    def _begin(self, stack: ExitStack) -> None:
        """Open what is written to, on a stack that closes it."""

    @abstractmethod
    def _put(self, described: Any, name: str) -> None: ...

    @abstractmethod
    def _end(self) -> None:
        """Write what comes last."""

    def _open(self, stack: ExitStack) -> None:
        self._draft = stack.enter_context(saving.drafted(self.target))

    def _write(self, text: str) -> None:
        with saving.as_output_error(self.target):
            self._draft.write(text.encode())


def compact(document: object) -> str:
    """JSON without spaces: most of a data set is numbers."""
    return json.dumps(document, allow_nan=False, separators=(",", ":"))
