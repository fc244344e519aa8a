"""What is known after some clicks: the answer to them, and all that it takes to go on from it."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from petseg.clicks import closeup
from petseg.clicks.prompts import Prompt
from petseg.pixels.decision import OUTSIDE, margin
from petseg.pixels.geometry import Letterbox, bounds
from petseg.pixels.readonly import ReadOnly


@dataclass(frozen=True, eq=False)
class ClickState(ReadOnly):
    """A promptable model's answer to some clicks.

    Attributes:
        prompt: what was answered, in pixels of the photo.
        letterbox: the photo, or the region of it, that the model saw last.
        square: (S, S, 3) uint8: that, as the model saw it.
        logits: (3, S, S) float32: background, cat, dog.
        alone: whether the photo shows hardly a pet but those that hang together under the one click (see
            `petseg.clicks.animal.Pets`); None where that was not looked for.
    """

    prompt: Prompt
    letterbox: Letterbox
    square: NDArray[np.uint8]
    logits: NDArray[np.float32]
    alone: bool | None = None

    @property
    def found(self) -> NDArray[np.float64]:
        """The corners (2, 2) of what was called pet, in pixels of the photo; (0, 2) if nothing."""
        pet = margin(self.logits)[self.letterbox.inner] > 0
        if not pet.any():
            return np.zeros((0, 2))
        corners = np.array(bounds(pet), np.float64).reshape(2, 2)
        return self.letterbox.to_image(corners + np.array([self.letterbox.left, self.letterbox.top]))

    def value(self, point: NDArray[np.float64]) -> float:
        """By how much a pet exceeds background at a point (2,) of the photo, `OUTSIDE` if it is not seen."""
        if not self.letterbox.contains(point[None]):
            return OUTSIDE
        ((x, y),) = self.letterbox.to_model(point[None])
        last = self.letterbox.size - 1
        return float(margin(self.logits)[min(int(y), last), min(int(x), last)])

    @property
    def shown(self) -> NDArray[np.float64]:
        """The points (N, 2) that a close-up of what was found must show: that, wanted clicks and the box."""
        return np.concatenate([closeup.wanted(self.prompt), self.found])

    @property
    def doubted(self) -> bool:
        """Whether nothing was called pet, but somewhere nearly."""
        return bool(closeup.DOUBT < margin(self.logits)[self.letterbox.inner].max() <= 0)

    def mean(self, other: "ClickState") -> "ClickState":
        """This answer with the mean of its logits and those of another one about the same photo."""
        logits = (self.logits - self.logits[0] + other.resampled(self.letterbox)) / np.float32(2)
        return replace(self, logits=logits)

    def resampled(self, letterbox: Letterbox) -> NDArray[np.float32]:
        """The logits at the pixels of another letterbox of the photo, (3, S, S); beyond it is background."""
        if letterbox == self.letterbox:
            return self.logits
        margins = zip(self.logits - self.logits[0], (0, OUTSIDE, OUTSIDE), strict=True)
        return np.stack([letterbox.see(plane, self.letterbox, outside) for plane, outside in margins])
