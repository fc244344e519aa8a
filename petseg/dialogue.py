"""A conversation about one photo: clicks, a box, and the answers to them, each from the one before.

A promptable model is asked in the same few steps each time: predict on the whole photo; where what was found
is small, zoom in on it and predict again; where it is large, predict at a second scale, and take the mean.
What may be another animal than the clicked one counts less (see `petseg.clicks.apart`), and where the answer
is all pets of the photo, the model that finds those is heard too. A further click corrects the answer before
it (see `petseg.clicks.corrections`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from petseg.clicks import apart, closeup, corrections, prompts
from petseg.clicks.animal import RULED_OUT, Pets, one_animal, shown_coarsely
from petseg.clicks.prompts import Prompt
from petseg.clicks.state import ClickState
from petseg.engine.network import Network, planes, semantic, vectors
from petseg.engine.presence import Presence, Seen
from petseg.lazy import lazy
from petseg.pixels.decision import OUTSIDE, margin
from petseg.pixels.geometry import Letterbox, Region

NEAR = 0.02
"""How far beside a pet a click may be that means it, over the longer side of the photo."""
INSIDE = 0.01
"""How much farther away, at most, the place is that is taken for it: the deepest there."""
AGREE = 0.7
"""IoU of what was clicked on with all pets of the photo from which on they are the same."""
ANOTHER = -4.0
"""Margin of the answers to two clicks, each at the other click, below which they are on two animals."""
MOST_IN_TURN = corrections.STEPS
"""Clicks on one animal that are answered one after the other; of more, the earlier ones together."""


class Clicked(NamedTuple):
    """What is known after some clicks that were not said to be about certain animals.

    Attributes:
        states: for each animal that they turned out to be about.
        missed: (M, 2) those on no pet, which changed nothing.
    """

    states: tuple[ClickState, ...]
    missed: NDArray[np.float64]


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
        presence: says whether there is a pet where something was found; None: nobody does.
    """

    network: Network
    photo: NDArray[np.uint8]
    presence: Presence | None = None

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
        """Answer a prompt that no answer precedes; a click just beside a pet is one on it.

        Errors as for `answer`.
        """
        state = self._if_pet(self._first(prompt))
        if not prompt.is_one_click or len(state.found):
            return state
        nearby = self._nearby(prompt.points[0])
        return state if nearby is None else self._if_pet(self._first(replace(prompt, points=nearby[None])))

    def _if_pet(self, state: ClickState) -> ClickState:
        """The answer, which finds nothing where neither the photo nor the last view of it shows a pet.

        Nor to a single click that the photo may not even show one near to. Of who knows pets it learns, too.
        """
        seen = self._seen if len(state.found) else None
        if seen is None or self.presence is None:
            return state
        near = _around(state.prompt, NEAR * max(self.photo.shape[:2]))
        if near is None or seen.may_show_pet(near):
            if seen.shows_pet(near):
                return _agreed(state, seen)
            part = None if state.letterbox.whole else self.presence.see(self.photo, state.letterbox.region)
            if part is not None and part.shows_pet(near):
                return state
        return replace(state, logits=np.stack([state.logits[0], *np.full_like(state.logits[1:], OUTSIDE)]))

    def _first(self, prompt: Prompt) -> ClickState:
        view = self._crop(closeup.wanted(prompt)) if prompt.box is not None else None
        state = self._predict(prompt, view or self._whole)
        if state.letterbox.whole:
            if state.doubted and len(prompt.points):
                state = self._crop_at_click(state)
            state = self._zoom_in(state)
        if state.letterbox.whole:
            state = self._second_scale(state)
        return _tidied(self._without_others(state))

    def next(self, state: ClickState, prompt: Prompt) -> ClickState:
        """Answer a prompt with one click more than `state`, which is corrected. Errors as for `answer`."""
        view = self._in_sight(state, closeup.wanted(prompt))
        predicted = self._predict(prompt, view, alone=state.alone)
        ((x, y),) = predicted.letterbox.to_model(prompt.points[-1:])
        before = state.resampled(predicted.letterbox)
        positive = bool(prompt.positive[-1])
        logits = corrections.corrected(before, predicted.logits, (x, y), positive=positive)
        corrected = replace(predicted, logits=logits)
        after = _tidied(self._zoom_in(corrected) if corrected.letterbox.whole else corrected)
        return after if len(state.found) else self._if_pet(after)

    def go_on(
        self, prompt: Prompt, asked: Sequence[Prompt] = (), states: tuple[ClickState, ...] = ()
    ) -> Clicked:
        """Answer a prompt of which nobody said that it is about several animals, though it may be.

        Args:
            prompt: what was asked about the first animal before, and what is asked now.
            asked: what was asked about each animal before.
            states: the answers to that, if they are of this network.

        Raises:
            DeviceError, ModelError: as for `answer`.
        """
        nothing = np.zeros((0, 2))
        before, count = len(asked[0].points) if asked else 0, len(prompt.points)
        if len(asked) > 1:
            states = states or tuple(map(self.answer, asked))
        elif prompt.box is not None or count < 2 or count - before > MOST_IN_TURN:
            return Clicked((self.answer(prompt, states[0] if states else None),), nothing)
        elif not states:
            before = 0
        more = replace(prompt, points=prompt.points[before:], positive=prompt.positive[before:])
        return self.clicked(more, states)

    def each(
        self, animals: Sequence[Prompt], asked: Sequence[Prompt] = (), states: tuple[ClickState, ...] = ()
    ) -> tuple[ClickState, ...]:
        """Answer what is said of each of several animals.

        Args:
            animals: of those that were asked about before what is added, and what is asked of new ones.
            asked, states: see `go_on`.

        Raises:
            DeviceError, ModelError: as for `answer`.
        """
        result = list(states) or [self.answer(prompt) for prompt in asked]
        for number, prompt in enumerate(animals):
            if number == len(result):
                result.append(self.answer(prompt))
                continue
            more = result[number].prompt
            for point, positive in zip(prompt.points, prompt.positive.tolist(), strict=True):
                more = more.with_click(point, positive=positive)
            result[number] = self.answer(more, result[number])
        return self.settled(tuple(result))

    def clicked(self, prompt: Prompt, states: tuple[ClickState, ...] = ()) -> Clicked:
        """Answer clicks one after the other, each about the animal that it is on.

        A positive click on an animal that was not clicked yet begins another answer; one that is on no pet,
        nor just beside one, changes nothing. The first answer is as `answer` gives it.

        Args:
            prompt: clicks, and perhaps a box for the first ones.
            states: what to go on from.

        Raises:
            DeviceError, ModelError: as for `answer`.
        """
        missed: list[NDArray[np.float64]] = []
        begun = 0
        if not states:
            first = next(corrections.steps(prompt))
            states, begun = (self.first(first),), len(first.points)
        for point, positive in zip(prompt.points[begun:], prompt.positive[begun:].tolist(), strict=True):
            after = self._one_more(states, point, positive=positive)
            if after is None:
                missed.append(point)
            else:
                states = after
        return Clicked(states, np.array(missed).reshape(-1, 2))

    def _one_more(
        self, states: tuple[ClickState, ...], point: NDArray[np.float64], *, positive: bool
    ) -> tuple[ClickState, ...] | None:
        """The states after one more click; None if that is on nothing."""
        values = [state.value(point) for state in states]
        best = int(np.argmax(values))
        covered = values[best] > 0
        if positive and (covered or values[best] < ANOTHER) and all(len(state.found) for state in states):
            view = self._in_sight(states[best], point[None])
            alone = self._predict(Prompt(point[None], np.array([True])), view)
            if alone.value(point) > 0:
                # Nobody corrects what is right: a click on what was found before may mean one of two there.
                limit = 0.0 if covered else ANOTHER
                if all(_another(alone, state, limit) for state in states):
                    return self.settled((*states, self.first(alone.prompt)))
            elif not covered and self._nearby(point) is None and not self._shows(point):
                return None
        more = self.next(states[best], states[best].prompt.with_click(point, positive=positive))
        return self.settled((*states[:best], more, *states[best + 1 :]))

    def settled(self, states: tuple[ClickState, ...]) -> tuple[ClickState, ...]:
        """The states, after each that covers a wanted click of another animal was told that it is not its."""
        result = list(states)
        for own in range(len(states)):
            for other in states[:own] + states[own + 1 :]:
                for point in other.prompt.points[other.prompt.positive]:
                    told = (result[own].prompt.points == point).all(1).any()
                    if not told and result[own].value(point) > 0:
                        prompt = result[own].prompt.with_click(point, positive=False)
                        result[own] = self.next(result[own], prompt)
        return tuple(result)

    @lazy
    def _pets(self) -> NDArray[np.bool_] | None:
        """(s, s) where the whole photo shows a pet; None of a network that does not say so."""
        if not self.network.manifest.semantic:
            return None
        found = margin(semantic(self.network.encode(planes([self._whole.square])))[0]) > 0
        box = self._whole.letterbox
        return np.asarray(found & shown_coarsely(box.inner, box.size, box.size // len(found)))

    def _shows(self, point: NDArray[np.float64]) -> bool:
        """Whether there is a pet at a point (2,), whoever it is."""
        pets = self._pets
        if pets is None:
            return False
        x, y = self._cell(point, pets).astype(int).clip(0, len(pets) - 1)
        return bool(pets[y, x])

    def _cell(self, point: NDArray[np.float64], pets: NDArray[np.bool_]) -> NDArray[np.float64]:
        """A point of the photo in cells of `_pets`."""
        (cell,) = self._whole.letterbox.to_model(point[None]) * len(pets) / self._whole.letterbox.size
        return np.asarray(cell)

    def _nearby(self, point: NDArray[np.float64]) -> NDArray[np.float64] | None:
        """A place (2,) on the pet that a point is just beside; None on a pet, or farther away from all."""
        pets = self._pets
        if pets is None or self._shows(point) or not pets.any():
            return None
        cells = np.argwhere(pets)[:, ::-1] + 0.5
        distances = np.hypot(*(cells - self._cell(point, pets)).T)
        if distances.min() > NEAR * len(pets):
            return None
        close = distances <= distances.min() + INSIDE * len(pets)
        columns, rows = cells[close].astype(int).T
        deepest = int(apart.depths(pets)[rows, columns].argmax())
        scale = self._whole.letterbox.size / len(pets)
        return np.asarray(self._whole.letterbox.to_image(cells[close][deepest : deepest + 1] * scale)[0])

    def _in_sight(self, state: ClickState, points: NDArray[np.float64]) -> _View:
        """The view of a state if it shows points (N, 2), else the whole photo.

        To shrink a photo again costs more than the network.
        """
        return _View(state.letterbox, state.square) if state.letterbox.contains(points) else self._whole

    @lazy
    def _seen(self) -> Seen | None:
        """What is said of the whole photo, asked once however many animals are pointed at."""
        return None if self.presence is None else self.presence.see(self.photo, None)

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

    def _without_others(self, state: ClickState) -> ClickState:
        """The answer to one click, each pixel less sure by how unsure it is to be of the animal there."""
        if not (self.network.manifest.apart and state.prompt.is_one_click):
            return state
        said = vectors(self.network.encode(planes([state.square])))[0]
        spot = state.letterbox.to_model(state.prompt.points)
        same = apart.margins(said, spot, state.letterbox.size).clip(apart.LOW, apart.HIGH)
        logits = state.logits - state.logits[0]
        logits[1:] -= apart.HIGH - same
        return replace(state, logits=logits)

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
        if self.network.manifest.semantic and prompt.is_one_click:
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


def _around(prompt: Prompt, reach: float) -> NDArray[np.float64] | None:
    """The corners (2, 2) of what a single click may mean, so far around it; None for other prompts."""
    return prompt.points + np.array([[-reach], [reach]]) if prompt.is_one_click else None


def _tidied(state: ClickState) -> ClickState:
    """The answer, as one animal where one is meant: if there is at most one wanted click."""
    if np.count_nonzero(state.prompt.positive) > 1:
        return state
    return replace(state, logits=one_animal(state.logits))


def _agreed(state: ClickState, seen: Seen) -> ClickState:
    """The answer to one click; if it is about all pets of the photo, its mean with what is said of those."""
    if not (state.letterbox.whole and state.prompt.is_one_click):
        return state
    own, pets = margin(state.logits), state.letterbox.see(margin(seen.logits), seen.letterbox, OUTSIDE)
    # What the answer rules out is another animal, however sure of a pet the other model is.
    pets = np.where(own < RULED_OUT, np.minimum(pets, own), pets)
    if np.count_nonzero((own > 0) & (pets > 0)) < AGREE * np.count_nonzero((own > 0) | (pets > 0)):
        return state
    nothing = np.zeros_like(pets)
    both = _tidied(
        replace(state, logits=np.stack([nothing, *(state.logits[1:] - state.logits[0] + pets) / 2]))
    )
    return both if both.value(state.prompt.points[0]) > 0 else state


def _another(alone: ClickState, state: ClickState, limit: float) -> bool:
    """Whether the answer to one click leaves out, with margins below a limit, what other clicks are about."""
    (click,) = alone.prompt.points
    wanted, box = state.prompt.points[state.prompt.positive], state.prompt.box
    if box is not None and (click >= box[:2]).all() and (click <= box[2:]).all():
        return False
    return max((alone.value(point) for point in wanted), default=OUTSIDE) < limit
