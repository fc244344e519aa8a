"""A photo, and a promptable network that is asked about it: each answer is a state to go on from."""

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from petseg import dialogue
from petseg.clicks.prompts import Prompt, check
from petseg.clicks.state import ClickState
from petseg.dialogue import Dialogue
from petseg.engine.network import Network, open_model
from petseg.pixels.decision import OUTSIDE, margin
from petseg.pixels.geometry import Letterbox
from tests.support.tiny_models import GREY, PROMPTABLE, RED, SIZE, save_parts

CAT, DOG, NOTHING = (25, 30), (70, 30), (50, 5)


def ask(**clicks: Any) -> Prompt:
    prompt = check(100, 60, **clicks)
    assert prompt is not None
    return prompt


@pytest.fixture
def network(prompt_model_path: Path) -> Network:
    return open_model(prompt_model_path, "cpu", 1)


def test_a_state_is_what_was_answered_and_does_not_change(network: Network, photo: NDArray[np.uint8]) -> None:
    state = Dialogue(network, photo).first(ask(point=CAT))
    assert state.prompt.points.tolist() == [[*CAT]]
    assert state.letterbox.whole
    assert state.square.shape == (SIZE, SIZE, 3)
    assert state.logits.shape == (3, SIZE, SIZE)
    (left, top), (right, bottom) = state.found
    assert 10 <= left < CAT[0] < right <= 40
    assert 15 <= top < CAT[1] < bottom <= 45
    with pytest.raises(dataclasses.FrozenInstanceError):
        state.alone = True  # type: ignore[misc]


def test_one_click_after_the_other_is_all_of_them_at_once(network: Network, photo: NDArray[np.uint8]) -> None:
    talk = Dialogue(network, photo)
    both = ask(points=[CAT, DOG, NOTHING], labels=[1, 1, 0])
    first = talk.first(ask(point=CAT))
    second = talk.next(first, both.first(2))
    third = talk.next(second, both)
    np.testing.assert_array_equal(talk.answer(both).logits, third.logits)
    np.testing.assert_array_equal(talk.answer(both, second).logits, third.logits)
    assert talk.answer(both, third) is third


def test_an_answer_to_something_else_is_not_gone_on_from(
    network: Network, photo: NDArray[np.uint8], runs: list[str]
) -> None:
    talk = Dialogue(network, photo)
    elsewhere = talk.first(ask(point=NOTHING))
    del runs[:]
    answer = talk.answer(ask(points=[CAT, DOG]), elsewhere)
    assert runs == ["decoder"] * 2, "both clicks are asked about, and the photo is known"
    np.testing.assert_array_equal(answer.logits, talk.answer(ask(points=[CAT, DOG])).logits)


def test_whether_a_pet_is_alone_is_found_in_the_whole_photo_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A close-up of one of two pets shows one alone, which says nothing."""
    monkeypatch.setattr(dialogue, "semantic", lambda features: features["features_0"])
    told: list[bool] = []
    completed = dialogue.Pets.completed

    def spy(self: dialogue.Pets, *, alone: bool) -> NDArray[np.float32]:
        told.append(alone)
        return completed(self, alone=alone)

    monkeypatch.setattr(dialogue.Pets, "completed", spy)
    path = save_parts(tmp_path / "model", PROMPTABLE | {"semantic": True, "zoom": True})
    small, other = (slice(40, 58), slice(303, 321)), (slice(200, 290), slice(20, 110))
    photo = np.full((300, 400, 3), GREY, np.uint8)
    photo[small] = RED
    prompt = check(400, 300, point=(312, 49))
    assert prompt is not None

    def answer() -> ClickState:
        del told[:]
        return Dialogue(open_model(path, "cpu", 1), photo).first(prompt)

    assert answer().alone is True
    assert told == [True, True]
    photo[other] = RED
    state = answer()
    assert not state.letterbox.whole
    assert state.alone is False
    assert told == [False, False]
    plain = open_model(save_parts(tmp_path / "plain"), "cpu", 1)
    assert Dialogue(plain, photo).first(prompt).alone is None


def test_the_photo_is_fitted_once(
    network: Network, photo: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted, apply = [], dialogue.Letterbox.apply

    def spy(self: dialogue.Letterbox, image: NDArray[np.uint8], fill: int) -> NDArray[np.uint8]:
        fitted.append(self.region)
        return apply(self, image, fill)

    monkeypatch.setattr(dialogue.Letterbox, "apply", spy)
    talk = Dialogue(network, photo)
    for point in (CAT, DOG, NOTHING):
        talk.first(ask(point=point))
    assert len(fitted) == 1


class Says:
    """Stands in for `petseg.engine.presence.Presence`: says what it was told to.

    Attributes:
        asked: whether each question was about the whole photo.
        near: between which corners there might be a pet.
        pointed: between which corners one is pointed at, None where nobody points.
        margin: (H, W) of a pet, by which a pixel of a whole photo of that size exceeds background.
    """

    def __init__(self, *, whole: bool, part: bool, may: bool = True, margin: Any = None) -> None:
        self.whole, self.part, self.may, self.margin = whole, part, may, margin
        self.asked: list[bool] = []
        self.near: list[NDArray[np.float64]] = []
        self.pointed: list[NDArray[np.float64] | None] = []

    def see(self, photo: NDArray[np.uint8], region: Any) -> "Said":
        self.asked.append(region is None)
        height, width = photo.shape[:2]
        box = Letterbox.fit(width, height, width)
        logits = np.zeros((3, width, width), np.float32)
        logits[1:] = OUTSIDE
        logits[:, *box.inner][1] = OUTSIDE if self.margin is None else self.margin
        return Said(self.whole if region is None else self.part, self, box, logits)


class Said(NamedTuple):
    """Stands in for `petseg.engine.presence.Seen`."""

    answer: bool
    says: Says
    letterbox: Letterbox
    logits: NDArray[np.float32]

    def shows_pet(self, corners: NDArray[np.float64] | None) -> bool:
        self.says.pointed.append(corners)
        return self.answer

    def may_show_pet(self, corners: NDArray[np.float64]) -> bool:
        self.says.near.append(corners)
        return self.says.may


@pytest.mark.parametrize(
    ("whole", "part", "found"), [(True, False, True), (False, True, True), (False, False, False)]
)
def test_a_click_finds_nothing_where_neither_the_photo_nor_the_close_up_shows_a_pet(
    tmp_path: Path, whole: bool, part: bool, found: bool
) -> None:
    photo = np.full((400, 600, 3), GREY, np.uint8)
    photo[100:130, 200:240] = RED
    network = open_model(save_parts(tmp_path / "model", PROMPTABLE | {"zoom": True}), "cpu", 1)
    clicked = check(600, 400, point=(220, 115))
    assert clicked is not None
    free = Dialogue(network, photo).first(clicked)
    assert not free.letterbox.whole, "a small animal is looked at closely"
    says = Says(whole=whole, part=part)
    state = Dialogue(network, photo, says).first(clicked)  # type: ignore[arg-type]
    assert says.asked[: 1 + (not whole)] == [True, False][: 1 + (not whole)]
    assert bool(len(state.found)) == found
    if found:
        np.testing.assert_array_equal(state.logits, free.logits)


def test_more_clicks_find_no_pet_either_where_there_is_none(
    network: Network, photo: NDArray[np.uint8]
) -> None:
    nobody = Says(whole=False, part=False)
    talk = Dialogue(network, photo, nobody)  # type: ignore[arg-type]
    assert not len(talk.answer(ask(points=[CAT, (28, 33)])).found)
    assert not len(talk.go_on(ask(points=[CAT, (28, 33)])).states[0].found)


def test_the_whole_photo_is_asked_about_once(network: Network, photo: NDArray[np.uint8]) -> None:
    says = Says(whole=True, part=True)
    talk = Dialogue(network, photo, says)  # type: ignore[arg-type]
    assert all(len(state.found) for state in talk.each([ask(point=CAT), ask(point=DOG)]))
    assert says.asked == [True]


@pytest.mark.parametrize("may", [True, False])
def test_a_single_click_finds_nothing_where_there_cannot_be_a_pet(
    network: Network, photo: NDArray[np.uint8], may: bool
) -> None:
    says = Says(whole=True, part=True, may=may)
    talk = Dialogue(network, photo, says)  # type: ignore[arg-type]
    assert len(talk.first(ask(box=(5, 5, 45, 45))).found), "a box is not asked about"
    assert says.near == []
    assert says.pointed == [None], "nor is less needed for one"
    assert bool(len(talk.first(ask(point=CAT)).found)) == may
    reach = dialogue.NEAR * max(photo.shape)
    np.testing.assert_allclose(says.near[0], [np.array(CAT) - reach, np.array(CAT) + reach])
    assert says.pointed[1:] == says.near[:1] * may


def test_what_may_be_another_animal_counts_less(
    network: Network, photo: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The vectors tell the left half of the cat from its right one."""
    plain = Dialogue(network, photo).first(ask(point=CAT))
    said = np.zeros((1, 2, 16, 16), np.float32)
    said[0, :, :, int(16 * CAT[0] / 100) :] = 3
    monkeypatch.setattr(dialogue, "vectors", lambda features: said)
    network = dataclasses.replace(network, manifest=dataclasses.replace(network.manifest, apart=True))
    for beside in (-9, 9):
        point = (CAT[0] + beside, CAT[1])
        state = Dialogue(network, photo).first(ask(point=point))
        (left, top), (right, bottom) = state.found
        assert (left > CAT[0] - 6) == (beside > 0)
        assert (right < CAT[0] + 6) == (beside < 0)
        assert abs(top - plain.found[0, 1]) < 2 > abs(bottom - plain.found[1, 1])
        assert state.value(np.array(point)) > 0
    both = Dialogue(network, photo).first(ask(points=[(16, 30), (34, 30)]))
    assert both.found[1, 0] - both.found[0, 0] > 20, "two clicks on one animal say what it is"


def test_no_pet_is_nearby_outside_of_the_photo(
    network: Network, photo: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The network calls all that is around the photo in the square a pet, just above the click."""
    photo = photo[:50]
    said = np.full((1, 3, SIZE, SIZE), -5, np.float32)
    said[:, 0] = 0
    said[:, 1, : SIZE // 4] = 5
    monkeypatch.setattr(dialogue, "semantic", lambda features: said)
    network = dataclasses.replace(network, manifest=dataclasses.replace(network.manifest, semantic=True))
    assert Dialogue(network, photo)._nearby(np.array([50.0, 0.5])) is None


def test_what_is_all_pets_of_the_photo_is_the_mean_of_both(
    network: Network, photo: NDArray[np.uint8]
) -> None:
    """The other model finds the same cat, less its left side, of which it is as sure as this one is of it."""
    alone = Dialogue(network, photo).first(ask(point=CAT))
    found = alone.letterbox.restore(margin(alone.logits))
    left = int(alone.found[0, 0])
    for columns, agrees in ((3, True), (12, False)):
        other = np.where(found > 0, found, -8)
        other[:, : left + columns] = -np.abs(found).max() - 8
        says = Says(whole=True, part=True, margin=other)
        state = Dialogue(network, photo, says).first(ask(point=CAT))  # type: ignore[arg-type]
        if agrees:
            assert state.found[0, 0] > alone.found[0, 0] + 1
            np.testing.assert_allclose(state.found[1], alone.found[1], atol=2)
            assert state.value(np.array(CAT)) > 0
            assert np.array_equal(state.logits.argmax(0) == 2, alone.logits.argmax(0) == 2), "still a cat"
        else:
            np.testing.assert_array_equal(state.logits, alone.logits)


def test_what_the_answer_rules_out_stays_another_animal(network: Network, photo: NDArray[np.uint8]) -> None:
    """The other model is very sure of a smaller pet beside the clicked one, too."""
    clicked = Dialogue(network, photo).first(ask(point=CAT))
    cat, other = (slice(25, 45), slice(5, 25)), (slice(25, 45), slice(27, 33))
    logits, seen = np.full((2, 3, SIZE, SIZE), -8, np.float32)
    logits[0] = seen[0] = 0
    logits[1][cat] = 5
    seen[1][cat] = seen[1][other] = 20
    state = dataclasses.replace(clicked, logits=logits)
    agreed = dialogue._agreed(state, Said(True, Says(whole=True, part=True), state.letterbox, seen))  # type: ignore[arg-type]
    found = margin(agreed.logits) > 0
    assert margin(agreed.logits)[cat].min() > 5, "the mean of both"
    assert found[cat].all()
    assert not found[other].any()


def test_a_click_stays_on_what_it_is_on(network: Network, photo: NDArray[np.uint8]) -> None:
    alone = Dialogue(network, photo).first(ask(point=CAT))
    other = alone.letterbox.restore(margin(alone.logits)).copy()
    other[CAT[1] - 3 : CAT[1] + 3, CAT[0] - 3 : CAT[0] + 3] = -1e3
    says = Says(whole=True, part=True, margin=other)
    state = Dialogue(network, photo, says).first(ask(point=CAT))  # type: ignore[arg-type]
    np.testing.assert_array_equal(state.logits, alone.logits)


def test_who_finds_nothing_is_not_doubted(network: Network, photo: NDArray[np.uint8]) -> None:
    says = Says(whole=True, part=True)
    Dialogue(network, photo, says).first(ask(point=NOTHING))  # type: ignore[arg-type]
    assert says.asked == []
