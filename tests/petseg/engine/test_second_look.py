from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from petseg.engine.second_look import MOST, Look, look_again, see, worth
from petseg.measure.metrics import binary_iou
from petseg.pixels.geometry import FILL, Letterbox
from petseg.segmentation import Segmentation

SIZE = 64
RED, BLUE, GREY = (230, 20, 20), (20, 20, 230), (100, 100, 100)


class ByColour:
    """A network that calls red a cat and blue a dog, and counts the photos that it saw."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.seen.append(len(images))
        red, blue = images[:, 0].astype(np.float32), images[:, 2].astype(np.float32)
        cat, dog = (red - blue - 60) / 10, (blue - red - 60) / 10
        return np.stack([np.zeros_like(cat), cat, dog], axis=1)


def drawn(
    width: int, height: int, pets: Sequence[tuple[int, int, int, tuple[int, int, int]]]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A grey photo with discs (x, y, radius, colour), and its mask."""
    photo, mask = np.full((height, width, 3), GREY, np.uint8), np.zeros((height, width), np.uint8)
    y, x = np.mgrid[:height, :width] + 0.5
    for left, top, radius, colour in pets:
        disc = np.hypot(x - left, y - top) < radius
        photo[disc], mask[disc] = colour, 1 if colour == RED else 2
    return photo, mask


def answer(photo: NDArray[np.uint8], network: ByColour) -> Segmentation:
    return Segmentation(*see(photo, SIZE, FILL, network), photo, "by colour")


@pytest.mark.parametrize("pets", [[], [(300, 200, 150, RED)], [(300, 200, 150, RED), (560, 30, 8, BLUE)]])
def test_an_ordinary_photo_is_seen_once(pets: list[tuple[int, int, int, tuple[int, int, int]]]) -> None:
    network = ByColour()
    photo, _ = drawn(600, 400, pets)
    look = see(photo, SIZE, FILL, network)
    assert network.seen == [1]
    assert look.letterbox == Letterbox.fit(600, 400, SIZE)


def test_a_small_pet_is_seen_closely() -> None:
    photo, mask = drawn(900, 600, [(200, 150, 40, RED)])
    network = ByColour()
    found = answer(photo, network)
    assert network.seen == [1, 1]
    whole = Letterbox.fit(900, 600, SIZE)
    once = Segmentation(ByColour()(whole.apply(photo).transpose(2, 0, 1)[None])[0], whole, photo, "once")
    assert binary_iou(mask == 1, found.mask == 1) > 0.95 > binary_iou(mask == 1, once.mask == 1)
    assert found.label == "cat"


def test_several_small_pets_apart_are_seen_in_one_batch() -> None:
    photo, mask = drawn(900, 600, [(60, 60, 30, RED), (800, 80, 30, BLUE), (450, 540, 30, RED)])
    network = ByColour()
    found = answer(photo, network)
    assert network.seen == [1, 3]
    for species in (1, 2):
        assert binary_iou(mask == species, found.mask == species) > 0.9


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("length", [3, 10, 40])
def test_a_panorama_is_seen_in_tiles(length: int, turned: bool) -> None:
    height = 120
    centre = round(0.6 * length * height)
    photo, mask = drawn(length * height, height, [(centre, 60, 40, BLUE), (70, 60, 40, RED)])
    if turned:
        photo, mask = np.ascontiguousarray(photo.transpose(1, 0, 2)), mask.T
    network = ByColour()
    found = answer(photo, network)
    assert len(network.seen) == 2
    assert 3 <= network.seen[1] <= MOST
    at_least = 0.85 if length < 40 else 0.5
    for species in (1, 2):
        assert binary_iou(mask == species, found.mask == species) > at_least


def test_tiles_cover_the_photo_and_overlap() -> None:
    for width in range(300, 5000, 137):
        box = Letterbox.fit(width, 100, SIZE)
        tiles = worth(Look(np.zeros((3, SIZE, SIZE), np.float32), box))
        assert (tiles[0][0], tiles[-1][2]) == (0, width)
        assert all(0 <= after[0] < before[2] for before, after in pairwise(tiles))
        assert {(y0, y1) for _, y0, _, y1 in tiles} == {(0, 100)}
        assert len(tiles) <= MOST


def test_a_smaller_copy_of_the_photo_gives_nearly_the_same() -> None:
    photo, _ = drawn(900, 600, [(200, 150, 40, RED)])
    whole = Letterbox.fit(900, 600, SIZE)
    first = Look(ByColour()(whole.apply(photo).transpose(2, 0, 1)[None])[0], whole)
    full = look_again(first, photo, FILL, ByColour())
    reduced = look_again(first, np.ascontiguousarray(photo[::2, ::2]), FILL, ByColour())
    assert full.letterbox == reduced.letterbox
    masks = [Segmentation(*look, photo, "x").mask != 0 for look in (full, reduced)]
    assert binary_iou(*masks) > 0.95


def test_what_may_be_a_pet_is_looked_at_too() -> None:
    """Too small for the first look to be sure of it: nothing was called pet."""
    photo, mask = drawn(1200, 900, [(700, 300, 8, RED)])
    whole = Letterbox.fit(1200, 900, SIZE)
    logits = ByColour()(whole.apply(photo).transpose(2, 0, 1)[None])[0]
    assert not (logits.argmax(0) != 0).any()
    logits[1] += 3.0  # so unsure that it is no pet, here alone
    logits[1][logits[1] < -2] = -9
    found = look_again(Look(logits, whole), photo, FILL, ByColour())
    assert found.letterbox != whole
    assert binary_iou(mask == 1, Segmentation(*found, photo, "x").mask == 1) > 0.8


class Doubting(ByColour):
    """It is sure of the left half of the square alone, and of a close-up's only where it agrees."""

    def __init__(self, *, agrees: bool) -> None:
        super().__init__()
        self.agrees = agrees

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        logits = super().__call__(images)
        sure = np.zeros(SIZE, bool)
        sure[: SIZE // 2] = True
        most = np.where(sure, 9.0, 1.0) if len(self.seen) == 1 or self.agrees else np.full(SIZE, 1.0)
        logits[:, 1] = np.minimum(logits[:, 1], most.astype(np.float32))
        return logits


@pytest.mark.parametrize("agrees", [True, False])
def test_what_little_is_sure_of_is_looked_at_closely(agrees: bool) -> None:
    photo, _ = drawn(400, 400, [(210, 200, 80, RED)])  # a little more than half of it is unsure
    network = Doubting(agrees=agrees)
    found = answer(photo, network)
    assert network.seen == [1, 1]
    assert found.label == ("cat" if agrees else "background")
    assert found.mask.any() == agrees


def test_a_pet_that_fills_the_photo_is_not_looked_at_closely() -> None:
    photo, _ = drawn(400, 400, [(210, 200, 150, RED)])
    network = Doubting(agrees=False)
    assert answer(photo, network).label == "cat"
    assert network.seen == [1]


def test_a_model_that_is_sure_of_little_is_taken_as_it_is() -> None:
    photo, _ = drawn(400, 400, [(210, 200, 80, RED)])
    network = Doubting(agrees=False)
    look = see(photo, SIZE, FILL, network, doubt=False)
    assert network.seen == [1]
    assert Segmentation(*look, photo, "timid").label == "cat"
