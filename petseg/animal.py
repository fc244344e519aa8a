"""What is known of an answer that is about one animal: it has one species, and comes in few pieces."""

import numpy as np
from numpy.typing import NDArray

from petseg.polygons import regions
from petseg.segmentation import OUTSIDE

CRUMB = 0.05
"""Share of the largest piece below which another piece is no part of the animal."""


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
