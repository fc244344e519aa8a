"""What the page remembers of one visitor: a photo, the clicks on it, and the last answer."""

import io
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from petseg import ImageError, ImageTooLargeError, Segmentation
from petseg.app import refused
from petseg.dialogue import MOST_IN_TURN
from petseg.pixels.image import load

Pixels: TypeAlias = NDArray[np.uint8]
Kind: TypeAlias = Literal["pet", "not pet", "box"]
Corners: TypeAlias = tuple[int, int, int, int]
"""(x0, y0, x1, y1), ends exclusive."""

PREVIEW = 1024
"""Longest side, in pixels, of the picture that is sent to the browser."""
MAX_BYTES = 20 * 2**20
MAX_PIXELS = 50_000_000


@dataclass(frozen=True)
class Step:
    """What one undo takes back: a click or a box.

    Attributes:
        kind: which of them.
        x, y: a pixel of the upright photo.
        opposite: of a box, the pixel of the corner across.
        animal: whose it is, a number from 0.
        seed: it stands for an animal that was found without being pointed at.
    """

    kind: Kind
    x: int
    y: int
    opposite: tuple[int, int] = (0, 0)
    animal: int = 0
    seed: bool = False

    @property
    def box(self) -> Corners:
        """Of a box; the pixels of both its corners lie inside."""
        (x0, x1), (y0, y1) = map(sorted, zip((self.x, self.y), self.opposite, strict=True))
        return x0, y0, x1 + 1, y1 + 1


@dataclass(frozen=True, eq=False)
class Visit:
    """All that is kept of a visitor. Never changed, so that handlers that overlap see whole states.

    Attributes:
        name: the photo's file name.
        source: the photo's upload; for an example its pixels.
        size: (width, height) of the upright photo.
        preview: (h, w, 3) uint8, its longest side at most `PREVIEW`.
        steps: the clicks, oldest first.
        answer: the last one, at preview size; None before it, and where it is not at hand: of many animals it
            weighs much, so that it is not kept of every visitor.
        key: what was asked for `answer`.
        milliseconds: how long that took.
        device: where.
        note: what the visitor should know about it, "" if nothing.
        missed: clicks of the last question that were on no pet; they are not among `steps`.
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
    missed: tuple[Step, ...] = ()

    @property
    def clicks(self) -> list[Step]:
        """The steps that are no boxes."""
        return [step for step in self.steps if step.kind != "box"]

    @property
    def points(self) -> list[tuple[int, int]]:
        """Pixels (x, y) of the photo that were clicked, oldest first."""
        return [(step.x, step.y) for step in self.clicks]

    @property
    def labels(self) -> list[int]:
        """For each of `points` 1 (pet) or 0 (not pet)."""
        return [int(step.kind == "pet") for step in self.clicks]

    @property
    def box(self) -> Corners | None:
        """The last box."""
        return next((step.box for step in reversed(self.steps) if step.kind == "box"), None)

    @property
    def kinds(self) -> list[str]:
        """What is given besides the photo: some of "point" and "box"."""
        return ["point"] * bool(self.clicks) + ["box"] * (len(self.clicks) < len(self.steps))

    @property
    def animals(self) -> list[int]:
        """The animals that the steps are about, in the order in which a model is asked: with boxes first."""
        boxed = {step.animal for step in self.steps if step.kind == "box"}
        return sorted({step.animal for step in self.steps}, key=lambda number: (number not in boxed, number))

    def with_step(self, kind: Kind, x: int, y: int, animal: int = 0) -> "Visit":
        """One more click."""
        return replace(self, steps=(*self.steps, Step(kind, x, y, animal=animal)))


@dataclass(frozen=True)
class Key:
    """What an answer depends on besides the photo.

    Attributes:
        model: its name.
        points, labels: the clicks, and for each 1 (pet) or 0 (not pet).
        boxes: of the first animals.
        objects: for each click its animal, where there are several of either; else empty.
    """

    model: str
    points: tuple[tuple[int, int], ...] = ()
    labels: tuple[int, ...] = ()
    boxes: tuple[Corners, ...] = ()
    objects: tuple[int, ...] = ()

    @property
    def several(self) -> bool:
        """Whether it says which animal is meant."""
        return bool(self.objects) or len(self.boxes) > 1

    @property
    def prompt(self) -> dict[str, Any]:
        """Arguments for `Segmenter.segment`; empty without clicks."""
        arguments: dict[str, Any] = {}
        if self.points:
            arguments |= {"points": list(self.points), "labels": list(self.labels)}
        if self.objects:
            arguments["objects"] = list(self.objects)
        if self.several and self.boxes:
            arguments["boxes"] = list(self.boxes)
        elif self.boxes:
            arguments["box"] = self.boxes[0]
        return arguments

    def beyond(self, earlier: "Key") -> dict[str, Any]:
        """What it asks besides an earlier question, as arguments for `Segmenter.refine`.

        Empty where it does not go on from that one, or where going on may say something else than asking for
        all at once: of many clicks on one animal the first ones are answered together.
        """
        count = len(earlier.points)
        own, others = (key.objects or (0,) * len(key.points) for key in (self, earlier))
        same = (self.model, self.boxes) == (earlier.model, earlier.boxes) and earlier.prompt
        begun = (self.points[:count], self.labels[:count], own[:count])
        if not same or begun != (earlier.points, earlier.labels, others) or count == len(self.points):
            return {}
        if max(Counter(own).values()) > MOST_IN_TURN:
            return {}
        points, labels, objects = (list(part[count:]) for part in (self.points, self.labels, own))
        return {"points": points, "labels": labels, "objects": objects}


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
