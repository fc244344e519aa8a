"""By how much cat and dog exceed background at a photo's own pixels, a strip at a time.

The best class and the softmax depend on the logits' differences only, so two planes are resized instead of
three; and never whole ones, which take 800 MB of a photo of 100 megapixels.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from petseg.pixels.geometry import Letterbox, Region
from petseg.pixels.polygons import Runs

_STRIP = 1 << 20
"""Pixels of a photo that are worked out at a time."""


class Strip(NamedTuple):
    """A part of the photo.

    Attributes:
        part: rows and columns of it.
        cat, dog: (h, w) float32 each, by how much they exceed background there.
    """

    part: tuple[slice, slice]
    cat: NDArray[np.float32]
    dog: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Margins:
    """What the network said, for a photo.

    Attributes:
        letterbox: what of the photo lies where in the square of side S; elsewhere there is no pet.
        cat, dog: (S, S) float32 each, by how much they exceed background in the square.
    """

    letterbox: Letterbox
    cat: NDArray[np.float32]
    dog: NDArray[np.float32]

    def strips(self, wanted: NDArray[np.uint8] | None = None) -> Iterator[Strip]:
        """All that the square shows of the photo, from top to bottom.

        Args:
            wanted: (H, W) uint8, to leave out strips where this is 0 everywhere.
        """
        left, top, right, bottom = self.letterbox.region
        step = max(1, _STRIP // (right - left))
        for upper in range(top, bottom, step):
            lower = min(bottom, upper + step)
            part = slice(upper, lower), slice(left, right)
            if wanted is None or wanted[part].any():
                yield Strip(part, *self.part((left, upper, right, lower)))

    def part(self, box: Region) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """By how much cat and dog exceed background, (h, w) each, in a box that the square shows."""
        return self.letterbox.restore_part(self.cat, box), self.letterbox.restore_part(self.dog, box)

    def probabilities(self) -> NDArray[np.float32]:
        """(3, H, W) float32: background, cat, dog."""
        result = np.zeros((3, self.letterbox.height, self.letterbox.width), np.float32)
        result[0] = 1
        for part, cat, dog in self.strips():
            result[(slice(None), *part)] = softmax(cat, dog)
        return result

    def pet(self) -> NDArray[np.float32]:
        """(H, W) float32: the probability of either."""
        result = np.zeros((self.letterbox.height, self.letterbox.width), np.float32)
        for part, cat, dog in self.strips():
            result[part] = 1 - softmax(cat, dog)[0]
        return result

    def means(self, mask: NDArray[np.uint8]) -> NDArray[np.float64]:
        """(3,) the mean probabilities where a mask (H, W) is not 0; of the whole photo if it is all 0."""
        everywhere = not mask.any()
        total, count = np.zeros(3), 0
        for part, cat, dog in self.strips(None if everywhere else mask):
            inside = np.full(cat.shape, True) if everywhere else mask[part] != 0
            total += softmax(cat[inside], dog[inside]).sum(1, dtype=np.float64)
            count += int(np.count_nonzero(inside))
        if everywhere:
            total[0] += mask.size - count  # what the square does not show
            count = mask.size
        return np.asarray(total / count)

    def means_by_region(self, mask: NDArray[np.uint8], runs: Runs) -> NDArray[np.float64]:
        """(N,) for each region of a mask (H, W) the mean probability of its class there; `runs` are its."""
        total = np.zeros(runs.count)
        lengths = runs.ends - runs.starts
        for part, cat, dog in self.strips(mask):
            inside = mask[part] != 0  # in the order of the runs
            _, of_cat, of_dog = softmax(cat[inside], dog[inside])
            says = np.where(mask[part][inside] == 1, of_cat, of_dog)
            here = runs.within(part[0].start, part[0].stop)
            begins = np.cumsum(lengths[here]) - lengths[here]
            sums = np.add.reduceat(says, begins, dtype=np.float64)
            total += np.bincount(runs.numbers[here], sums, minlength=runs.count)
        return np.asarray(total / runs.sizes)

    def means_by_owner(self, owners: NDArray[np.uint8], classes: NDArray[np.uint8]) -> NDArray[np.float64]:
        """The mean probability of its class over the pixels of each owner.

        Args:
            owners: (H, W) uint8, 0 is nobody.
            classes: (256,) uint8, the class of each owner.

        Returns:
            (256,) nan for those without a pixel.
        """
        total, counts = np.zeros(256), np.zeros(256)
        for part, cat, dog in self.strips(owners):
            inside = owners[part] != 0
            own = owners[part][inside]
            _, of_cat, of_dog = softmax(cat[inside], dog[inside])
            total += np.bincount(own, np.where(classes[own] == 1, of_cat, of_dog), 256)
            counts += np.bincount(own, minlength=256)
        means = np.full(256, np.nan)
        np.divide(total, counts, out=means, where=counts > 0)
        return means


def softmax(cat: NDArray[np.float32], dog: NDArray[np.float32]) -> NDArray[np.float32]:
    """(3, ...) float32: probabilities of the classes, from by how much cat and dog exceed background."""
    highest = np.maximum(np.maximum(cat, dog), 0)
    result: NDArray[np.float32] = np.stack([-highest, cat - highest, dog - highest])
    np.exp(result, out=result)
    result /= result.sum(0)
    return result
