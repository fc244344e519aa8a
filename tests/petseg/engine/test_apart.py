"""The promptable model tells the animals of a photo apart."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from petseg import Segmenter
from petseg.clicks import apart as clicks_apart
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


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> ColourClicks:
    """Takes the place of the promptable model."""
    network = ColourClicks()
    monkeypatch.setattr(apart, "open_model", lambda *_: network)
    return network


def check_shared_out(result: Any) -> None:
    """No pixel in two animals, none in no animal, largest first."""
    total = sum(pet.mask.astype(int) for pet in result.pets)
    np.testing.assert_array_equal(total, result.mask != 0)
    assert [pet.area for pet in result.pets] == sorted((pet.area for pet in result.pets), reverse=True)


def test_two_cats_that_touch_and_a_dog(network: ColourClicks, photo: NDArray[np.uint8]) -> None:
    result = Segmenter("tiny").segment(photo)
    assert not network.asked
    assert [pet.label for pet in result.pets] == ["cat", "dog", "cat"]
    check_shared_out(result)
    first, _, third = result.pets
    assert abs(first.box[2] - 30) <= 2
    assert abs(third.box[0] - 30) <= 2
    assert first.score > 0.5
    asked = network.asked
    _ = result.pets
    assert network.asked == asked > 0
    assert network.encoded == 1


def test_a_model_that_has_said_it_is_not_asked(
    network: ColourClicks, photo: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network.manifest, "apart", True)
    # Of each place its colour; the semantic logits, which come last, are not looked at.
    monkeypatch.setattr(
        network,
        "encode",
        lambda images: {"features_0": images[:, :, 1::2, 1::2] / np.float32(20), "features_1": images},
    )
    result = Segmenter("tiny").segment(photo)
    assert [pet.label for pet in result.pets] == ["cat", "dog", "cat"]
    check_shared_out(result)
    for inside in (np.s_[14:46, 9:26], np.s_[14:46, 34:46], np.s_[19:41, 69:91]):  # at the edge colours mix
        assert sorted(pet.mask[inside].mean() for pet in result.pets) == [0, 0, 1]
    assert not network.asked


def test_without_a_pet_nobody_is_asked(network: ColourClicks, photo: NDArray[np.uint8]) -> None:
    assert Segmenter("tiny").segment(np.full_like(photo, 128)).pets == ()
    assert not network.asked


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
    assert not network.asked


def test_without_a_promptable_model_animals_are_regions(
    photo: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apart.catalog, "takers", lambda _: [])
    result = Segmenter("tiny").segment(photo)
    assert [pet.label for pet in result.pets] == ["cat", "dog"]


def test_a_stricter_threshold_has_animals_of_its_own(network: ColourClicks, photo: NDArray[np.uint8]) -> None:
    result = Segmenter("tiny").segment(photo).with_threshold(0.9)
    check_shared_out(result)


def test_a_close_up_is_cut_out_of_the_photo(network: ColourClicks) -> None:
    pixels = np.full((400, 600, 3), GREY, np.uint8)
    pixels[100:180, 100:160], pixels[100:180, 160:220] = RED, PURPLE
    result = Segmenter("tiny").segment(pixels)
    assert len(result.pets) == 2
    check_shared_out(result)
    for pet, (x0, x1) in zip(
        sorted(result.pets, key=lambda pet: pet.box[0]), [(100, 160), (160, 220)], strict=True
    ):
        assert abs(pet.box[0] - x0) <= 10
        assert abs(pet.box[2] - x1) <= 10


@pytest.mark.parametrize(("count", "together"), [(1, [1]), (2, [2]), (3, [3]), (4, [2, 2]), (7, [2, 2, 3])])
def test_places_are_asked_about_two_at_a_time_and_none_alone(
    network: ColourClicks,
    photo: NDArray[np.uint8],
    monkeypatch: pytest.MonkeyPatch,
    count: int,
    together: list[int],
) -> None:
    asked: list[int] = []
    places, answer = clicks_apart.places, ColourClicks.answer

    def counted(self: ColourClicks, features: Any, prompts: NDArray[np.float32]) -> NDArray[np.float32]:
        assert all(len(values) == len(prompts) for values in features.values())
        asked.append(len(prompts))
        return answer(self, features, prompts)

    monkeypatch.setattr(clicks_apart, "places", lambda pets: np.resize(places(pets), (count, 2)))
    monkeypatch.setattr(ColourClicks, "answer", counted)
    result = Segmenter("tiny").segment(photo)
    check_shared_out(result)
    assert asked == together
    asked.clear()
    network.device = "cuda:0"
    check_shared_out(Segmenter("tiny").segment(photo))
    assert asked == [count]
