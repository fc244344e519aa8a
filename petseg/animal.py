"""What is known of an answer that is about one animal: it has one species, and comes in few pieces."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from petseg.decision import OUTSIDE, margin
from petseg.polygons import regions

CRUMB = 0.05
"""Share of the largest piece below which another piece is no part of the animal."""
NEARLY_ALL = 0.75
"""Share of a piece of pets from which on an animal that covers it is taken for all of it."""
MOST = 0.6
"""The same in a photo that shows hardly a pet besides."""
BESIDES = 0.1
"""Share of a photo's pets that may be elsewhere for that."""


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
        size, coarse = logits.shape[-1], semantic.shape[-1]
        step = size // coarse
        shown = np.zeros((size, size), bool)
        shown[inner] = True
        found, shown = (plane[step // 2 :: step, step // 2 :: step] for plane in (margin(logits) > 0, shown))
        self._logits, self._margin = logits, margin(semantic)
        self._covered, self._pets = shown & found, shown & (self._margin > 0)
        pieces = regions((self._covered | self._pets).view(np.uint8))
        x, y = (min(max(0, int(at / step)), coarse - 1) for at in click)
        self._piece = (pieces == pieces[y, x]) & (pieces > 0)

    @property
    def alone(self) -> bool:
        """Whether hardly a pet is outside the piece."""
        outside = np.count_nonzero(self._pets & ~self._piece)
        return bool(self._piece.any() and outside <= BESIDES * np.count_nonzero(self._pets))

    def completed(self, *, alone: bool) -> NDArray[np.float32]:
        """The answer with the parts of the animal that it left out.

        A piece of pets is one animal or several. Where the answer covers most of it, it is one, and what the
        answer lacks is found without a click.

        Args:
            alone: whether the photo shows hardly a pet besides: several animals are less likely then.

        Returns:
            (3, S, S): in the piece as sure of a pet as the surer of both, if the answer covers enough of it;
            else the answer as it was.
        """
        size, needed = self._logits.shape[-1], MOST if alone else NEARLY_ALL
        if np.count_nonzero(self._covered & self._piece) < max(1, needed * np.count_nonzero(self._piece)):
            return self._logits
        # One more pixel around it, so that its edge is where the enlarged margin says.
        reach = Image.fromarray(self._piece.astype(np.uint8)).filter(ImageFilter.MaxFilter(3))
        inside = np.asarray(reach.resize((size, size), Image.Resampling.NEAREST)) != 0
        enlarged = np.asarray(Image.fromarray(self._margin).resize((size, size), Image.Resampling.BILINEAR))
        result = self._logits.copy()
        result[1:] += np.where(inside, np.maximum(enlarged - margin(self._logits), 0), 0)
        return result
