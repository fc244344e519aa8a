"""Every animal of a photo by itself."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from petseg.errors import OutputError
from petseg.measure.metrics import species_of
from petseg.pixels import saving
from petseg.pixels.bits import Bits
from petseg.pixels.checks import check_tolerance
from petseg.pixels.classes import CLASSES
from petseg.pixels.decision import ENOUGH
from petseg.pixels.geometry import Letterbox, Region, bounds
from petseg.pixels.margins import Margins
from petseg.pixels.opacity import OfOne
from petseg.pixels.polygons import Outline, Runs, trace
from petseg.pixels.readonly import frozen
from petseg.rendered import Rendered
from petseg.version import version

if TYPE_CHECKING:
    from petseg.segmentation import Segmentation

CRUMB = 0.02
"""Share of the largest region of a mask below which another one is no animal."""
_STRIP = 1 << 20
"""Pixels of a photo whose owners are worked out at a time."""


@dataclass(frozen=True, eq=False, repr=False)
class Pet(Rendered):
    """One animal, which can be shown, cut out and saved as the whole answer can.

    A large photo has many pixels: what is kept of the mask are the bits of the part in the box.

    Attributes:
        label: "cat" or "dog".
        score: mean probability of that class over the animal's area, 0..1.
        box: (x0, y0, x1, y1) around its mask, in pixels of the upright photo, ends exclusive.
        size: (width, height) of the upright photo, in pixels.
        bits: (y1 - y0, x1 - x0), the mask within the box.
        whole: the answer that it is part of, which knows the photo.
    """

    label: str
    score: float
    box: Region
    size: tuple[int, int]
    bits: Bits
    whole: "Segmentation | None" = None

    @classmethod
    def of(cls, mask: NDArray[np.bool_], label: str, score: float) -> Self:
        """An animal, from its mask (H, W) bool of the whole photo.

        Raises:
            ValueError: the mask is empty.
        """
        x0, y0, x1, y1 = box = bounds(mask)
        return cls(label, score, box, (mask.shape[1], mask.shape[0]), Bits.of(mask[y0:y1, x0:x1]))

    def within(self, whole: "Segmentation") -> Self:
        """The same animal, as part of an answer."""
        return replace(self, whole=whole)

    def __repr__(self) -> str:
        """Label, score, place and area on one line."""
        return f"<Pet {self.label} {self.score:.3f} in {self.box}, {self.area} pixels>"

    @property
    def mask(self) -> NDArray[np.bool_]:
        """(H, W) bool at the photo's size, read-only; made anew each time that it is asked for."""
        x0, y0, x1, y1 = self.box
        result = np.zeros(self.size[::-1], bool)
        result[y0:y1, x0:x1] = self.bits.whole()
        return frozen(result)

    @property
    def inside(self) -> NDArray[np.bool_]:
        """(y1 - y0, x1 - x0) bool, read-only: the mask within the box, made anew as well."""
        return frozen(self.bits.whole())

    @property
    def area(self) -> int:
        """Pixels of the mask."""
        return int(np.count_nonzero(self.bits.whole()))

    @property
    def source(self) -> str | None:  # type: ignore[override]
        """Path or name that the photo came from, None for pixels and bytes."""
        return None if self.whole is None else self.whole.source

    @property
    def photo(self) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB, upright, read-only.

        Raises:
            OutputError: the animal is of no answer.
            ImageError: see `Segmentation.photo`.
        """
        return self._answer.photo

    def polygons(self, tolerance: float = 1.0) -> list[dict[str, Any]]:
        """The outlines of its pieces, largest first; see `Segmentation.polygons`."""
        check_tolerance(tolerance)
        corner = self.box[:2]
        return [
            {
                "label": self.label,
                "score": self.score,
                "exterior": (piece.exterior + corner).tolist(),
                "holes": [(hole + corner).tolist() for hole in piece.holes],
            }
            for piece in self.outlines(tolerance)
        ]

    def outlines(self, tolerance: float) -> list[Outline]:
        """The same as arrays, in pixels of its box; the tolerance is not checked."""
        runs = Runs.of(self.inside.view(np.uint8))
        traced = trace(runs, tolerance)
        return [traced[number] for number in runs.largest_first]

    @property
    def _answer(self) -> "Segmentation":
        if self.whole is None:
            raise OutputError("this animal is of no answer, its photo is unknown; take it from result.pets")
        return self.whole

    def _classes(self, rows: slice) -> NDArray[np.uint8]:
        x0, y0, x1, y1 = self.box
        result = np.zeros((rows.stop - rows.start, self.size[0]), np.uint8)
        top, bottom = max(y0, rows.start), min(y1, rows.stop)
        if top < bottom:
            inside = self.bits.part(slice(top - y0, bottom - y0), slice(0, x1 - x0)).view(np.uint8)
            place = result[top - rows.start : bottom - rows.start, x0:x1]
            np.multiply(inside, np.uint8(CLASSES.index(self.label)), out=place)
        return result

    def _opacity(self) -> OfOne | None:
        pets = self._answer._opacity()
        return None if pets is None else OfOne(pets, self._answer.mask, self.box, self.bits)

    def _bounds(self) -> Region:
        return self.box

    def _document(self) -> dict[str, Any]:
        return {saving.MARK: version(), **self.facts(), "size": list(self.size), "model": self._answer.model}

    def facts(self) -> dict[str, Any]:
        """Label, score, box, area and polygons, ready for JSON."""
        about = {"label": self.label, "score": self.score, "box": list(self.box), "area": self.area}
        return about | {"polygons": self.polygons()}


def components(mask: NDArray[np.uint8], margins: Margins) -> tuple[Pet, ...]:
    """The regions of a mask as animals, largest first: animals that touch are one, unless species differ.

    Args:
        mask: (H, W) uint8, 0 background, 1 cat, 2 dog.
        margins: what the network said, for the scores.

    Returns:
        One for each region of at least the share `petseg.pixels.decision.ENOUGH` of the photo, and `CRUMB` of
        the largest: a few stray pixels are nobody. The largest itself counts whatever its size, so only an
        empty mask has none.
    """
    runs = Runs.of(mask)
    if not runs.count:
        return ()
    scores = margins.means_by_region(mask, runs)
    order = runs.largest_first
    least = max(ENOUGH * mask.size, CRUMB * int(runs.sizes[order[0]]))
    chosen = [number for number in order if number == order[0] or runs.sizes[number] >= least]
    return tuple(_component(runs, number, float(scores[number])) for number in chosen)


def _component(runs: Runs, number: int, score: float) -> Pet:
    own = runs.numbers == number
    rows, starts, ends = runs.rows[own], runs.starts[own], runs.ends[own]
    x0, y0, x1, y1 = box = runs.box(own)
    steps = np.zeros((y1 - y0, x1 - x0 + 1), np.int8)  # +1 where a run begins, -1 behind its end
    steps[rows - y0, starts - x0] += 1
    steps[rows - y0, ends - x0] -= 1
    inside = np.cumsum(steps, axis=1, dtype=np.int8, out=steps)[:, :-1].astype(bool)
    return Pet(CLASSES[runs.classes[number]], score, box, runs.shape[::-1], Bits.of(inside))


def divided(
    mask: NDArray[np.uint8],
    margins: Margins,
    box: Letterbox,
    animals: NDArray[np.float32],
    *,
    in_order: bool = False,
) -> tuple[Pet, ...]:
    """A mask, shared out among animals, largest first.

    Args:
        mask: (H, W) uint8, 0 background, 1 cat, 2 dog; not all background.
        margins: what the network said, for the scores.
        box: shows all of the mask's pets.
        animals: (K, S, S) a plane for each animal, in the square of `box`; a pixel of a pet is of the animal
            whose plane is highest there. An animal that is left without a pixel is none.
        in_order: they come as the planes do.
    """
    owners = _owners(mask, box, animals)
    runs = Runs.of(owners)
    found = np.unique(runs.kinds)
    boxes, classes = {}, np.zeros(256, np.uint8)
    for number in found.tolist():
        x0, y0, x1, y1 = boxes[number] = runs.box(runs.kinds == number)
        area = np.s_[y0:y1, x0:x1]
        classes[number] = species_of(mask[area] * (owners[area] == number))
    scores = margins.means_by_owner(owners, classes)
    pets = [
        Pet(CLASSES[classes[number]], float(scores[number]), (x0, y0, x1, y1), mask.shape[::-1], bits)
        for number, (x0, y0, x1, y1) in boxes.items()
        for bits in [Bits.of(owners[y0:y1, x0:x1] == number)]
    ]
    return tuple(pets if in_order else sorted(pets, key=lambda pet: -pet.area))


def _owners(mask: NDArray[np.uint8], box: Letterbox, animals: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(H, W) uint8: 0 background, k + 1 where a pixel is of the animal with plane k."""
    if len(animals) == 1:
        only: NDArray[np.uint8] = (mask != 0).view(np.uint8)
        return only
    result = np.zeros(mask.shape, np.uint8)
    left, top, right, bottom = bounds(mask != 0)
    rows = max(1, _STRIP // (right - left))
    for upper in range(top, bottom, rows):
        strip = left, upper, right, min(bottom, upper + rows)
        surest = box.restore_part(animals[0], strip)
        owners = np.ones(surest.shape, np.uint8)
        for number, plane in enumerate(animals[1:], 2):
            says = box.restore_part(plane, strip)
            owners[says > surest] = number
            surest = np.maximum(surest, says)
        part = np.s_[upper : strip[3], left:right]
        result[part] = owners * (mask[part] != 0)
    return result
