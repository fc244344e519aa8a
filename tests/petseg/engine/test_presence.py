"""Whether there is a pet at all, by the embedded model that finds all pets."""

import pickle

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage import data

from petseg import Segmenter
from petseg.engine.network import open_model
from petseg.engine.presence import POINTED, Presence, Seen
from petseg.pixels.geometry import Letterbox, Region


@pytest.fixture(scope="module")
def cat() -> NDArray[np.uint8]:
    return np.asarray(data.chelsea())


@pytest.fixture(scope="module")
def person() -> NDArray[np.uint8]:
    return np.asarray(data.astronaut())


def shows_pet(presence: Presence, photo: NDArray[np.uint8], region: Region | None) -> bool:
    seen = presence.see(photo, region)
    assert seen is not None
    return seen.shows_pet()


def test_a_cat_is_one_and_a_person_is_none(cat: NDArray[np.uint8], person: NDArray[np.uint8]) -> None:
    presence = pickle.loads(pickle.dumps(Presence("unet", "cpu", 1)))
    assert shows_pet(presence, cat, None)
    assert not shows_pet(presence, person, None)


def test_a_part_is_looked_at_alone(cat: NDArray[np.uint8], person: NDArray[np.uint8]) -> None:
    height, width = person.shape[:2]
    both = np.zeros((height, width + cat.shape[1], 3), np.uint8)
    both[:, :width], both[: len(cat), width:] = person, cat
    presence = Presence("unet", "cpu", 1)
    assert shows_pet(presence, both, (width, 0, both.shape[1], len(cat)))
    assert not shows_pet(presence, both, (0, 0, width, height))


def test_a_pet_elsewhere_is_none_here(cat: NDArray[np.uint8], person: NDArray[np.uint8]) -> None:
    both = np.concatenate([person, np.pad(cat, [(0, len(person) - len(cat)), (0, 0), (0, 0)])], axis=1)
    seen = Presence("unet", "cpu", 1).see(both, None)
    assert seen is not None
    assert seen.shows_pet()
    width = person.shape[1]
    assert seen.may_show_pet(np.array([[width + 220.0, 110], [width + 240, 130]]))
    assert not seen.may_show_pet(np.array([[215.0, 100], [235, 120]]))
    assert not seen.may_show_pet(np.array([[-40.0, -40], [-20, -20]])), "what is outside of it has no pet"


def test_a_panorama_may_have_a_pet_anywhere(person: NDArray[np.uint8]) -> None:
    seen = Presence("unet", "cpu", 1).see(np.concatenate([person] * 3, axis=1), None)
    assert seen is not None
    assert not seen.shows_pet()
    assert seen.may_show_pet(np.array([[215.0, 100], [235, 120]]))


@pytest.mark.parametrize(
    ("point", "margin", "shown"),
    [
        (None, POINTED + 0.5, False),
        ((64, 24), POINTED + 0.5, True),
        ((64, 24), POINTED - 0.5, False),
        ((24, 24), POINTED + 0.5, False),
    ],
)
def test_less_is_needed_of_a_pet_where_somebody_points(
    point: tuple[float, float] | None, margin: float, shown: bool
) -> None:
    """A hundredth of the photo is likely to be a cat, and no pixel is sure."""
    box = Letterbox.fit(200, 100, 100)
    raw = np.full((3, 100, 100), -6, np.float32)
    raw[0] = 0
    raw[1, 33:40, 28:36] = margin
    seen = Seen(box, raw, open_model("unet", "cpu", 1).manifest)
    corners = None if point is None else np.array([point, point]) + np.array([[-4], [4]])
    assert seen.shows_pet(corners) == shown
    assert not (seen.logits[1] > 0).any(), "it is no pet for the photo"


@pytest.mark.parametrize("name", ["nobody", "prompt"])
def test_nobody_is_asked_who_is_not_here_or_wants_a_click(name: str, person: NDArray[np.uint8]) -> None:
    assert Presence(name, "cpu", 1).see(person, None) is None


def test_a_click_on_a_person_finds_no_pet(person: NDArray[np.uint8]) -> None:
    segmenter = Segmenter("prompt", device="cpu")
    assert segmenter.manifest.presence == "unet"
    result = segmenter(person, (225, 110))
    assert (result.label, result.mask.any(), result.pets) == ("background", False, ())
    assert result.score > 0.99
    assert segmenter.refine(result, (230, 120)).label == "background"
