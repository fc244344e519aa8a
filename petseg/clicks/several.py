"""Several animals of one photo, each of which was pointed at."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from petseg.clicks.state import ClickState
from petseg.lazy import lazy
from petseg.pixels.decision import margin
from petseg.pixels.geometry import Letterbox
from petseg.pixels.readonly import frozen

FINER = 4
"""How many times the square's resolution several close-ups are put together at, at most."""
OWN = 2.5
"""Pixels around a wanted click that are its animal's in any case."""


@dataclass(frozen=True, eq=False)
class Several:
    """What is known of each of some animals, in the order in which they were pointed at.

    No pixel is of two of them: it is of the animal whose answer is surest of it, or that was clicked there.

    Attributes:
        states: the answer to what was said of each, K of them.
    """

    states: tuple[ClickState, ...]

    @lazy
    def letterbox(self) -> Letterbox:
        """What of the photo lies where in the square of `planes`: what all answers show, or all of it."""
        boxes = [state.letterbox for state in self.states]
        if all(box == boxes[0] for box in boxes):
            return boxes[0]
        first = boxes[0]
        finest = min(max(x1 - x0, y1 - y0) for x0, y0, x1, y1 in (box.region for box in boxes))
        finer = min(FINER, int(np.ceil(max(first.width, first.height) / finest)))
        return Letterbox.fit(first.width, first.height, first.size * finer)

    @property
    def planes(self) -> NDArray[np.float32]:
        """(K, S, S) float32: by how much each animal exceeds background; a pixel is of the highest."""
        return self._together[0]

    @property
    def logits(self) -> NDArray[np.float32]:
        """(3, S, S) float32: background, cat, dog, at each pixel of the animal that it is of."""
        return self._together[1]

    @lazy
    def _together(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        # Of many animals the logits of each, so fine, weigh more than a hundred megabytes: they are not kept.
        resampled = [state.resampled(self.letterbox) for state in self.states]
        planes = self._exclusive(np.stack([margin(logits) for logits in resampled]))
        owner = planes.argmax(0)
        chosen = np.empty_like(resampled[0])
        for own, logits in enumerate(resampled):
            np.copyto(chosen, logits - logits[0], where=owner == own)
        return frozen(planes), frozen(chosen)

    def _exclusive(self, planes: NDArray[np.float32]) -> NDArray[np.float32]:
        """The planes (K, S, S), of which each is the highest where its animal was clicked; in place."""
        centres = np.arange(self.letterbox.size) + 0.5
        for own, state in enumerate(self.states):
            for x, y in self.letterbox.to_model(state.prompt.points[state.prompt.positive]).tolist():
                here = np.hypot(centres - x, centres[:, None] - y) <= OWN
                here &= planes[own] > 0
                planes[own][here] = np.maximum(planes[own], planes.max(0) + 1)[here]
        return planes
