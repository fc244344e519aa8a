"""Which places belong to one animal."""

import numpy as np
import pytest
from numpy.typing import NDArray

from petseg.clicks import apart

SIDE = 64
LEFT, RIGHT = np.s_[16:48, 4:30], np.s_[16:48, 30:58]
"""Two squares that touch."""


def drawn(*parts: tuple[slice, slice]) -> NDArray[np.bool_]:
    pets = np.zeros((SIDE, SIDE), bool)
    for part in parts:
        pets[part] = True
    return pets


def answers(asked: NDArray[np.float64], *animals: NDArray[np.bool_]) -> NDArray[np.float32]:
    """What a network says that finds the animal under each place."""
    planes = np.full((len(asked), SIDE, SIDE), -9, np.float32)
    for plane, (x, y) in zip(planes, asked.astype(int), strict=True):
        for animal in animals:
            if animal[y, x]:
                plane[animal] = 6
    return planes


def owners(pets: NDArray[np.bool_], planes: NDArray[np.float32]) -> NDArray[np.int64]:
    return np.where(pets, planes.argmax(0) + 1, 0)


def test_places_are_spread_over_the_pets_and_deep_in_each_region() -> None:
    far = drawn(np.s_[52:64, 0:12])
    pets = drawn(LEFT, RIGHT) | far
    asked = apart.places(pets)
    assert len(asked) == apart.PLACES
    columns, rows = asked.astype(int).T
    assert pets[rows, columns].all()
    assert far[rows, columns].any()
    x, y = asked[0]  # the deepest place of the larger region
    assert 8 < x < 54
    assert 24 < y < 40
    distances = np.hypot(*(asked[:, None] - asked[None]).transpose(2, 0, 1)) + 99 * np.eye(len(asked))
    assert distances.min() >= apart.STEP


def test_every_region_gets_a_place_until_there_are_too_many() -> None:
    pets = np.zeros((SIDE, SIDE), bool)
    for row in range(0, SIDE, 16):
        for column in range(0, SIDE, 12):
            pets[row : row + 8, column : column + 8] = True
    assert len(apart.places(pets)) == apart.MOST_PLACES


@pytest.mark.parametrize("pets", [drawn(), drawn(np.s_[0:2, 0:2])], ids=["nothing", "a crumb"])
def test_no_place_where_nothing_is_large_enough(pets: NDArray[np.bool_]) -> None:
    assert apart.places(pets).shape == (0, 2)


def test_margins_are_those_of_the_place_with_the_nearest_vector() -> None:
    one, other = drawn(LEFT), drawn(RIGHT)
    vectors = np.zeros((3, SIDE // 8, SIDE // 8), np.float32)
    vectors[0, :, SIDE // 16 :] = 3.0
    asked = np.array([[12.0, 30.0], [50.0, 30.0]])
    said = apart.margins(vectors, asked, SIDE)
    assert said.shape == (2, SIDE, SIDE)
    for plane, own, others in ((said[0], one, other), (said[1], other, one)):
        assert plane[own & (np.abs(np.arange(SIDE) - 32) > 8)].min() == pytest.approx(apart.SAME, abs=0.01)
        assert plane[others & (np.abs(np.arange(SIDE) - 32) > 8)].max() == pytest.approx(
            apart.SAME - 9, abs=0.01
        )
    assert len(apart.animals(one | other, asked, said, 0.2)) == 2


def test_places_beyond_the_square_are_at_its_edge() -> None:
    vectors = np.random.default_rng(0).normal(size=(3, SIDE // 8, SIDE // 8)).astype(np.float32)
    beyond, edge = (np.array(spots, float) for spots in ([[-9, 20], [20, SIDE + 9]], [[0, 20], [20, SIDE]]))
    np.testing.assert_array_equal(apart.margins(vectors, beyond, SIDE), apart.margins(vectors, edge, SIDE))


def test_animals_that_touch_are_told_apart() -> None:
    one, other = drawn(LEFT), drawn(RIGHT)
    asked = apart.places(one | other)
    planes = apart.animals(one | other, asked, answers(asked, one, other), 0.2)
    assert len(planes) == 2
    found = owners(one | other, planes)
    assert {len(np.unique(found[one])), len(np.unique(found[other]))} == {1}
    assert found[one][0] != found[other][0]


def test_beside_a_third_animal_two_must_be_surer_to_be_one() -> None:
    one, other, third = drawn(LEFT), drawn(RIGHT), drawn(np.s_[52:64, 0:30])

    def count(*animals: NDArray[np.bool_]) -> int:
        pets = np.any(animals, 0)
        asked = apart.places(pets)
        said = answers(asked, *animals)
        for x, y in ((one, other), (other, one)):
            for number in np.flatnonzero(x[*asked.astype(int).T[::-1]]):
                said[number][y] = 0.5
        return len(apart.animals(pets, asked, said, 0.1))

    assert count(one, other) == 1
    assert count(one, other, third) == 3


def test_an_animal_in_two_pieces_is_one() -> None:
    animal = drawn(np.s_[4:28, 4:60], np.s_[36:60, 4:60])  # behind a bar
    asked = apart.places(animal)
    assert len(apart.animals(animal, asked, answers(asked, animal), 0.5)) == 1


def test_an_answer_that_leaves_a_part_out_does_not_split_a_large_animal() -> None:
    animal, head = drawn(np.s_[4:60, 4:60]), drawn(np.s_[4:30, 4:60])
    asked = apart.places(animal)
    said = answers(asked, animal)
    for plane, (x, y) in zip(said, asked.astype(int), strict=True):
        if head[y, x]:
            plane[animal & ~head] = -3
    assert len(apart.animals(animal, asked, said, 0.8)) == 1
    assert len(apart.animals(animal, asked, answers(asked, head, animal & ~head), 0.01)) == 2


def test_what_is_small_beside_another_is_part_of_it() -> None:
    large, ear = drawn(np.s_[8:60, 8:60]), drawn(np.s_[0:8, 8:16])
    asked = np.array([[30.5, 30.5], [12.5, 4.5]])
    assert len(apart.animals(large | ear, asked, answers(asked, large, ear), 0.3)) == 1


def test_a_region_where_nobody_asked_and_nobody_claims_is_an_animal() -> None:
    one, other = drawn(np.s_[0:30, 0:30]), drawn(np.s_[40:60, 40:60])
    asked = np.array([[15.5, 15.5]])
    assert len(apart.animals(one | other, asked, answers(asked, one, other), 0.3)) == 2
    claimed = answers(asked, one | other)
    assert len(apart.animals(one | other, asked, claimed, 0.3)) == 1


def test_crumbs_are_of_the_nearest_animal_and_so_is_what_the_square_does_not_show() -> None:
    one, other = drawn(np.s_[8:40, 0:20]), drawn(np.s_[8:40, 40:60])
    crumb = drawn(np.s_[8:12, 36:40])
    asked = np.array([[10.5, 20.5], [50.5, 20.5]])
    planes = apart.animals(one | other | crumb, asked, answers(asked, one | crumb, other), 0.3)
    first, second = planes[0], planes[1]
    assert (second > first)[crumb].all()
    assert (second > first)[40:60, 40:60].all()
    assert (first > second)[40:60, 0:20].all()
