"""What the page remembers of one visitor: a photo, the clicks on it, and the last answer."""

import io
import threading
from collections import OrderedDict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from petseg import ImageError, ImageTooLargeError, Segmentation
from petseg.app import refused
from petseg.pixels.image import load

Pixels: TypeAlias = NDArray[np.uint8]
Kind: TypeAlias = Literal["pet", "not pet", "corner", "box"]

PREVIEW = 1024
"""Longest side, in pixels, of the picture that is sent to the browser."""
MAX_BYTES = 20 * 2**20
MAX_PIXELS = 50_000_000


@dataclass(frozen=True)
class Step:
    """What one undo takes back: a point, the first corner of a box, or a whole box.

    Attributes:
        kind: which of them.
        x, y: a pixel of the upright photo.
        opposite: of a box, the pixel of the corner across.
    """

    kind: Kind
    x: int
    y: int
    opposite: tuple[int, int] = (0, 0)


@dataclass(frozen=True, eq=False)
class Visit:
    """All that is kept of a visitor. Never changed, so that handlers that overlap see whole states.

    Attributes:
        name: the photo's file name.
        source: the photo's upload; for an example its pixels.
        size: (width, height) of the upright photo.
        preview: (h, w, 3) uint8, its longest side at most `PREVIEW`.
        steps: the clicks, oldest first.
        answer: the last one, at preview size; None before it.
        key: what was asked for `answer`.
        milliseconds: how long that took.
        device: where.
        note: what the visitor should know about it, "" if nothing.
    """

    name: str
    source: Path | Pixels
    size: tuple[int, int]
    preview: Pixels
    steps: tuple[Step, ...] = ()
    answer: Segmentation | None = None
    key: "Key | None" = None
    milliseconds: float = 0.0
    device: str = ""
    note: str = ""

    @property
    def points(self) -> list[tuple[int, int]]:
        """Pixels (x, y) of the photo that were clicked, oldest first."""
        return [(step.x, step.y) for step in self.steps if step.kind in ("pet", "not pet")]

    @property
    def labels(self) -> list[int]:
        """For each of `points` 1 (pet) or 0 (not pet)."""
        return [int(step.kind == "pet") for step in self.steps if step.kind in ("pet", "not pet")]

    @property
    def box(self) -> tuple[int, int, int, int] | None:
        """The last whole box, (x0, y0, x1, y1); the pixels of both its corners lie inside."""
        boxes = [step for step in self.steps if step.kind == "box"]
        if not boxes:
            return None
        (x0, x1), (y0, y1) = map(sorted, zip((boxes[-1].x, boxes[-1].y), boxes[-1].opposite, strict=True))
        return x0, y0, x1 + 1, y1 + 1

    @property
    def corner(self) -> Step | None:
        """The first corner of a box that waits for its second."""
        return next((step for step in self.steps if step.kind == "corner"), None)

    @property
    def kinds(self) -> list[str]:
        """What is given besides the photo: some of "point" and "box"."""
        return ["point"] * bool(self.points) + ["box"] * (self.box is not None)

    @property
    def shown(self) -> tuple[int, int]:
        """(width, height) of the picture that is clicked: its longest side is `PREVIEW`, of small photos too.

        Gradio mistakes where a picture was clicked that the browser had to enlarge, so this one never is.
        """
        width, height = (max(1, round(length * PREVIEW / max(self.size))) for length in self.size)
        return width, height

    def at(self, x: float, y: float) -> tuple[int, int]:
        """The photo's pixel at a place of the picture of size `shown`.

        Gradio rounds a place to the nearest whole number, so it is no pixel but a coordinate.
        """
        (width, height), (across, down) = self.size, self.shown
        left, top = int(x * width / across), int(y * height / down)
        return min(width - 1, max(0, left)), min(height - 1, max(0, top))

    def with_step(self, kind: Kind, x: int, y: int) -> "Visit":
        """One more click; a second corner makes a box with the first."""
        if kind == "corner" and self.corner is not None:
            return self.with_box((self.corner.x, self.corner.y), (x, y))
        return replace(self, steps=(*self.steps, Step(kind, x, y)))

    def with_box(self, one: tuple[int, int], other: tuple[int, int]) -> "Visit":
        """One more box, between two pixels, in the place of a corner that waits for its second."""
        rest = (step for step in self.steps if step.kind != "corner")
        return replace(self, steps=(*rest, Step("box", *one, other)))

    def undone(self) -> "Visit":
        """Without the last click, or the last box if that came later."""
        return replace(self, steps=self.steps[:-1])

    def cleared(self) -> "Visit":
        """Without clicks."""
        return replace(self, steps=())


@dataclass(frozen=True)
class Key:
    """What an answer depends on besides the photo."""

    model: str
    points: tuple[tuple[int, int], ...] = ()
    labels: tuple[int, ...] = ()
    box: tuple[int, int, int, int] | None = None

    @property
    def prompt(self) -> dict[str, Any]:
        """Arguments for `Segmenter.segment`; empty without clicks."""
        arguments: dict[str, Any] = {}
        if self.points:
            arguments |= {"points": self.points, "labels": self.labels}
        if self.box is not None:
            arguments["box"] = self.box
        return arguments


class Photos:
    """Decoded photos: the last few, so that a click need not read the file again.

    Files are told apart by their path, and Gradio names an upload after its content, so who gets something
    from here has uploaded it.
    """

    def __init__(self, max_bytes: int = 256 * 2**20) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._kept: OrderedDict[Path, Pixels] = OrderedDict()

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
                del self._kept[gone]
            if source in self._kept:
                self._kept.move_to_end(source)
                return self._kept[source]
        photo = read(source)
        with self._lock:
            self._kept[source] = photo
            while sum(kept.nbytes for kept in self._kept.values()) > self._max_bytes:
                self._kept.popitem(last=False)
        return photo


class _Upload(io.BytesIO):
    """An upload's bytes; error messages call it by the visitor's file name, not by the server's path."""

    def __init__(self, path: Path) -> None:
        super().__init__(path.read_bytes())
        self.name = path.name


def read(path: Path) -> Pixels:
    """Read an upload.

    Raises:
        ImageTooLargeError: more than `MAX_BYTES` or `MAX_PIXELS`.
        ImageError: it is no photo, or was put away.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ImageTooLargeError(f"the file is larger than {MAX_BYTES >> 20} MB; make it smaller")
        upload = _Upload(path)
    except FileNotFoundError as error:
        raise ImageError("the photo has been put away by now; choose it again") from error
    try:
        return load(upload, max_pixels=MAX_PIXELS)
    except ImageTooLargeError as error:
        # A visitor cannot raise the limit, as the rest of the message advises.
        raise ImageTooLargeError(f"{str(error).partition(';')[0]}; make it smaller") from error
    except ImageError as error:
        # That message repeats bytes of the file, and speaks to programmers.
        if "no image format" not in str(error):
            raise
        raise ImageError(refused.explain(path.name, upload.getvalue()[:512])) from error
