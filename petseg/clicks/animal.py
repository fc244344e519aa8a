"""What is known of an answer that is about one animal: it has one species, and comes in few pieces."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from petseg.pixels.decision import OUTSIDE, margin
from petseg.pixels.polygons import region_at, regions

CRUMB = 0.05
"""Share of the largest piece below which another piece is no part of the animal."""
NEARLY_ALL = 0.8
"""Share of a piece of pets from which on an animal that covers it may be all of it."""
MOST = 0.6
"""The same in a photo that shows hardly a pet besides."""
BESIDES = 0.1
"""Share of a photo's pets that may be elsewhere for that."""
RULED_OUT = -3.0
"""By how much, on average, the animal exceeds background where the rest of a piece is sure to be another."""


def one_animal(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """An answer about one animal, tidied.

    Args:
        logits: (3, S, S) background, cat, dog.

    Returns:
        The same shape: all pets are of the species that is likelier over the whole animal, and crumbs are
        background.
    """
    background, cat, dog = logits - logits.max(0)
    either = np.logaddexp(cat, dog)
    area = either > background
    is_cat = np.exp(cat[area] - either[area]).sum() >= np.exp(dog[area] - either[area]).sum()
    pieces = regions(area.view(np.uint8))
    sizes = np.bincount(pieces.ravel())
    sizes[0] = sizes[1:].max(initial=0)
    nothing = background + np.float32(OUTSIDE)
    either = np.where((sizes < CRUMB * sizes[0])[pieces], nothing, either)
    return np.stack([background, either, nothing] if is_cat else [background, nothing, either])


def coarsely(step: int) -> tuple[slice, slice]:
    """(rows, columns) of a square at which it is looked at, one of `step` along each."""
    return np.s_[step // 2 :: step, step // 2 :: step]


def shown_coarsely(inner: tuple[slice, slice], size: int, step: int) -> NDArray[np.bool_]:
    """(S / step, S / step) whether a square of side S shows something there, of `Letterbox.inner`."""
    shown = np.zeros((size, size), bool)
    shown[inner] = True
    return shown[coarsely(step)]


class Pets:
    """All pets that a square shows, and the piece of them that was clicked: those that hang together there.

    Args:
        logits: (3, S, S) background, cat, dog, of the clicked animal.
        semantic: (3, s, s) the same of all pets, S a multiple of s.
        inner: rows and columns of the square that show something: on the grey around it there is no pet.
        click: x, y in pixels of the square.
    """

    def __init__(
        self,
        logits: NDArray[np.float32],
        semantic: NDArray[np.float32],
        inner: tuple[slice, slice],
        click: tuple[float, float],
    ) -> None:
        size = logits.shape[-1]
        step = size // semantic.shape[-1]
        shown, self._found = shown_coarsely(inner, size, step), margin(logits)[coarsely(step)]
        self._logits, self._margin, self._dogs = logits, margin(semantic), semantic[2] - semantic[1]
        self._covered, self._pets = shown & (self._found > 0), shown & (self._margin > 0)
        x, y = click
        self._piece = region_at(self._covered | self._pets, x / step, y / step)

    @property
    def alone(self) -> bool:
        """Whether hardly a pet is outside the piece."""
        outside = np.count_nonzero(self._pets & ~self._piece)
        return bool(self._piece.any() and outside <= BESIDES * np.count_nonzero(self._pets))

    def completed(self, *, alone: bool) -> NDArray[np.float32]:
        """The answer with the parts of the animal that it left out.

        A piece of pets is one animal or several. Where the answer covers most of it, and is not sure that the
        rest is another animal, nor that of the other species, it is one: no click is needed for the rest.

        Args:
            alone: whether the photo shows hardly a pet besides: several animals are less likely then.

        Returns:
            (3, S, S): if so, in the piece as sure of a pet as the surer of both; else the answer as it was.
        """
        covered, rest = self._piece & self._covered, self._piece & ~self._covered
        needed = (MOST if alone else NEARLY_ALL) * np.count_nonzero(self._piece)
        if not rest.any() or np.count_nonzero(covered) < max(1, needed):
            return self._logits
        one_species = (self._dogs[covered].sum() > 0) == (self._dogs[rest].sum() > 0)
        if not one_species or self._found[rest].mean() < RULED_OUT:
            return self._logits
        size = self._logits.shape[-1]
        # One more pixel around it, so that its edge is where the enlarged margin says.
        reach = Image.fromarray(self._piece.astype(np.uint8)).filter(ImageFilter.MaxFilter(3))
        inside = np.asarray(reach.resize((size, size), Image.Resampling.NEAREST)) != 0
        enlarged = np.asarray(Image.fromarray(self._margin).resize((size, size), Image.Resampling.BILINEAR))
        result = self._logits.copy()
        result[1:] += np.where(inside, np.maximum(enlarged - margin(self._logits), 0), 0)
        return result
