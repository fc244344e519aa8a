"""Whether there is a pet at all, by the embedded model that finds all pets."""

import pickle

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage import data

from petseg import Segmenter
from petseg.engine.presence import Presence


@pytest.fixture(scope="module")
def cat() -> NDArray[np.uint8]:
    return np.asarray(data.chelsea())


@pytest.fixture(scope="module")
def person() -> NDArray[np.uint8]:
    return np.asarray(data.astronaut())


def test_a_cat_is_one_and_a_person_is_none(cat: NDArray[np.uint8], person: NDArray[np.uint8]) -> None:
    presence = pickle.loads(pickle.dumps(Presence("unet", "cpu", 1)))
    assert presence.shows_pet(cat, None)
    assert not presence.shows_pet(person, None)


def test_a_part_is_looked_at_alone(cat: NDArray[np.uint8], person: NDArray[np.uint8]) -> None:
    height, width = person.shape[:2]
    both = np.zeros((height, width + cat.shape[1], 3), np.uint8)
    both[:, :width], both[: len(cat), width:] = person, cat
    presence = Presence("unet", "cpu", 1)
    assert presence.shows_pet(both, (width, 0, both.shape[1], len(cat)))
    assert not presence.shows_pet(both, (0, 0, width, height))


@pytest.mark.parametrize("name", ["nobody", "prompt"])
def test_nobody_is_asked_who_is_not_here_or_wants_a_click(name: str, person: NDArray[np.uint8]) -> None:
    assert Presence(name, "cpu", 1).shows_pet(person, None)


def test_a_click_on_a_person_finds_no_pet(person: NDArray[np.uint8]) -> None:
    segmenter = Segmenter("prompt", device="cpu")
    assert segmenter.manifest.presence == "unet"
    result = segmenter(person, (225, 110))
    assert (result.label, result.mask.any(), result.pets) == ("background", False, ())
    assert result.score > 0.99
    assert segmenter.refine(result, (230, 120)).label == "background"
