"""How opaque the pixels of a photo are in a cutout, and of what colour, part by part.

Of a large one there is no room for all.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from petseg.pixels.bits import Bits
from petseg.pixels.edges import MOST, Edges
from petseg.pixels.geometry import Letterbox, Region
from petseg.pixels.margins import Margins

_SURE = 1.1
"""Log-odds from which on a pet is solid, and up to whose negative it is clear."""
_TILE = 128
"""Side of a tile of the photo, in pixels: only those with something unsure are worked out."""
_REACH = 4
"""Pixels of the network around an animal's mask that may be its soft edge."""
_SEAM = 4
"""How steeply one animal gives way to the next: within a pixel of the network, or a quarter of `_REACH`."""
_WIDE = 1024
"""Columns of a band for which the share of one animal is worked out at a time."""
_FADE = 16
"""How fast an animal ends where its reach does: at a straight edge, within the last eighth of it."""


class Opacity(Protocol):
    """What says how opaque pixels are, and of what colour."""

    def part(self, box: Region) -> NDArray[np.uint8]:
        """(h, w) uint8, 0 clear to 255 solid, of a box that lies in the photo."""
        ...

    def cut(self, box: Region, colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The same; the colours there are written into an array (h, w, 3), if anything is not clear."""
        ...


@dataclass(frozen=True, eq=False)
class OfPets:
    """Of all pets: opacity follows the probability of a pet, and colours where that is unsure.

    It is stretched so that up to 1/4 is clear and from 3/4 on is solid: a network that is only fairly sure
    shall leave no ghosts and no holes.

    Attributes:
        photo: (H, W, 3) uint8.
        margins: what the network said of it.
        edges: what the photo's colours say.
        threshold: moves the middle from a probability of 1/2 to here.
    """

    photo: NDArray[np.uint8]
    margins: Margins
    edges: Edges
    threshold: float | None

    @classmethod
    def of(cls, photo: NDArray[np.uint8], margins: Margins, threshold: float | None) -> Self:
        """From what the network said of a photo (H, W, 3)."""
        edges = Edges.of(photo, margins.letterbox, np.logaddexp(margins.cat, margins.dog))
        return cls(photo, margins, edges, threshold)

    @property
    def letterbox(self) -> Letterbox:
        """What of the photo lies where in the network's square."""
        return self.margins.letterbox

    def part(self, box: Region) -> NDArray[np.uint8]:
        """See `Opacity`."""
        return self._part(box)[0]

    def cut(self, box: Region, colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """See `Opacity`."""
        opacity, unsure = self._part(box)
        if opacity.any():
            x0, y0, x1, y1 = box
            colours[...] = self.photo[y0:y1, x0:x1]
            for tile in unsure:
                place = within(tile, box)
                self.edges.clean(colours[place], opacity[place], tile)
        return opacity

    def _part(self, box: Region) -> tuple[NDArray[np.uint8], list[Region]]:
        """Opacity of a box, and the tiles that are neither clear nor solid."""
        result = np.zeros((box[3] - box[1], box[2] - box[0]), np.uint8)
        unsure = []
        inner = overlap(box, self.letterbox.region)
        for tile in () if inner is None else _tiles(inner):
            place = within(tile, box)
            least, most = self._range(tile)
            if least >= _SURE + MOST:
                result[place] = 255
            elif most > -_SURE - MOST:
                result[place] = self._unsure(tile)
                unsure.append(tile)
        return result, unsure

    @property
    def _shift(self) -> float:
        return 0.0 if self.threshold is None else float(np.log((1 - self.threshold) / self.threshold))

    def _range(self, tile: Region) -> tuple[float, float]:
        """The least and the most log-odds that pixels of a tile have, or less and more."""
        left, top, right, bottom = self.letterbox.cells(tile)
        reach = 1 + max(1, int(1 / self.letterbox.pixel))
        rows = slice(max(0, int(top) - reach), int(bottom) + 1 + reach)
        columns = slice(max(0, int(left) - reach), int(right) + 1 + reach)
        cat, dog = (
            plane[self.letterbox.inner][rows, columns] for plane in (self.margins.cat, self.margins.dog)
        )
        # Together they are at most by log 2 more than the larger of them.
        least, most = max(cat.min(), dog.min()), max(cat.max(), dog.max()) + np.log(2)
        return float(least) + self._shift, float(most) + self._shift

    def _unsure(self, tile: Region) -> NDArray[np.uint8]:
        cat, dog = (
            self.letterbox.restore_tile(plane[None], tile)[0]
            for plane in (self.margins.cat, self.margins.dog)
        )
        with np.errstate(over="ignore"):  # infinite odds are solid
            odds = np.exp(cat, out=cat)
            odds += np.exp(dog, out=dog)
            odds *= np.exp(self.edges.says(self.photo, tile) + np.float32(self._shift))
        # 2 p - 1/2, where p = 1 - 1 / (1 + odds).
        odds += 1
        opacity: NDArray[np.float32] = np.divide(-2, odds, out=odds)
        opacity += np.float32(1.5)
        np.clip(opacity, 0, 1, out=opacity)
        opacity *= 255
        opacity += np.float32(0.5)
        return opacity.astype(np.uint8)


def _tiles(box: Region) -> Iterator[Region]:
    x0, y0, x1, y1 = box
    for top in range(y0, y1, _TILE):
        for left in range(x0, x1, _TILE):
            yield left, top, min(x1, left + _TILE), min(y1, top + _TILE)


@dataclass(frozen=True, eq=False)
class OfOne:
    """Of one animal: as of all, but clear where it is another one, and far from this one.

    Attributes:
        pets: of all pets.
        mask: (H, W) uint8, not 0 where any pet is.
        box, inside: where the animal is, and its mask there, (h, w).
    """

    pets: OfPets
    mask: NDArray[np.uint8]
    box: Region
    inside: Bits

    @property
    def reach(self) -> int:
        """Pixels of the photo around the animal's mask that may be its soft edge."""
        return max(2, round(_REACH * self.pets.letterbox.pixel))

    def part(self, box: Region) -> NDArray[np.uint8]:
        """See `Opacity`."""
        return self._own(self.pets.part(box), box)

    def cut(self, box: Region, colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """See `Opacity`."""
        return self._own(self.pets.cut(box, colours), box)

    def _own(self, opacity: NDArray[np.uint8], box: Region) -> NDArray[np.uint8]:
        """What is this animal's of the opacity (h, w) of all pets, piece by piece."""
        x0, y0, x1, y1 = box
        for left in range(x0, x1, _WIDE):
            piece = left, y0, min(x1, left + _WIDE), y1
            place = within(piece, box)
            opacity[place] = self._share(opacity[place], piece)
        return opacity

    def _share(self, opacity: NDArray[np.uint8], box: Region) -> NDArray[np.uint8]:
        """The same of one piece."""
        height, width = self.mask.shape
        around = grown(box, self.reach, width, height)
        common = overlap(around, self.box)
        if common is None:
            return np.zeros_like(opacity)
        own = np.zeros((around[3] - around[1], around[2] - around[0]), bool)
        own[within(common, around)] = self.inside.part(*within(common, self.box))
        x0, y0, x1, y1 = around
        weight = self._weight(own, (self.mask[y0:y1, x0:x1] != 0) & ~own)[within(box, around)]
        return (opacity * weight + np.float32(0.5)).astype(np.uint8)

    def _weight(self, own: NDArray[np.bool_], others: NDArray[np.bool_]) -> NDArray[np.float32]:
        """(h, w) 0..1: how much of a pixel is this animal's, if it is any pet's; both masks (h, w)."""
        near = self._blurred(own)
        if not others.any():
            return np.where(own, np.float32(1), np.minimum(near * (_FADE / 255), 1))
        far = self._blurred(others)
        total = np.maximum(near + far, 1)
        weight: NDArray[np.float32] = np.clip(
            (near - far) / total * np.float32(_SEAM) + np.float32(0.5), 0, 1
        )
        faded = np.minimum(near * np.float32(_FADE / 255), 1)
        weight = np.where(own, np.maximum(weight, 0.5), weight * faded)
        np.minimum(weight, 0.5, out=weight, where=others)  # whatever is around it: the masks decide
        return weight

    def _blurred(self, mask: NDArray[np.bool_]) -> NDArray[np.float32]:
        """(h, w) 0..255: the share of the surroundings that is in a mask."""
        image = Image.fromarray(mask.view(np.uint8) * np.uint8(255))
        return np.asarray(image.filter(ImageFilter.BoxBlur(self.reach)), np.float32)


def overlap(one: Region, other: Region) -> Region | None:
    """What two boxes have in common, None if nothing."""
    x0, y0, x1, y1 = (
        max(one[0], other[0]),
        max(one[1], other[1]),
        min(one[2], other[2]),
        min(one[3], other[3]),
    )
    return (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None


def within(box: Region, outer: Region) -> tuple[slice, slice]:
    """Rows and columns of a box in an array that holds the box `outer`, which holds it."""
    x0, y0, x1, y1 = box
    return slice(y0 - outer[1], y1 - outer[1]), slice(x0 - outer[0], x1 - outer[0])


def grown(box: Region, by: int, width: int, height: int) -> Region:
    """A box with `by` pixels more on each side, as far as a photo of that size goes."""
    x0, y0, x1, y1 = box
    return max(0, x0 - by), max(0, y0 - by), min(width, x1 + by), min(height, y1 + by)
