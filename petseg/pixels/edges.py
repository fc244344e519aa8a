"""The outline at the photo's own resolution, from the colours of the pet and of what is beside it.

The network's pixels are larger than a tuft of fur. Around each place it says roughly which pixels are pet;
their colours, and those of the rest, are told apart by Fisher's linear discriminant, as a guided filter does
(arXiv:1505.00996), from samples of the photo. What that says of a pixel is added to what the network says of
it, within limits: it decides where the network is unsure, and changes nothing where that is sure.

Half-clear pixels are a mixture. The pet's share of their colour is what is left when the rest's mean around
them is taken out, as in Forte's blur fusion (arXiv:2006.14970).
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from petseg.pixels.geometry import Letterbox, Region

COARSER = 2
"""Pixels of the network from one place with colours of its own to the next."""
_SAMPLES = 2
"""Pixels of the photo that are looked at for each place, in both directions, at most."""
_NOISE = 65.0
"""Variance of a colour, of 0..255 squared, that is taken for granted."""
_WEIGHT = 0.3
"""Of what colours say, beside what the network says: neighbours say the same twice."""
_NONE, _FULL = 3.0, 6.0
"""Pixels of the photo to one of the network up to which that counts nothing, and from which on in full.

Where the network saw nearly all that there is, colours say less than it does. Chosen on held-out photos.
"""
MOST = 1.0
"""By how much, at most, colours change the log-odds of a pet."""
_BOTH = 0.2
"""Share of the surroundings that pet and rest must each have, for what colours say to count in full."""
_LITTLE = 1e-3
"""Weight of the photo's mean colour where there is none of a kind around."""


@dataclass(frozen=True, eq=False)
class Edges:
    """Colours of pets, and of what is beside them, around each place of a photo.

    Attributes:
        letterbox: what of the photo lies where in the square of side C; `COARSER` than the network's.
        slopes: (4, C, C) float32, three by which a colour 0..255 is multiplied, and what is added, for by how
            much it raises the log-odds of a pet.
        means: (6, C, C) float32, 0..255, the mean colour of pets, and of the rest.
    """

    letterbox: Letterbox
    slopes: NDArray[np.float32]
    means: NDArray[np.float32]

    @classmethod
    def of(cls, photo: NDArray[np.uint8], fine: Letterbox, odds: NDArray[np.float32]) -> Self:
        """Look at a photo (H, W, 3); `odds` are the log-odds of a pet (S, S) in the square of a letterbox."""
        box = Letterbox.fit(fine.width, fine.height, max(1, fine.size // COARSER), fine.region)
        probable = box.see(np.tanh(odds * np.float32(0.5)), fine, -1.0)[box.inner]  # -1..1
        finer = min(1.0, max(0.0, (fine.pixel - _NONE) / (_FULL - _NONE)))
        slopes, *kinds = _told_apart(_samples(photo, box), np.maximum(probable, 0), np.maximum(-probable, 0))
        planes = np.zeros((10, box.size, box.size), np.float32)
        planes[:, *box.inner] = np.concatenate([slopes * np.float32(_WEIGHT * finer), *kinds])
        return cls(box, planes[:4], planes[4:])

    def says(self, photo: NDArray[np.uint8], box: Region) -> NDArray[np.float32]:
        """(h, w) by how much the colours in a box of the photo (H, W, 3) raise the log-odds of a pet.

        Neighbours share a little of it, or the outline would have the steps of pixels.
        """
        x0, y0, x1, y1 = box
        left, top, right, bottom = self.letterbox.region
        near = max(left, x0 - 1), max(top, y0 - 1), min(right, x1 + 1), min(bottom, y1 + 1)
        *slopes, total = self.letterbox.restore_tile(self.slopes, near)
        part = photo[near[1] : near[3], near[0] : near[2]]
        for channel, slope in enumerate(slopes):
            slope *= part[..., channel]
            total += slope
        np.clip(total, -MOST, MOST, out=total)
        missing = [(near[1] - y0 + 1, y1 + 1 - near[3]), (near[0] - x0 + 1, x1 + 1 - near[2])]
        return _softened(np.pad(total, missing, mode="edge"))

    def clean(self, part: NDArray[np.uint8], opacity: NDArray[np.uint8], box: Region) -> None:
        """Take what is behind the pets out of the half-clear pixels of a part of the photo, (h, w, 3)."""
        if not (opacity - np.uint8(1) < 254).any():  # 0 - 1 is 255
            return
        alpha = opacity * np.float32(1 / 255)
        pets, rest = np.split(self.letterbox.restore_tile(self.means, box), 2)
        seen = part.transpose(2, 0, 1).astype(np.float32)
        # pets + alpha (seen - alpha pets - (1 - alpha) rest); what is seen, where that is solid
        seen -= rest
        pets -= rest
        seen -= alpha * pets
        seen *= alpha
        pets += rest
        pets += seen
        pets += np.float32(0.5)
        part[...] = np.clip(pets, 0, 255, out=pets).astype(np.uint8).transpose(1, 2, 0)


def _samples(photo: NDArray[np.uint8], box: Letterbox) -> NDArray[np.float32]:
    """(9, h, w) the mean at each place of the region of red, green, blue, and of their six products."""
    count = min(_SAMPLES, max(1, round(box.pixel / 2)))
    x0, y0, x1, y1 = box.region
    rows, columns = (
        start + ((np.arange(length * count) + 0.5) * (end - start) / (length * count)).astype(int)
        for start, end, length in ((y0, y1, box.inner_height), (x0, x1, box.inner_width))
    )
    seen = photo[rows][:, columns].astype(np.float32)
    channels = [np.ascontiguousarray(seen[..., channel]) for channel in range(3)]
    products = [channels[one] * channels[other] for one, other in _PAIRS]
    return np.stack([np.asarray(Image.fromarray(plane).reduce(count)) for plane in (*channels, *products)])


_PAIRS = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
"""Channels whose products make a covariance."""


def _softened(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    """(h, w) the means by 1, 2, 1 in both directions, of (h + 2, w + 2)."""
    rows = plane[:-2] + plane[2:]
    rows += plane[1:-1]
    rows += plane[1:-1]
    result: NDArray[np.float32] = rows[:, :-2] + rows[:, 2:]
    result += rows[:, 1:-1]
    result += rows[:, 1:-1]
    result *= np.float32(1 / 16)
    return result


def _blurred(planes: NDArray[np.float32]) -> NDArray[np.float32]:
    """(..., h, w) by a binomial of standard deviation 1."""
    for axis in (-2, -1):
        pads = [(0, 0)] * planes.ndim
        pads[axis] = (2, 2)
        padded = np.moveaxis(np.pad(planes, pads, mode="edge"), axis, 0)
        length = planes.shape[axis]
        taps = [padded[start : start + length] for start in range(5)]
        total = taps[0] + taps[4] + 4 * (taps[1] + taps[3]) + 6 * taps[2]
        planes = np.moveaxis(total * np.float32(1 / 16), 0, axis)
    return planes


def _told_apart(
    colours: NDArray[np.float32], pet: NDArray[np.float32], rest: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Slopes (4, h, w) as in `Edges`, and the mean colours (3, h, w) of pets and of the rest.

    Args:
        colours: (9, h, w) as `_samples` gives them.
        pet, rest: (h, w) how sure it is that a place is one or the other, 0..1.
    """
    products = colours[3:] * (pet + rest)
    around = _blurred(np.concatenate([products, *(_weighed(colours[:3], kind) for kind in (pet, rest))]))
    near, beside = around[9], around[13]
    pets, others = (
        (sums + _LITTLE * _overall(colours, kind)) / (weight + _LITTLE)
        for sums, weight, kind in ((around[6:9], near, pet), (around[10:13], beside, rest))
    )
    total = near + beside + np.float32(_LITTLE)
    within = [
        (product - near * pets[one] * pets[other] - beside * others[one] * others[other]) / total
        + np.float32(_NOISE * (one == other))
        for product, (one, other) in zip(around, _PAIRS, strict=False)
    ]
    slopes = _solved(within, pets - others)
    slopes *= np.clip(np.minimum(near, beside) / np.float32(_BOTH), 0, 1)
    return np.concatenate([slopes, -(slopes * (pets + others)).sum(0, keepdims=True) / 2]), pets, others


def _weighed(colours: NDArray[np.float32], weight: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.concatenate([colours * weight, weight[None]])


def _overall(colours: NDArray[np.float32], weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """(3, 1, 1) the mean of red, green and blue, by weight (h, w)."""
    sums = (colours[:3] * weight).sum((1, 2), keepdims=True)
    return np.asarray(sums / np.maximum(weight.sum(), np.float32(_LITTLE)))


def _solved(matrix: list[NDArray[np.float32]], right: NDArray[np.float32]) -> NDArray[np.float32]:
    """(3, h, w) x of Ax = b, of symmetric 3 x 3 matrices whose six entries are (h, w) each."""
    a, b, c, d, e, f = matrix
    rows = (
        (d * f - e * e, c * e - b * f, b * e - c * d),
        (c * e - b * f, a * f - c * c, b * c - a * e),
        (b * e - c * d, b * c - a * e, a * d - b * b),
    )
    determinant = a * rows[0][0] + b * rows[0][1] + c * rows[0][2]
    return np.stack([(x * right[0] + y * right[1] + z * right[2]) / determinant for x, y, z in rows])
