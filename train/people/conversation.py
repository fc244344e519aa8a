"""Simulated people and a promptable model talk about a batch of photos, on the device where the model is.

Who asks about what, and the first clicks, are drawn photo by photo (`train.people.targets`), in the processes
that augment; what depends on the model's answers is done here, for all together.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from petseg.clicks.prompts import BOX_EVIDENCE, SIGMA, SIGMA_SIZE
from petseg.pixels.classes import BORDER
from train.people.targets import MORE, Session

NOBODY = -1
"""In the place of an animal's number, and of a click's sign: there is none."""
FINEST = 80
"""In squares with a longer side, only every second, third, ... pixel is looked at for what is wrong."""
DEEPEST = 12
"""Depth, in the pixels that are looked at, from which on all places in a wrong region are alike."""


class Asked(NamedTuple):
    """P people about a photo; collated, each tensor has one more axis B in front.

    Attributes:
        number: (P,) int64, the animal in `Scene.instances`, 0 for the background, `NOBODY`.
        points: (P, K, 2) float32, x, y of clicks in pixels of the square.
        signs: (P, K) int8, 1 for a click on what is meant, 0 for one beside it, `NOBODY` for no click.
        box: (P, 4) float32 x0, y0, x1, y1, NaN without one.
        draws: (P, R) float32 in 0..1, where in a wrong region the corrections to come are.
    """

    number: Tensor
    points: Tensor
    signs: Tensor
    box: Tensor
    draws: Tensor


def pack_sessions(
    sessions: Sequence[Session], people: int, corrections: int, generator: np.random.Generator
) -> Asked:
    """The sessions about one photo, at most `people`.

    Args:
        corrections: how many of them each may make.
        generator: of the draws.
    """
    clicks = 1 + MORE + corrections
    number = torch.full((people,), NOBODY, dtype=torch.int64)
    points, signs = torch.zeros(people, clicks, 2), torch.full((people, clicks), NOBODY, dtype=torch.int8)
    box = torch.full((people, 4), torch.nan)
    for row, session in enumerate(sessions):
        number[row] = session.target.number
        if session.box is not None:
            box[row] = torch.from_numpy(session.box)
        if count := len(session.points):
            points[row, :count] = torch.tensor(session.points)
            signs[row, :count] = torch.tensor(session.positive, dtype=torch.int8)
    draws = torch.from_numpy(generator.random((people, corrections), np.float32))
    return Asked(number, points, signs, box, draws)


class Conversation:
    """All N = B * P people of a batch, those of a photo one after the other.

    Args:
        instances: (B, S, S) uint8.
        species: (B, 256) uint8, see `train.data.scenes.Scene`.
        asked: a batch of `Asked`.

    Attributes:
        exists: (N,) bool, False for nobody.
        labels: (N, S, S) int64, the right answers: the animal in its class, all else background, 255 unknown
            (everywhere for nobody).
        pets: (B, S, S) int64, every animal in its class, all else background, 255 unknown.
    """

    def __init__(self, instances: Tensor, species: Tensor, asked: Asked) -> None:
        people = asked.number.shape[1]
        number, self._points, self._signs, self._box, self._draws = (t.flatten(0, 1) for t in asked)
        self._points, self._signs = self._points.clone(), self._signs.clone()  # corrections are written there
        self.exists = number != NOBODY
        every = instances.repeat_interleave(people, 0)
        number = number.clamp(min=0)
        own = species.gather(1, number.reshape(-1, people)).reshape(-1, 1, 1).long()
        self.pets = species.gather(1, instances.flatten(1).long()).reshape(instances.shape).long()
        unknown = (every == BORDER) | ~self.exists[:, None, None]
        self.labels = torch.where(every == number[:, None, None], own, 0).masked_fill(unknown, BORDER)
        self._corrections = 0

    def prompt(self) -> Tensor:
        """What the network is fed, (N, 2, S, S) float32."""
        return encode(self._points, self._signs, self._box, self.labels.shape[-1])

    def correct(self, logits: Tensor) -> Tensor:
        """Each clicks into the region that is most deeply wrong, on the animal if it was missed there.

        Args:
            logits: (N, 3, S, S), the answers to `prompt()`.

        Returns:
            The next prompt. Where nothing is wrong, it is the one before.
        """
        step = max(1, -(-self.labels.shape[-1] // FINEST))
        seen, labels = logits[:, :, ::step, ::step], self.labels[:, ::step, ::step]
        # Not argmax, which takes as long as a whole encoding on channels-last logits.
        pet = torch.maximum(seen[:, 1], seen[:, 2]) > seen[:, 0]
        wanted = (labels != 0) & (labels != BORDER)
        depths = depth(torch.stack([wanted & ~pet, (labels == 0) & pet]))
        highest = depths.amax((2, 3))
        false = highest[1] > highest[0]
        deepest = torch.maximum(*highest)
        chosen = torch.where(false[:, None, None], depths[1], depths[0])
        region = (chosen >= deepest[:, None, None] / 2) & (chosen > 0)
        place = pick(region.flatten(1), self._draws[:, self._corrections])
        width = region.shape[-1]
        # A column of its own at the end of the start's.
        column = self._signs.shape[1] - self._draws.shape[1] + self._corrections
        self._points[:, column] = torch.stack([place % width, place // width], 1) * step + 0.5
        self._signs[:, column] = torch.where(deepest > 0, (~false).to(torch.int8), NOBODY)
        self._corrections += 1
        return self.prompt()


def encode(points: Tensor, signs: Tensor, box: Tensor, size: int) -> Tensor:
    """`petseg.clicks.prompts.encode` for many prompts in pixels of the square, (N, 2, size, size) float32.

    Args:
        points, signs, box: (N, K, 2), (N, K), (N, 4), see `Asked`.
    """
    sigma = SIGMA * size / SIGMA_SIZE
    centres = torch.arange(size, device=points.device) + 0.5

    def fall(distance: Tensor) -> Tensor:
        return torch.exp(-0.5 * (distance / sigma) ** 2)

    columns, rows = fall(centres - points[..., :1]), fall(centres - points[..., 1:])
    maps = points.new_zeros(len(points), 2, size, size)
    for click in range(points.shape[1]):
        bump = rows[:, click, :, None] * columns[:, click, None, :]
        for channel, sign in enumerate((1, 0)):
            of_sign = (signs[:, click] == sign)[:, None, None]
            maps[:, channel] = torch.maximum(maps[:, channel], bump * of_sign)
    x0, y0, x1, y1 = box.nan_to_num()[..., None].unbind(1)
    beyond_x, beyond_y = (
        torch.maximum(low - centres, centres - high).clamp(min=0) for low, high in ((x0, x1), (y0, y1))
    )
    inside = fall(beyond_y)[:, :, None] * fall(beyond_x)[:, None, :]
    evidence = torch.stack([inside, 1 - inside], 1) * BOX_EVIDENCE
    return torch.where(box.isnan().any(1)[:, None, None, None], maps, torch.maximum(maps, evidence))


def depth(masks: Tensor) -> Tensor:
    """Chessboard distance of each true pixel to the nearest other one, at most `DEEPEST`.

    The edge of the square counts as outside: (..., H, W) bool -> the same shape, float32.
    """
    left = masks.flatten(0, -3)[:, None].float()
    total = left.clone()
    for _ in range(DEEPEST - 1):
        left = -F.max_pool2d(F.pad(-left, (1, 1, 1, 1)), 3, stride=1)
        total += left
    return total.reshape(masks.shape)


def pick(allowed: Tensor, draws: Tensor) -> Tensor:
    """A place in each row, each that is allowed as likely; 0 where none is.

    Args:
        allowed: (N, M) bool.
        draws: (N,) in 0..1, which of them.

    Returns:
        (N,) int64.
    """
    counted = allowed.cumsum(1)
    wanted = (draws * counted[:, -1]).long() + 1  # draws are below 1, but their product may round up
    found = torch.searchsorted(counted, torch.minimum(wanted, counted[:, -1])[:, None])[:, 0]
    return torch.where(counted[:, -1] > 0, found, 0)
