"""The promptable model tells the animals of a photo apart."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from petseg import Segmenter
from petseg.clicks import apart as places
from petseg.engine import apart
from petseg.engine.apart import Separator
from petseg.errors import ImageError
from tests.support.colour_clicks import GREY, PURPLE, RED, ColourClicks, colourful


@pytest.fixture(autouse=True)
def tiny(weights: Path) -> None:
    """The installed models are tiny ones."""


@pytest.fixture
def photo() -> NDArray[np.uint8]:
    return colourful()


class Telling(ColourClicks):
    """Says of each place its colour, and before that nothing; what it says of all pets is not looked at."""

    def encode(self, images: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        """Photos (B, 3, S, S) at half their resolution."""
        self.encoded += len(images)
        return {"features_0": images[:, :, 1::2, 1::2] / np.float32(20), "features_1": images}


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> ColourClicks:
    """Takes the place of the promptable model."""
    network = Telling()
    network.manifest.apart = True
    monkeypatch.setattr(apart, "open_model", lambda *_: network)
    return network


def check_shared_out(result: Any) -> None:
    """No pixel in two animals, none in no animal, largest first."""
    total = sum(pet.mask.astype(int) for pet in result.pets)
    np.testing.assert_array_equal(total, result.mask != 0)
    assert [pet.area for pet in result.pets] == sorted((pet.area for pet in result.pets), reverse=True)


def test_two_cats_that_touch_and_a_dog(network: ColourClicks, photo: NDArray[np.uint8]) -> None:
    result = Segmenter("tiny").segment(photo)
    assert not network.encoded
    assert [pet.label for pet in result.pets] == ["cat", "dog", "cat"]
    check_shared_out(result)
    for inside in (np.s_[14:46, 9:26], np.s_[14:46, 34:46], np.s_[19:41, 69:91]):  # at the edges colours mix
        assert sorted(pet.mask[inside].mean() for pet in result.pets) == [0, 0, 1]
    assert result.pets[0].score > 0.5
    _ = result.pets
    assert network.encoded == 1
    assert not network.asked


def test_in_a_crowd_more_places_are_looked_at(network: ColourClicks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network.manifest, "size", 192)
    rows, columns = np.indices((192, 192))
    twelve = np.stack([columns // 48 * 80, rows // 64 * 120, np.zeros_like(rows)], -1).astype(np.uint8)
    mask = np.zeros((192, 192), np.uint8)
    mask[2:190, 2:190] = 1

    def count() -> int:
        found = Separator().planes(lambda: twelve, mask)
        assert found is not None
        return len(np.unique(found[1].argmax(0)[mask != 0]))

    assert count() == 12
    monkeypatch.setattr(places, "CROWD", 99)
    assert count() <= places.PLACES


def test_without_a_pet_nobody_is_asked(network: ColourClicks, photo: NDArray[np.uint8]) -> None:
    assert Segmenter("tiny").segment(np.full_like(photo, 128)).pets == ()
    assert not network.encoded


def test_after_map_and_after_pickling(
    network: ColourClicks, photo: NDArray[np.uint8], tmp_path: Path
) -> None:
    segmenter = Segmenter("tiny")
    direct = [pet.box for pet in segmenter.segment(photo).pets]
    for result in segmenter.map([photo, photo]):
        assert [pet.box for pet in result.pets] == direct
    fresh = pickle.loads(pickle.dumps(segmenter.segment(photo)))
    assert [pet.box for pet in fresh.pets] == direct
    assert pickle.loads(pickle.dumps(Separator("cuda:1", 2))) == Separator("cuda:1", 2)


def test_a_photo_that_is_gone_says_so(
    network: ColourClicks, photo: NDArray[np.uint8], tmp_path: Path
) -> None:
    from PIL import Image

    path = tmp_path / "gone.png"
    Image.fromarray(photo).save(path)
    (result,) = Segmenter("tiny").map([path], keep_photos=False)
    path.unlink()
    with pytest.raises(ImageError, match=r"gone\.png"):
        _ = result.pets
    assert not network.encoded


def test_without_a_promptable_model_animals_are_regions(
    photo: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apart.catalog, "takers", lambda _: [])
    result = Segmenter("tiny").segment(photo)
    assert [pet.label for pet in result.pets] == ["cat", "dog"]


def test_a_promptable_model_that_tells_nobody_apart_is_not_looked_at(
    network: ColourClicks, photo: NDArray[np.uint8]
) -> None:
    network.manifest.apart = False
    result = Segmenter("tiny").segment(photo)
    assert [pet.label for pet in result.pets] == ["cat", "dog"]
    assert not network.encoded


def test_a_stricter_threshold_has_animals_of_its_own(network: ColourClicks, photo: NDArray[np.uint8]) -> None:
    result = Segmenter("tiny").segment(photo).with_threshold(0.9)
    check_shared_out(result)


def test_a_close_up_is_cut_out_of_the_photo(network: ColourClicks) -> None:
    pixels = np.full((400, 600, 3), GREY, np.uint8)
    pixels[100:180, 100:160], pixels[100:180, 160:220] = RED, PURPLE
    result = Segmenter("tiny").segment(pixels)
    assert len(result.pets) == 2
    check_shared_out(result)
    for inside in (np.s_[112:168, 112:148], np.s_[112:168, 172:208]):
        assert sorted(pet.mask[inside].mean() for pet in result.pets) == [0, 1]
