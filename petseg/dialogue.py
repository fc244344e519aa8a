"""A conversation about one photo: clicks, a box, and the answers to them, each from the one before.

A promptable model is asked in the same few steps each time: predict on the whole photo; where what was found
is small, zoom in on it and predict again; where it is large, predict at a second scale, and take the mean.
A further click corrects the answer before it (see `petseg.clicks.corrections`).
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from petseg.clicks import closeup, corrections, prompts
from petseg.clicks.animal import Pets, one_animal
from petseg.clicks.prompts import Prompt
from petseg.clicks.state import ClickState
from petseg.engine.network import Network, planes, semantic
from petseg.lazy import lazy
from petseg.pixels.geometry import Letterbox, Region


class _View(NamedTuple):
    """A letterbox of the photo, and the square (S, S, 3) uint8 that it makes of it."""

    letterbox: Letterbox
    square: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Dialogue:
    """A photo, and a promptable network that is asked about it.

    It keeps nothing of what was said: that is in each `ClickState`, so any number of threads may share one.

    Attributes:
        network: of a model that takes prompts.
        photo: (H, W, 3) uint8 RGB, upright.
    """

    network: Network
    photo: NDArray[np.uint8]

    def answer(self, prompt: Prompt, state: ClickState | None = None) -> ClickState:
        """Answer all clicks of a prompt, one after the other.

        Args:
            prompt: in pixels of the photo, of kinds that the model takes.
            state: where to go on from, if that is on the way to the prompt; else all begins anew. An answer
                of the same network about the same photo.

        Raises:
            DeviceError: the device gave up.
            ModelError: the network answered with NaN or infinity.
        """
        if state is not None and not corrections.leads_to(state.prompt, prompt):
            state = None
        steps = corrections.steps(prompt, None if state is None else state.prompt)
        if state is None:
            state = self.first(next(steps))
        for step in steps:
            state = self.next(state, step)
        return state

    def first(self, prompt: Prompt) -> ClickState:
        """Answer a prompt that no answer precedes. Errors as for `answer`."""
        view = self._crop(closeup.wanted(prompt)) if prompt.box is not None else None
        state = self._predict(prompt, view or self._whole)
        if state.letterbox.whole:
            if state.doubted and len(prompt.points):
                state = self._crop_at_click(state)
            state = self._zoom_in(state)
        if state.letterbox.whole:
            state = self._second_scale(state)
        return _tidied(state)

    def next(self, state: ClickState, prompt: Prompt) -> ClickState:
        """Answer a prompt with one click more than `state`, which is corrected. Errors as for `answer`."""
        # Where the click is in sight: to shrink a photo again costs more than the network.
        in_sight = state.letterbox.contains(closeup.wanted(prompt))
        view = _View(state.letterbox, state.square) if in_sight else self._whole
        predicted = self._predict(prompt, view, alone=state.alone)
        ((x, y),) = predicted.letterbox.to_model(prompt.points[-1:])
        before = state.resampled(predicted.letterbox)
        positive = bool(prompt.positive[-1])
        logits = corrections.corrected(before, predicted.logits, (x, y), positive=positive)
        corrected = replace(predicted, logits=logits)
        return _tidied(self._zoom_in(corrected) if corrected.letterbox.whole else corrected)

    @lazy
    def _whole(self) -> _View:
        """The whole photo."""
        return self._view(None)

    def _view(self, region: Region | None) -> _View:
        """A region of the photo, None for all of it."""
        height, width = self.photo.shape[:2]
        letterbox = Letterbox.fit(width, height, self.network.manifest.size, region)
        return _View(letterbox, letterbox.apply(self.photo, self.network.manifest.fill))

    def _region(self, corners: NDArray[np.float64], *, tight: bool = False) -> Region | None:
        """The close-up of what lies between these points (N, 2), None if it is not worth it."""
        if not self.network.manifest.zoom:
            return None
        height, width = self.photo.shape[:2]
        return closeup.close_up(width, height, corners, tight=tight)

    def _crop(self, corners: NDArray[np.float64], *, tight: bool = False) -> _View | None:
        """A view of `_region`."""
        region = self._region(corners, tight=tight)
        return None if region is None else self._view(region)

    def _crop_at_click(self, state: ClickState) -> ClickState:
        """The answer from a crop around the first click, if that finds something, else the answer before."""
        height, width = self.photo.shape[:2]
        view = self._crop(closeup.around(width, height, state.prompt.points[0]))
        if view is None:
            return state
        # A crop may show one animal of several; how many there are is what the whole photo said.
        cropped = replace(self._predict(state.prompt, view, alone=False), alone=state.alone)
        return cropped if len(cropped.found) else state

    def _zoom_in(self, state: ClickState) -> ClickState:
        """The answer from the last of some crops, each around what was found in the view before."""
        for _ in range(closeup.ZOOMS):
            if not len(state.found):
                break
            region = self._region(state.shown)
            if region is None or closeup.overlap(region, state.letterbox.region) > closeup.SAME:
                break
            state = self._predict(state.prompt, self._view(region), alone=state.alone)
        return state

    def _second_scale(self, state: ClickState) -> ClickState:
        """The answer about the whole photo, its mean with that from a tight crop around what was found."""
        view = self._crop(state.shown, tight=True) if len(state.found) else None
        return state if view is None else state.mean(self._predict(state.prompt, view, alone=state.alone))

    def _predict(self, prompt: Prompt, view: _View, *, alone: bool | None = None) -> ClickState:
        """The network's answer to a prompt about a view; `alone` as in `ClickState`, None to find it out."""
        image, encoded = planes([view.square]), prompts.encode(prompt, view.letterbox)[None]
        outputs = self._run(image, encoded)
        if self.network.manifest.mirror:
            flipped = np.ascontiguousarray(image[..., ::-1]), np.ascontiguousarray(encoded[..., ::-1])
            mirrored = self._run(*flipped)
            outputs = [
                (one + other[..., ::-1]) / np.float32(2) for one, other in zip(outputs, mirrored, strict=True)
            ]
        logits = outputs[0]
        if self.network.manifest.semantic and prompt.kinds == ["point"] and len(prompt.points) == 1:
            ((x, y),) = view.letterbox.to_model(prompt.points)
            pets = Pets(logits, outputs[1], view.letterbox.inner, (x, y))
            alone = pets.alone if alone is None else alone
            logits = pets.completed(alone=alone)
        return ClickState(prompt, *view, logits, alone)

    def _run(self, image: NDArray[np.uint8], encoded: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """Logits of the clicked animal, (3, S, S), and, if the model gives them, of all pets, (3, s, s)."""
        features = self.network.encode(image)
        outputs = [self.network.answer(features, encoded)[0]]
        return [*outputs, semantic(features)[0]] if self.network.manifest.semantic else outputs


def _tidied(state: ClickState) -> ClickState:
    """The answer, as one animal where one is meant: if there is at most one wanted click."""
    if np.count_nonzero(state.prompt.positive) > 1:
        return state
    return replace(state, logits=one_animal(state.logits))
