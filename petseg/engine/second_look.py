"""A second look at photos that the network's square shows too small: panoramas, and photos of small pets.

A network sees every photo as one square. Where pets are small in it, or the photo so long that all of it is,
the square has too few pixels to tell them by. Then it sees the parts that matter once more, larger, all in
one batch (as f-BRS does for what is clicked, arXiv:2001.10331, and slicing-aided inference for detectors,
arXiv:2202.06934). A photo that asks for neither costs nothing more.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from petseg.clicks.closeup import close_up
from petseg.engine.network import planes
from petseg.pixels.decision import OUTSIDE, margin, margins, rule_out, sureness, without_unsure
from petseg.pixels.geometry import Letterbox, Region, bounds
from petseg.pixels.polygons import regions

Run: TypeAlias = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""Photos (B, 3, S, S) uint8 -> logits (B, 3, S, S) float32."""

MAYBE = -4.0
"""By how much a pet exceeds background where a second look may be worth it: a probability of 0.02."""
SMALL = 0.5
"""Largest side of a close-up over the longer side of the photo: above, the first look was as good."""
SPREAD = 0.06
"""Largest share of the photo that several small pets cover together."""
WIDE = 3.0
"""Longer side over the shorter one from which on a photo is seen in tiles."""
TILE, STEP = 1.6, 1.2
"""Length of a tile, and from one to the next, over the shorter side of the photo."""
MOST = 8
"""Parts of a photo that are seen again, at most."""
FINER = 4
"""How many times the square's resolution several parts are put together at, at most."""
DOUBTED = 0.5
"""Share of the pixels of pets that must be sure, for what is found not to be looked at once more."""
_FIRST, _EDGE = 0.01, 0.05
"""Weight of the first look, and of a part at its edges; in its middle it is 1."""
_SLOPE = 0.15
"""Share of a part's length, from its edges on, over which its weight rises to that."""


class Look(NamedTuple):
    """What a network said of a photo, or of a part of it.

    Attributes:
        logits: (3, S, S) float32.
        letterbox: what of the photo lies where in the square.
    """

    logits: NDArray[np.float32]
    letterbox: Letterbox


def see(photo: NDArray[np.uint8], size: int, fill: int, run: Run, *, doubt: bool = True) -> Look:
    """What a network that finds all pets says of a photo, after a second look where that is worth it.

    Args:
        photo: (H, W, 3) uint8.
        size: side S of the network's square.
        fill: grey around the photo in it.
        run: the network.
        doubt: see `petseg.models.manifest.Manifest`.
    """
    whole = Letterbox.fit(photo.shape[1], photo.shape[0], size)
    first = Look(run(planes([whole.apply(photo, fill)]))[0], whole)
    return look_again(first, photo, fill, run, doubt=doubt)


def look_again(first: Look, photo: NDArray[np.uint8], fill: int, run: Run, *, doubt: bool = True) -> Look:
    """The first look, or where the photo asks for it, what closer ones make of it, less what is no pet.

    What little is sure of is looked at once more, closely: if that shows no pet, there is none.

    Args:
        first: at the whole photo.
        photo: (h, w, 3) uint8, the photo or a smaller copy of it.
        fill: grey around it in the square.
        run: the network.
        doubt: see `petseg.models.manifest.Manifest`; False: the looks are taken as they are.
    """
    parts = worth(first)
    closer = _closer_looks(parts, first.letterbox, photo, fill, run) if parts else [first]
    # A single one is a close-up of all that may be a pet.
    look = closer[0] if len(closer) == 1 else _together(first, closer)
    if not doubt:
        return look
    look = _sure(look)
    part = _doubted(look)
    if part is None:
        return look
    (close,) = _closer_looks([part], first.letterbox, photo, fill, run)
    agrees = bool((margin(_sure(close).logits)[close.letterbox.inner] > 0).any())
    return look if agrees else look._replace(logits=rule_out(look.logits, True))


def _closer_looks(
    parts: Sequence[Region], whole: Letterbox, photo: NDArray[np.uint8], fill: int, run: Run
) -> list[Look]:
    height, width = photo.shape[:2]
    boxes = [Letterbox.fit(whole.width, whole.height, whole.size, part) for part in parts]
    squares = [
        Letterbox.fit(width, height, whole.size, _scaled(part, whole, width, height)).apply(photo, fill)
        for part in parts
    ]
    return [Look(*pair) for pair in zip(run(planes(squares)), boxes, strict=True)]


def _sure(look: Look) -> Look:
    return look._replace(logits=without_unsure(look.letterbox, look.logits))


def _doubted(look: Look) -> Region | None:
    """A close-up of all that is a pet, where little of it is sure, and the look was not close already."""
    box = look.letterbox
    if not box.whole:
        return None
    cat, dog = (plane[box.inner] for plane in margins(look.logits))
    if sureness(cat, dog) >= DOUBTED:
        return None
    return close_up(box.width, box.height, _corners(box, np.maximum(cat, dog) > 0))


def worth(first: Look) -> list[Region]:
    """The parts of the photo that are worth a second look; none for an ordinary photo."""
    box = first.letterbox
    if is_wide(box):
        return _tiles(box.width, box.height)
    maybe = margin(first.logits)[box.inner] > MAYBE
    if not maybe.any():
        return []
    if (part := _closer(box, maybe)) is not None:
        return [part]
    return _close_ups(box, maybe) if np.count_nonzero(maybe) <= SPREAD * maybe.size else []


def is_wide(box: Letterbox) -> bool:
    """Whether a photo is so long that it is seen in tiles."""
    return max(box.width, box.height) >= WIDE * min(box.width, box.height)


def _close_ups(box: Letterbox, maybe: NDArray[np.bool_]) -> list[Region]:
    """Those of several small pets apart from each other; none if one of them is large enough as it is."""
    numbers = regions(maybe.view(np.uint8))
    largest = np.argsort(-np.bincount(numbers.ravel())[1:], kind="stable")[:MOST] + 1
    parts: list[Region] = []
    for number in largest.tolist():
        part = _closer(box, numbers == number)
        if part is None:
            return []
        if not any(_inside(part, other) for other in parts):
            parts.append(part)
    return parts


def _closer(box: Letterbox, pixels: NDArray[np.bool_]) -> Region | None:
    """A close-up of pixels (h, w) of the square's inner part, None if they are large enough as they are."""
    part = close_up(box.width, box.height, _corners(box, pixels))
    if part is None or max(part[2] - part[0], part[3] - part[1]) > SMALL * max(box.width, box.height):
        return None
    return part


def _corners(box: Letterbox, pixels: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(2, 2) of the photo, between which pixels (h, w) of the square's inner part lie."""
    corners = np.array(bounds(pixels), np.float64).reshape(2, 2) + np.array([box.left, box.top])
    return box.to_image(corners)


def _inside(part: Region, other: Region) -> bool:
    return part[0] >= other[0] and part[1] >= other[1] and part[2] <= other[2] and part[3] <= other[3]


def _tiles(width: int, height: int) -> list[Region]:
    """Overlapping parts along the longer side of a photo, from end to end."""
    longer, shorter = max(width, height), min(width, height)
    count = min(MOST, int(np.ceil((longer - (TILE - STEP) * shorter) / (STEP * shorter))))
    length = max(TILE * shorter, longer / (count - (count - 1) * (1 - STEP / TILE)))
    starts = np.linspace(0, longer - length, count).round().astype(int).tolist()
    ends = [min(longer, int(np.ceil(start + length))) for start in starts]
    if width >= height:
        return [(start, 0, end, height) for start, end in zip(starts, ends, strict=True)]
    return [(0, start, width, end) for start, end in zip(starts, ends, strict=True)]


def _scaled(part: Region, box: Letterbox, width: int, height: int) -> Region:
    """A region of the photo in pixels of a copy of it."""
    if (width, height) == (box.width, box.height):
        return part
    scale = np.array([width / box.width, height / box.height])
    low, high = np.floor(part[:2] * scale).astype(int), np.ceil(part[2:] * scale).astype(int)
    return int(low[0]), int(low[1]), min(width, int(high[0])), min(height, int(high[1]))


def _together(first: Look, closer: Sequence[Look]) -> Look:
    """All looks at a finer resolution, those that are surer of a place counting more."""
    whole = first.letterbox
    longest = max(whole.width, whole.height)
    finest = min(max(b.region[2] - b.region[0], b.region[3] - b.region[1]) for _, b in closer)
    size = whole.size * min(FINER, int(np.ceil(longest / finest)))
    canvas = Letterbox.fit(whole.width, whole.height, size)
    total = np.full((size, size), _FIRST, np.float32)
    sums = [canvas.see(plane, whole, OUTSIDE) * np.float32(_FIRST) for plane in margins(first.logits)]
    for look in closer:
        weight = canvas.see(_tent(look.letterbox), look.letterbox, 0.0)
        total += weight
        for plane, kept in zip(margins(look.logits), sums, strict=True):
            kept += weight * canvas.see(plane, look.letterbox, 0.0)
    return Look(np.stack([np.zeros_like(total), *(kept / total for kept in sums)]), canvas)


def _tent(box: Letterbox) -> NDArray[np.float32]:
    """(S, S) float32: how much a look counts, less towards the edges of what it shows."""

    def slope(length: int) -> NDArray[np.float32]:
        from_edge = np.minimum(np.arange(length) + 0.5, length - np.arange(length) - 0.5)
        return np.asarray(np.clip(from_edge / (_SLOPE * length), _EDGE, 1), np.float32)

    weight = np.zeros((box.size, box.size), np.float32)
    weight[box.inner] = slope(box.inner_height)[:, None] * slope(box.inner_width)
    return weight
