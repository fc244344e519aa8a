"""Each click corrects the answer to those before it, where it is, and only there."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from petseg.clicks.corrections import MANY, STEPS, corrected, leads_to, steps
from petseg.clicks.prompts import Prompt
from petseg.segmenter import Segmenter
from tests.support.tiny_models import BLUE, GREY, PROMPTABLE, RED, save_parts

Area = tuple[slice, slice]
S = 16
LEFT, MIDDLE, RIGHT = np.s_[4:8, 1:4], np.s_[4:8, 6:9], np.s_[4:8, 12:15]
ON_LEFT, ON_MIDDLE, ON_RIGHT, BESIDE = (2.0, 6.0), (7.0, 6.0), (13.0, 6.0), (7.0, 14.0)


def logits(*areas: Area) -> NDArray[np.float32]:
    """(3, S, S): cat there, background elsewhere."""
    answer = np.zeros((3, S, S), np.float32)
    for area in areas:
        answer[1][area] = 4
    answer[0] = 2
    return answer


def pets(answer: NDArray[np.float32]) -> NDArray[np.bool_]:
    return answer.argmax(0) > 0


@pytest.mark.parametrize(
    ("before", "after", "click", "positive", "expected"),
    [
        ([LEFT], [LEFT, MIDDLE, RIGHT], ON_MIDDLE, True, [LEFT, MIDDLE]),
        ([LEFT], [MIDDLE], ON_MIDDLE, True, [LEFT, MIDDLE]),  # a wanted click takes nothing away
        ([LEFT, MIDDLE, RIGHT], [LEFT], ON_RIGHT, False, [LEFT, MIDDLE]),
        ([LEFT, RIGHT], [LEFT, MIDDLE], ON_RIGHT, False, [LEFT]),  # nor does another add anything
        ([LEFT], [LEFT, RIGHT], BESIDE, True, [LEFT]),  # that the network does not follow
        ([LEFT], [], BESIDE, False, [LEFT]),
        ([], [LEFT, RIGHT], ON_LEFT, True, [LEFT, RIGHT]),
        ([LEFT], [LEFT, RIGHT], (S + 3.0, -1.0), True, [LEFT]),
    ],
)
def test_what_a_click_changes(
    before: list[Area], after: list[Area], click: tuple[float, float], positive: bool, expected: list[Area]
) -> None:
    was = logits(*before)
    now = corrected(was, logits(*after), click, positive=positive)
    assert np.array_equal(pets(now), pets(logits(*expected)))
    assert np.array_equal(was, logits(*before))


def test_a_part_that_grows_is_as_the_network_says_there() -> None:
    after = logits(np.s_[4:8, 1:9])
    after[1][LEFT] = 3  # less sure than before
    now = corrected(logits(LEFT), after, ON_MIDDLE, positive=True)
    assert (now[1][LEFT] == 4).all()
    assert pets(now)[4:8, 1:9].all()


def prompt(count: int, *unwanted: int, box: bool = False) -> Prompt:
    points = np.arange(2.0 * count).reshape(count, 2)
    positive = ~np.isin(np.arange(count), unwanted)
    return Prompt(points, positive, np.array([0.0, 0, 9, 9]) if box else None)


@pytest.mark.parametrize(
    ("asked", "answered", "counts"),
    [
        (prompt(1), None, [1]),
        (prompt(3), None, [1, 2, 3]),
        (prompt(4, 0, 1), None, [3, 4]),  # nothing is asked before there is a wanted click
        (prompt(0, box=True), None, [0]),
        (prompt(2, 0, box=True), None, [0, 1, 2]),
        (prompt(4), prompt(2), [3, 4]),
        (prompt(2, 1, box=True), prompt(0, box=True), [1, 2]),
        (prompt(STEPS), None, list(range(1, STEPS + 1))),
        (prompt(MANY), None, list(range(MANY - STEPS + 1, MANY + 1))),
        (prompt(MANY + 1), None, [MANY + 1]),
        (prompt(1001), prompt(1000), [1001]),
    ],
)
def test_questions_on_the_way(asked: Prompt, answered: Prompt | None, counts: list[int]) -> None:
    way = list(steps(asked, answered))
    assert [len(step.points) for step in way] == counts
    assert all(leads_to(step, asked) for step in way)
    assert all(step.box is asked.box for step in way)


@pytest.mark.parametrize(
    ("answered", "asked"),
    [
        (prompt(2), prompt(2, box=True)),
        (prompt(0, box=True), prompt(1)),
        (prompt(2, 1), prompt(3)),
        (prompt(3), prompt(2)),
        (Prompt(np.array([[5.0, 5.0]]), np.array([True])), prompt(2)),
        (prompt(1), prompt(2 + STEPS)),
    ],
)
def test_questions_that_are_not_on_the_way(answered: Prompt, asked: Prompt) -> None:
    assert not leads_to(answered, asked)


def test_a_second_animal_leaves_the_first_one_as_it_is(tmp_path: Path) -> None:
    photo = np.full((60, 100, 3), GREY, np.uint8)
    photo[15:45, 10:40], photo[15:45, 60:90] = RED, BLUE
    segmenter = Segmenter(save_parts(tmp_path, PROMPTABLE), device="cpu", threads=1)
    one = segmenter(photo, (25, 30))
    both = segmenter.refine(one, (75, 30))
    assert both.mask[30, 75] == 2
    assert np.array_equal(both.mask == 1, one.mask == 1)
    assert np.array_equal(segmenter.refine(both, (75, 30), label=0).mask == 1, one.mask == 1)
