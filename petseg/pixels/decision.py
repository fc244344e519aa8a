"""Which class each pixel of a photo gets, from by how much cat and dog exceed background."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from petseg.pixels.geometry import Letterbox
from petseg.pixels.polygons import Runs

OUTSIDE = -1e4
"""By how much a pet exceeds background where it is ruled out (`closeup` and `animal` of `petseg.clicks`)."""

SURE = 0.95
"""How probable a pet must be at a pixel for that to count as sure."""
ENOUGH = 0.002
"""Share of the pixels that show the photo that must be sure: with fewer there is no pet.

Both were chosen on held-out photos with and without pets, small pets included (docs/what-a-pet-is.md).
"""
PART = 0.15
"""Share of the pixels of a region of the mask that must be sure: one with fewer is no pet, nor a part of one.

Chosen on the same photos; of 229 with pets no answer was lost by it.
"""
FRINGE = 4
"""Pixels around such a region that are ruled out with it, where a cutout would show its soft edge."""

_STRIP = 1 << 19
"""Pixels of a mask that are worked out at a time, so that they stay in the processor's cache."""


def classify(
    cat: NDArray[np.float32], dog: NDArray[np.float32], threshold: float | None
) -> NDArray[np.uint8]:
    """Class by pixel: 0 background, 1 cat, 2 dog, in the arguments' shape.

    Args:
        cat, dog: by how much their logits exceed that of background.
        threshold: see `petseg.segmentation.Segmentation`.
    """
    best = (dog > cat).view(np.uint8)
    best += 1
    best *= _is_pet(cat, dog, threshold)  # twenty times faster than to pick pixels by this
    return best


def shows_pet(
    letterbox: Letterbox,
    cat: NDArray[np.float32],
    dog: NDArray[np.float32],
    threshold: float | None,
    sure: float = SURE,
) -> bool:
    """Whether what a letterbox shows of a photo has a pet at all: enough pixels that are sure of one.

    Args:
        letterbox: what of the photo lies where in the square.
        cat, dog: (S, S) each, by how much their logits exceed that of background.
        threshold: see `petseg.segmentation.Segmentation`; where one is given, that is sure enough.
        sure: see `petseg.models.manifest.Manifest`.
    """
    seen = cat[letterbox.inner], dog[letterbox.inner]
    count = np.count_nonzero(_is_pet(*seen, sure if threshold is None else threshold))
    return bool(count >= max(1, ENOUGH * seen[0].size))


def without_unsure(letterbox: Letterbox, logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """The same logits (3, S, S), with regions of pet ruled out that have too few pixels that are sure."""
    cat, dog = (plane[letterbox.inner] for plane in margins(logits))
    found = _is_pet(cat, dog, None)
    runs = Runs.of(found.view(np.uint8))
    before = np.append(0, np.cumsum(_is_pet(cat, dog, SURE)))
    starts, ends = (runs.rows * cat.shape[1] + at for at in (runs.starts, runs.ends))
    sure = np.bincount(runs.numbers, before[ends] - before[starts], runs.count)
    unsure = (sure < PART * runs.sizes)[runs.numbers]
    if not unsure.any():
        return logits
    inside = runs.painted(unsure).astype(bool)
    around = Image.fromarray(inside.view(np.uint8) * np.uint8(255)).filter(ImageFilter.BoxBlur(FRINGE))
    out = np.zeros(logits.shape[1:], bool)
    out[letterbox.inner] = inside | ((np.asarray(around) > 0) & ~found)
    return rule_out(logits, out)


def rule_out(logits: NDArray[np.float32], where: NDArray[np.bool_] | bool) -> NDArray[np.float32]:
    """The same logits (3, S, S), there as sure of background as pixels of pets have to be of pets."""
    most = logits[0] - np.float32(np.log(SURE / (1 - SURE)))
    return np.concatenate([logits[:1], np.where(where, np.minimum(logits[1:], most), logits[1:])])


def sureness(cat: NDArray[np.float32], dog: NDArray[np.float32]) -> float:
    """Share of the pixels of pets that are sure, 0..1; 1 where there are none.

    Args:
        cat, dog: by how much their logits exceed that of background.
    """
    found = _is_pet(cat, dog, None)
    sure = _is_pet(cat[found], dog[found], SURE)
    return float(sure.mean()) if sure.size else 1.0


def margins(logits: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """By how much cat and dog exceed background, (3, ...) -> twice (...)."""
    background, cat, dog = logits
    return cat - background, dog - background


def margin(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """By how much the likelier pet exceeds background, (3, ...) -> (...)."""
    result: NDArray[np.float32] = np.maximum(logits[1], logits[2]) - logits[0]
    return result


def mask(
    letterbox: Letterbox, cat: NDArray[np.float32], dog: NDArray[np.float32], threshold: float | None
) -> NDArray[np.uint8]:
    """The same, (height, width), for the photo in a letterbox, between whose pixels values are bilinear.

    Args:
        letterbox: what of the photo lies where in the square; outside of it is background.
        cat, dog: (S, S) each, of the square's pixels.
        threshold: see above.
    """
    result = np.zeros((letterbox.height, letterbox.width), np.uint8)
    # Between pixels that are all background, a bilinear value is background as well: what the network may say
    # there is a convex set, with a threshold too. So only the surroundings of the others are resized.
    part = letterbox.reach(_is_pet(cat, dog, threshold))
    if part is None:
        return result
    only = _only_class(letterbox, cat, dog) if threshold is None else None
    left, top, right, bottom = part
    rows = max(1, _STRIP // (right - left))
    for upper in range(top, bottom, rows):
        strip = left, upper, right, min(bottom, upper + rows)
        if only is None:
            restored = (letterbox.restore_part(cat, strip), letterbox.restore_part(dog, strip))
            classes = classify(*restored, threshold)
        else:
            number, plane = only
            classes = (letterbox.restore_part(plane, strip) > 0).view(np.uint8) * np.uint8(number)
        result[upper : strip[3], left:right] = classes
    return result


def _only_class(
    letterbox: Letterbox, cat: NDArray[np.float32], dog: NDArray[np.float32]
) -> tuple[int, NDArray[np.float32]] | None:
    """The one class but background that a pixel can get, and its plane, where there is but one.

    Most photos show one species. Where dog exceeds cat at none of four neighbouring pixels, or background at
    none, it is the best class nowhere between them; and the other way round.
    """
    if not letterbox.enlarges:
        return None  # what is made smaller is a mean of more than four
    for number, one, other in ((1, cat, dog), (2, dog, cat)):
        if not (_around(other > one) & _around(other > 0)).any():
            return number, one
    return None


def _around(pixels: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether any of each four neighbours is true: (H, W) -> (H - 1, W - 1)."""
    pairs = pixels[1:] | pixels[:-1]
    return np.asarray(pairs[:, 1:] | pairs[:, :-1])


def _is_pet(cat: NDArray[np.float32], dog: NDArray[np.float32], threshold: float | None) -> NDArray[np.bool_]:
    if threshold is None:
        return (cat > 0) | (dog > 0)
    # p >= t where the odds p / (1 - p) reach t / (1 - t), and the odds are exp(cat) + exp(dog).
    with np.errstate(over="ignore"):  # so sure that it is infinite is above any threshold
        return np.asarray(np.exp(cat) + np.exp(dog) >= threshold / (1 - threshold))
