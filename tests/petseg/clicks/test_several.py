"""Several animals of one photo that are pointed at."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from petseg import PromptError, Segmentation, Segmenter, segment, segmenter
from tests.support.colour_clicks import ColourClicks, colourful

Pixels = NDArray[np.uint8]
RED_CAT, PURPLE_CAT, DOG, NOTHING = (17, 30), (40, 30), (80, 30), (57, 5)
BOXES = {"red": (5, 10, 30, 50), "purple": (30, 10, 50, 50), "dog": (65, 15, 95, 45)}

pytestmark = pytest.mark.usefixtures("fresh_engine", "weights")


@pytest.fixture
def photo() -> Pixels:
    return colourful()


def open_with(monkeypatch: pytest.MonkeyPatch, **habits: bool) -> Segmenter:
    monkeypatch.setattr(segmenter, "open_model", lambda *_: ColourClicks(**habits))
    return Segmenter("tiny-prompt")


@pytest.fixture
def colours(monkeypatch: pytest.MonkeyPatch) -> Segmenter:
    return open_with(monkeypatch)


def check(result: Segmentation, *expected: str) -> None:
    """The animals are these, in this order; no pixel is in two of them, and none in none."""
    boxes = [BOXES[name] for name in expected]
    assert len(result.pets) == len(boxes)
    for pet, name, box in zip(result.pets, expected, boxes, strict=True):
        assert pet.label == ("dog" if name == "dog" else "cat")
        np.testing.assert_allclose(pet.box, box, atol=3)
    np.testing.assert_array_equal(sum(pet.mask.astype(int) for pet in result.pets), result.mask != 0)


def test_boxes_give_animals_in_their_order(colours: Segmenter, photo: Pixels) -> None:
    check(colours(photo, boxes=[BOXES["dog"], BOXES["red"], BOXES["purple"]]), "dog", "red", "purple")
    check(colours(photo, boxes=np.array([BOXES["red"]])), "red")


def test_clicks_are_grouped_by_animal(colours: Segmenter, photo: Pixels) -> None:
    points = [PURPLE_CAT, (75, 25), (35, 20), RED_CAT]
    result = colours(photo, points=points, labels=[1, 1, 1, 1], objects=[1, 0, 1, 2])
    check(result, "dog", "purple", "red")
    assert [len(prompt.points) for prompt in result.prompts] == [1, 2, 1]
    assert result.prompt is None


def test_a_click_corrects_the_animal_in_a_box(colours: Segmenter, photo: Pixels) -> None:
    both = (5, 10, 50, 50)
    result = colours(photo, boxes=[both, BOXES["dog"]], points=[RED_CAT], labels=[0], objects=[0])
    assert not result.pets[0].mask[RED_CAT[1], RED_CAT[0]]


def test_what_is_given_to_one_is_taken_from_the_other(photo: Pixels, monkeypatch: pytest.MonkeyPatch) -> None:
    greedy = open_with(monkeypatch, greedy=True)
    alone = greedy(photo, RED_CAT)
    assert alone.mask[PURPLE_CAT[1], PURPLE_CAT[0]]
    check(greedy(photo, points=[RED_CAT, PURPLE_CAT], objects=[0, 1]), "red", "purple")
    check(greedy.refine(alone, PURPLE_CAT, objects=1), "red", "purple")


def test_a_click_on_another_animal_starts_another(colours: Segmenter, photo: Pixels) -> None:
    whole = colours(photo, points=[RED_CAT, PURPLE_CAT, DOG])
    check(whole, "red", "purple", "dog")
    step = colours(photo, RED_CAT)
    check(step, "red")
    for point, names in ((PURPLE_CAT, ("red", "purple")), (DOG, ("red", "purple", "dog"))):
        step = colours.refine(step, point)
        check(step, *names)
    np.testing.assert_array_equal(step.mask, whole.mask)
    again = colours.refine(step, (78, 20))
    check(again, "red", "purple", "dog")
    less = colours.refine(step, DOG, label=0)
    check(less, "red", "purple")


def test_a_click_on_nothing_changes_nothing_and_says_so(colours: Segmenter, photo: Pixels) -> None:
    before = colours(photo, RED_CAT)
    assert before.missed.shape == (0, 2)
    after = colours.refine(before, NOTHING)
    assert after.missed.tolist() == [[*NOTHING]]
    np.testing.assert_array_equal(after.probabilities, before.probabilities)
    check(after, "red")
    assert len(after.prompts[0].points) == 1
    assert colours(photo, points=[RED_CAT, NOTHING, DOG]).missed.tolist() == [[*NOTHING]]
    first = colours(photo, NOTHING)
    assert (first.label, first.pets) == ("background", ())


def test_a_click_just_beside_an_animal_means_it(photo: Pixels, monkeypatch: pytest.MonkeyPatch) -> None:
    seeing = open_with(monkeypatch, semantic=True)
    check(seeing(photo, (64, 30)), "dog")  # a pixel beside it
    assert seeing(photo, (58, 30)).label == "background"


def test_refining_one_of_several(colours: Segmenter, photo: Pixels) -> None:
    result = colours(photo, boxes=[BOXES["red"], BOXES["dog"]])
    check(colours.refine(result, (75, 25), objects=1), "red", "dog")
    check(colours.refine(result, boxes=[BOXES["purple"]]), "red", "dog", "purple")
    check(colours.refine(result, points=[PURPLE_CAT, (20, 20)], objects=[2, 0]), "red", "dog", "purple")
    other = pickle.loads(pickle.dumps(result))
    check(colours.refine(other, PURPLE_CAT), "red", "dog", "purple")


def test_another_model_begins_anew(
    colours: Segmenter, photo: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = colours(photo, points=[RED_CAT, DOG], objects=[0, 1])
    result.model = "another"
    check(colours.refine(result, PURPLE_CAT), "red", "dog", "purple")
    check(colours.refine(result, PURPLE_CAT, objects=2), "red", "dog", "purple")


def test_a_copy_knows_the_animals_too(colours: Segmenter, photo: Pixels) -> None:
    large = photo.repeat(3, 0).repeat(3, 1)
    result = colours(large, points=[(51, 90), (120, 90)], objects=[0, 1])
    assert [pet.label for pet in result.thumbnail(100).pets] == ["cat", "cat"]
    assert len(result.with_threshold(0.6).pets) == 2


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ({"boxes": [BOXES["red"]], "point": DOG}, "point is about one animal; give points, with objects"),
        ({"boxes": [BOXES["red"]], "box": BOXES["dog"]}, "box is about one animal; give boxes"),
        ({"boxes": []}, r"boxes have shape \(0,\); give \(N, 4\)"),
        ({"boxes": BOXES["red"]}, r"boxes have shape \(4,\); give \(N, 4\)"),
        ({"boxes": [(0, 0, 200, 5)]}, "does not fit the photo of 100 x 60 pixels"),
        ({"boxes": [*BOXES.values()], "points": [DOG]}, r"which animal each click is about; give objects"),
        ({"points": [DOG], "objects": [0, 1]}, r"objects have shape \(2,\) for 1 points"),
        ({"points": [DOG], "objects": [-1]}, "give whole numbers, 0 for the first animal"),
        ({"points": [DOG], "objects": [0.5]}, "give whole numbers"),
        ({"points": [DOG], "objects": [1]}, "object 0 has no click with label 1 and no box"),
        ({"points": [DOG], "labels": [0], "objects": [0]}, "object 0 has no click with label 1 and no box"),
        ({"points": [DOG], "objects": [1000]}, "these are 1001 animals; give at most 100"),
        ({"objects": [0]}, r"objects have shape \(1,\) for 0 points"),
        ({"objects": []}, "nothing is said of any animal"),
    ],
)
def test_what_does_not_say_whose_it_is(
    colours: Segmenter, photo: Pixels, prompt: dict[str, Any], message: str
) -> None:
    with pytest.raises(PromptError, match=message):
        colours(photo, **prompt)


def test_refining_that_does_not_say_whose_it_is(colours: Segmenter, photo: Pixels) -> None:
    result = colours(photo, boxes=[BOXES["red"], BOXES["dog"]])
    with pytest.raises(PromptError, match="box is about one animal; give boxes"):
        colours.refine(result, box=BOXES["dog"])
    with pytest.raises(PromptError, match="object 2 has no click with label 1"):
        colours.refine(result, DOG, objects=3)


def test_segment_finds_a_model_for_several(photo: Pixels, weights: Path) -> None:
    result = segment(photo, boxes=[BOXES["dog"], BOXES["red"]])
    assert result.model == "tiny-prompt"
    assert [pet.label for pet in result.pets] == ["dog", "cat"]
