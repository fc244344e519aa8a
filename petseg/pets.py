"""Every animal of a photo by itself."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from petseg.pixels.classes import CLASSES
from petseg.pixels.decision import ENOUGH
from petseg.pixels.geometry import Region, bounds
from petseg.pixels.margins import Margins
from petseg.pixels.polygons import Runs


@dataclass(frozen=True, eq=False, repr=False)
class Pet:
    """One animal. A large photo has many pixels: what is kept is the part of the mask in the box.

    Attributes:
        label: "cat" or "dog".
        score: mean probability of that class over the animal's area, 0..1.
        box: (x0, y0, x1, y1) around its mask, in pixels of the upright photo, ends exclusive.
        size: (width, height) of the upright photo, in pixels.
        inside: (y1 - y0, x1 - x0) bool, read-only: the mask within the box.
    """

    label: str
    score: float
    box: Region
    size: tuple[int, int]
    inside: NDArray[np.bool_]

    def __post_init__(self) -> None:
        """Keep the mask from being written to."""
        view = self.inside.view()
        view.flags.writeable = False
        object.__setattr__(self, "inside", view)

    @classmethod
    def of(cls, mask: NDArray[np.bool_], label: str, score: float) -> Self:
        """An animal, from its mask (H, W) bool of the whole photo.

        Raises:
            ValueError: the mask is empty.
        """
        x0, y0, x1, y1 = box = bounds(mask)
        return cls(label, score, box, (mask.shape[1], mask.shape[0]), mask[y0:y1, x0:x1].copy())

    def __repr__(self) -> str:
        """Label, score, place and area on one line."""
        return f"<Pet {self.label} {self.score:.3f} in {self.box}, {self.area} pixels>"

    @property
    def mask(self) -> NDArray[np.bool_]:
        """(H, W) bool at the photo's size, read-only; made anew each time that it is asked for."""
        x0, y0, x1, y1 = self.box
        result = np.zeros(self.size[::-1], bool)
        result[y0:y1, x0:x1] = self.inside
        result.flags.writeable = False
        return result

    @property
    def area(self) -> int:
        """Pixels of the mask."""
        return int(np.count_nonzero(self.inside))


def components(mask: NDArray[np.uint8], margins: Margins) -> tuple[Pet, ...]:
    """The regions of a mask as animals, largest first: animals that touch are one, unless species differ.

    Args:
        mask: (H, W) uint8, 0 background, 1 cat, 2 dog.
        margins: what the network said, for the scores.

    Returns:
        One for each region of at least the share `petseg.pixels.decision.ENOUGH` of the photo: a few stray
        pixels are nobody. The largest region counts whatever its size, so only an empty mask has none.
    """
    runs = Runs.of(mask)
    if not runs.count:
        return ()
    scores = margins.means_by_region(mask, runs)
    order = np.argsort(-runs.sizes, kind="stable").tolist()
    chosen = [number for number in order if number == order[0] or runs.sizes[number] >= ENOUGH * mask.size]
    return tuple(_component(runs, number, float(scores[number])) for number in chosen)


def _component(runs: Runs, number: int, score: float) -> Pet:
    own = runs.numbers == number
    rows, starts, ends = runs.rows[own], runs.starts[own], runs.ends[own]
    x0, y0, x1, y1 = box = int(starts.min()), int(rows[0]), int(ends.max()), int(rows[-1]) + 1
    steps = np.zeros((y1 - y0, x1 - x0 + 1), np.int8)  # +1 where a run begins, -1 behind its end
    steps[rows - y0, starts - x0] += 1
    steps[rows - y0, ends - x0] -= 1
    inside = np.cumsum(steps, axis=1, dtype=np.int8, out=steps)[:, :-1].astype(bool)
    return Pet(CLASSES[runs.classes[number]], score, box, runs.shape[::-1], inside)
