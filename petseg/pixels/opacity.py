"""How opaque the pixels of a photo are in a cutout, part by part: of a large one there is no room for all."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from petseg.pixels.geometry import Region
from petseg.pixels.margins import Margins

_REACH = 4
"""Pixels of the network around an animal's mask that may be its soft edge."""
_SEAM = 4
"""How steeply one animal gives way to the next: within a pixel of the network, or a quarter of `_REACH`."""
_FADE = 16
"""How fast an animal ends where its reach does: at a straight edge, within the last eighth of it."""


class Opacity(Protocol):
    """What says how opaque pixels are."""

    def part(self, box: Region) -> NDArray[np.uint8]:
        """(h, w) uint8, 0 clear to 255 solid, of a box that lies in the photo."""
        ...


@dataclass(frozen=True, eq=False)
class OfPets:
    """Of all pets: opacity follows the probability of a pet.

    It is stretched so that up to 1/4 is clear and from 3/4 on is solid: a network that is only fairly sure
    shall leave no ghosts and no holes.

    Attributes:
        margins: what the network said.
        threshold: moves the middle of that from 1/2 to here, by dividing the odds of a pet by those of it.
    """

    margins: Margins
    threshold: float | None

    def part(self, box: Region) -> NDArray[np.uint8]:
        """See `Opacity`."""
        result = np.zeros((box[3] - box[1], box[2] - box[0]), np.uint8)
        inner = overlap(box, self.margins.letterbox.region)
        if inner is None:
            return result
        cat, dog = self.margins.part(inner)
        with np.errstate(over="ignore"):  # infinite odds are solid
            odds = np.exp(cat) + np.exp(dog)
            if self.threshold is not None:
                odds *= np.float32((1 - self.threshold) / self.threshold)
        # 2 p - 1/2, where p = 1 - 1 / (1 + odds): in a third of the time of the softmax of three classes.
        odds += 1
        opacity = np.divide(-2, odds, out=odds)
        opacity += np.float32(1.5)
        np.clip(opacity, 0, 1, out=opacity)
        opacity *= 255
        opacity += np.float32(0.5)
        result[within(inner, box)] = opacity.astype(np.uint8)
        return result


@dataclass(frozen=True, eq=False)
class OfOne:
    """Of one animal: as of all, but clear where it is another one, and far from this one.

    Attributes:
        pets: of all pets.
        mask: (H, W) uint8, not 0 where any pet is.
        box, inside: where the animal is, and (h, w) bool, its mask there.
    """

    pets: OfPets
    mask: NDArray[np.uint8]
    box: Region
    inside: NDArray[np.bool_]

    @property
    def reach(self) -> int:
        """Pixels of the photo around the animal's mask that may be its soft edge."""
        return max(2, round(_REACH * self.pets.margins.letterbox.pixel))

    def part(self, box: Region) -> NDArray[np.uint8]:
        """See `Opacity`."""
        height, width = self.mask.shape
        around = grown(box, self.reach, width, height)
        common = overlap(around, self.box)
        if common is None:
            return np.zeros((box[3] - box[1], box[2] - box[0]), np.uint8)
        own = np.zeros((around[3] - around[1], around[2] - around[0]), bool)
        own[within(common, around)] = self.inside[within(common, self.box)]
        x0, y0, x1, y1 = around
        weight = self._weight(own, (self.mask[y0:y1, x0:x1] != 0) & ~own)[within(box, around)]
        opacity = self.pets.part(box)
        np.maximum(opacity, 128, out=opacity, where=own[within(box, around)])  # whatever found the animal
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
