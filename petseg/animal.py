"""What is known of an answer that is about one animal: it has one species, and comes in few pieces."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from petseg.decision import margin
from petseg.polygons import regions
from petseg.segmentation import OUTSIDE

CRUMB = 0.05
"""Share of the largest piece below which another piece is no part of the animal."""
ALL = 0.75
"""Share of a piece of pets from which on an animal that covers it is taken for all of it."""


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


def all_of_it(
    logits: NDArray[np.float32], semantic: NDArray[np.float32], click: tuple[float, float]
) -> NDArray[np.float32]:
    """An answer to a click, with the parts of the animal that it left out.

    Pets that hang together are one animal or several. Where the answer covers nearly all of them, they are
    one, and what it lacks is found without a click.

    Args:
        logits: (3, S, S) background, cat, dog, of the clicked animal.
        semantic: (3, s, s) the same of all pets, S a multiple of s.
        click: x, y in pixels of the square.

    Returns:
        (3, S, S): in the piece of pets under the click as sure of a pet as the surer of both, if the answer
        covers `ALL` of that piece; else the answer as it was.
    """
    size, coarse = logits.shape[-1], semantic.shape[-1]
    step = size // coarse
    pets, found = margin(semantic), margin(logits)
    covered = found[step // 2 :: step, step // 2 :: step] > 0
    pieces = regions((covered | (pets > 0)).view(np.uint8))
    x, y = (min(max(0, int(at / step)), coarse - 1) for at in click)
    piece = pieces == pieces[y, x]
    if pieces[y, x] == 0 or np.count_nonzero(covered & piece) < ALL * np.count_nonzero(piece):
        return logits
    # One more pixel around it, so that its edge is where the enlarged margin says.
    reach = Image.fromarray(piece.astype(np.uint8)).filter(ImageFilter.MaxFilter(3))
    inside = np.asarray(reach.resize((size, size), Image.Resampling.NEAREST)) != 0
    enlarged = np.asarray(Image.fromarray(pets).resize((size, size), Image.Resampling.BILINEAR))
    result = logits.copy()
    result[1:] += np.where(inside, np.maximum(enlarged - found, 0), 0)
    return result
