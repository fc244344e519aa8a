"""YOLO's segmentation labels: a text file for each photo."""

import os
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from petseg.annotations.writer import Writer
from petseg.errors import OutputError
from petseg.pets import Pet
from petseg.pixels import saving
from petseg.pixels.classes import CLASSES
from petseg.pixels.contours import joined
from petseg.segmentation import Segmentation
from petseg.version import version

_QUARTER = 0.25
"""Into each pixel, so that readers who round and readers who cut off find the same one."""


class Yolo(Writer):
    """A folder with labels/NAME.txt for each photo, and data.yaml, which names the classes 0 cat and 1 dog.

    A line is an animal: its class, and one polygon by shares of width and height. A hole is reached by a way
    there and back through the animal, a further piece by one of a pixel's width: the format has no other.
    Photos belong into images/ beside labels/.

    Lines that petseg wrote end with a space, which readers pass over. Those of a label that somebody
    corrected since hardly do, and it is not replaced without `force`.
    """

    file = "data.yaml"

    def __init__(self, path: str | os.PathLike[str], *, tolerance: float = 0.0, force: bool = False) -> None:
        """See `Writer`; the path is that of the folder."""
        super().__init__(path, tolerance=tolerance, force=force)
        self.target = self._path / self.file

    def _begin(self, stack: ExitStack) -> None:
        names = "".join(f"  {number}: {name}\n" for number, name in enumerate(CLASSES[1:]))
        self._labels: set[object] = set()
        try:
            if f"names:\n{names}" in self.target.read_text("utf-8"):
                return  # with paths of somebody's own, perhaps
        except (OSError, ValueError):
            pass  # to write there will say so
        text = f"# {saving.MARK} {version()}\npath: .\ntrain: images\nval: images\nnames:\n{names}"
        saving.write(self.target, text.encode())

    def describe(self, result: Segmentation) -> str:
        """See `Writer`."""
        return "".join(map(self._line, result.pets))

    def _line(self, pet: Pet) -> str:
        ring = joined(pet.outlines(self._tolerance), None if self._tolerance else pet.inside)
        while len(ring) < 3:  # one pixel, or some in a row: readers want three vertices
            ring = np.concatenate([ring, ring[-1:]])
        shares = np.clip((ring + pet.box[:2] + _QUARTER) / pet.size, 0, 1)
        numbers = " ".join(f"{share:.7g}" for share in shares.ravel().tolist())
        return f"{CLASSES.index(pet.label) - 1} {numbers} \n"

    def _put(self, described: str, name: str) -> None:
        photo = Path(name)
        inner = not photo.is_absolute() and ".." not in photo.parts
        path = self._path / "labels" / (photo if inner else Path(photo.name)).with_suffix(".txt")
        if saving.identity(path) in self._labels:  # as of a and A, where the system takes them for the same
            raise OutputError(
                f"photo {name!r} has the label {str(path)!r} of another one, which YOLO tells by their names "
                "without suffix alone; rename one"
            )
        if not self._force:
            saving.check_free(path)
        saving.write(path, described.encode())
        self._labels.add(saving.identity(path))

    def _end(self) -> None:
        """Nothing: every label is whole."""
