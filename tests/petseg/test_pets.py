"""Every animal by itself."""

import gc
import pickle
import weakref

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from petseg.pets import Pet, components
from petseg.pixels.geometry import Letterbox
from petseg.pixels.margins import Margins
from petseg.segmentation import Segmentation

SIDE = 32
PLACES = {"cat": (1, slice(4, 14), slice(2, 12)), "dog": (2, slice(6, 26), slice(16, 30))}


def answer(
    width: int = 128, height: int = 128, places: object = None, *, clicked: bool = False
) -> Segmentation:
    """A small cat on the left, a larger dog on the right, unless other places are given."""
    logits = np.zeros((3, SIDE, SIDE), np.float32)
    logits[0] = 8
    for number, rows, columns in PLACES.values() if places is None else places:
        logits[:, rows, columns] = -6
        logits[number, rows, columns] = 6
    photo = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    animals = logits[1:].max(0)[None] - logits[0] if clicked else None
    return Segmentation(logits, Letterbox.fit(width, height, SIDE), photo, "tiny", animals=animals)


def test_animals_come_largest_first_with_masks_of_their_own() -> None:
    result = answer()
    dog, cat = result.pets
    assert [dog.label, cat.label] == ["dog", "cat"]
    assert dog.area > cat.area
    for pet, number in ((dog, 2), (cat, 1)):
        np.testing.assert_array_equal(pet.mask, result.mask == number)
        x0, y0, x1, y1 = pet.box
        rows, columns = np.nonzero(pet.mask)
        assert (x0, y0, x1, y1) == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert pet.area == np.count_nonzero(pet.mask)
        assert pet.score == pytest.approx(result.probabilities[number][pet.mask].mean(), abs=1e-4)
    assert repr(dog).startswith("<Pet dog 0.")


def test_what_an_animal_is_cannot_be_changed() -> None:
    pet = answer().pets[0]
    with pytest.raises(ValueError, match="read-only"):
        pet.mask[0] = True
    with pytest.raises(ValueError, match="read-only"):
        pet.inside[0] = False
    with pytest.raises(AttributeError):
        pet.label = "cat"  # type: ignore[misc]


def test_they_do_not_keep_the_answer_alive() -> None:
    result = answer()
    alive = weakref.ref(result)
    gc.disable()
    try:
        pets = result.pets
        assert pets[0].whole is result
        del result, pets
        assert alive() is None
    finally:
        gc.enable()


def test_no_pet_no_animals() -> None:
    assert answer(places=[]).pets == ()


def test_they_are_worked_out_once_and_survive_pickling() -> None:
    result = answer()
    assert all(one.bits is other.bits for one, other in zip(result.pets, result.pets, strict=True))
    again = pickle.loads(pickle.dumps(result)).pets
    assert [pet.box for pet in again] == [pet.box for pet in result.pets]
    alone = pickle.loads(pickle.dumps(result.pets[0]))
    assert alone.sticker(64).tobytes() == result.pets[0].sticker(64).tobytes()
    assert not alone.inside.flags.writeable


def test_stray_pixels_are_nobody_unless_there_is_nothing_else() -> None:
    logits = np.zeros((2, SIDE, SIDE), np.float32)
    margins = Margins(Letterbox.fit(100, 100, SIDE), *logits)
    mask = np.zeros((100, 100), np.uint8)
    mask[50, 50:69] = 1  # of 10,000 pixels, twenty are enough
    mask[70, 10] = 2
    assert [(pet.area, pet.label) for pet in components(mask, margins)] == [(19, "cat")]
    mask[80, :20] = 2
    assert [(pet.area, pet.label) for pet in components(mask, margins)] == [(20, "dog")]
    mask[51, 50:69] = 1
    assert [pet.area for pet in components(mask, margins)] == [38, 20]
    mask[20:40] = 1  # 2,000 pixels: twenty are a crumb of that
    assert [pet.area for pet in components(mask, margins)] == [2000]


def test_one_pixel_is_an_animal_of_one_pixel() -> None:
    margins = Margins(Letterbox.fit(3, 2, SIDE), *np.zeros((2, SIDE, SIDE), np.float32))
    mask = np.zeros((2, 3), np.uint8)
    mask[1, 2] = 2
    (pet,) = components(mask, margins)
    assert (pet.box, pet.area, pet.label) == ((2, 1, 3, 2), 1, "dog")
    np.testing.assert_array_equal(pet.mask, mask != 0)


@pytest.mark.parametrize("seed", range(8))
def test_they_are_the_regions_of_the_mask(seed: int) -> None:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 3, (6, 9)).astype(np.uint8)
    mask: NDArray[np.uint8] = coarse.repeat(5, 0).repeat(5, 1)
    margins = Margins(Letterbox.fit(45, 30, SIDE), *np.zeros((2, SIDE, SIDE), np.float32))
    found = components(mask, margins)
    expected = [
        numbers == number
        for kind in (1, 2)
        for numbers, count in [ndimage.label(mask == kind)]
        for number in range(1, count + 1)
    ]
    assert sorted(pet.mask.tobytes() for pet in found) == sorted(each.tobytes() for each in expected)
    assert [pet.area for pet in found] == sorted((pet.area for pet in found), reverse=True)


def test_what_was_pointed_at_is_one_animal_in_however_many_pieces() -> None:
    places = [(1, slice(4, 14), slice(2, 12)), (1, slice(16, 26), slice(16, 30))]
    result = answer(places=places)
    assert len(result.pets) == 2
    clicked = answer(places=places, clicked=True)
    (pet,) = clicked.pets
    assert (pet.label, pet.score) == (clicked.label, clicked.score)
    np.testing.assert_array_equal(pet.mask, clicked.mask != 0)


def test_a_click_on_nothing_is_no_animal() -> None:
    clicked = answer(places=[], clicked=True)
    assert clicked.pets == ()


def test_an_empty_mask_makes_no_animal() -> None:
    with pytest.raises(ValueError, match="no true pixel"):
        Pet.of(np.zeros((2, 3), bool), "cat", 1.0)
