"""Decoded photos, and what was answered about them lately: so that a click need not begin anew."""

import threading
from collections import OrderedDict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from petseg import Segmentation
from petseg.app.state import Key, Pixels, read


@dataclass(frozen=True, eq=False)
class Given:
    """An answer.

    Attributes:
        key: what was asked.
        result: at the photo's own size.
        milliseconds: how long it took.
    """

    key: Key
    result: Segmentation
    milliseconds: float


Answers: TypeAlias = deque[Given]
"""The newest first."""

KEPT_ANSWERS = 4
"""Of each photo: what the next click goes on from, what was there before the last ones, and what is saved."""
KEPT_IN_ALL = 12
"""Of all photos together. One about many animals weighs tens of megabytes."""


@dataclass(eq=False)
class _Answered:
    """About one photo. Examples are held as well, since they are told apart by their place in memory."""

    source: Path | Pixels
    turn: threading.Lock = field(default_factory=threading.Lock)
    answers: Answers = field(default_factory=lambda: deque(maxlen=KEPT_ANSWERS))

    @property
    def nbytes(self) -> int:
        """What their photos weigh: answers of which one goes on from the other share one."""
        return sum({id(one.result.photo): one.result.photo.nbytes for one in list(self.answers)}.values())


class Photos:
    """Decoded photos, the last few, and the last answers about them; any number of threads may share it.

    Files are told apart by their path, and Gradio names an upload after its content, so who gets something
    from here has uploaded it.

    Args:
        max_bytes: that the photos may weigh, and once more those of the answers.
    """

    def __init__(self, max_bytes: int = 256 * 2**20) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._kept: OrderedDict[Path, Pixels] = OrderedDict()
        self._answered: OrderedDict[Path | int, _Answered] = OrderedDict()

    def get(self, source: Path | Pixels) -> Pixels:
        """The photo's pixels, (H, W, 3) uint8.

        Raises:
            ImageError: it cannot be read, is too large, or was put away.
        """
        if not isinstance(source, Path):
            return source
        with self._lock:
            # A photo that was put away on the disk shall not live on here.
            for gone in [path for path in self._kept if not path.exists()]:
                self._forget(gone)
            if source in self._kept:
                self._kept.move_to_end(source)
                return self._kept[source]
        photo = read(source)
        with self._lock:
            self._kept[source] = photo
            while sum(kept.nbytes for kept in self._kept.values()) > self._max_bytes:
                self._forget(next(iter(self._kept)))
        return photo

    def _forget(self, path: Path) -> None:
        del self._kept[path]
        self._answered.pop(path, None)

    @contextmanager
    def answers(self, source: Path | Pixels) -> Iterator[Answers]:
        """The last answers about a photo that was got lately; who has them may put another one to the left.

        Others who ask about the same photo wait meanwhile: what they want may be what is worked out.
        """
        name = source if isinstance(source, Path) else id(source)
        with self._lock:
            answered = self._answered.get(name) or _Answered(source)
            if not isinstance(source, Path) or source in self._kept:
                self._answered[name] = answered
                self._answered.move_to_end(name)
        with answered.turn:
            yield answered.answers
        with self._lock:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        while self._too_many():
            oldest = next(one for one in self._answered.values() if one.answers)
            oldest.answers.pop()

    def _too_many(self) -> bool:
        known = self._answered.values()
        return (
            sum(len(one.answers) for one in known) > KEPT_IN_ALL
            or sum(one.nbytes for one in known) > self._max_bytes
        )
