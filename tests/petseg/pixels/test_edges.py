"""Outlines at the photo's own resolution, and their colours."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from petseg.pixels import opacity
from petseg.pixels.geometry import Letterbox
from petseg.pixels.margins import Margins
from petseg.pixels.opacity import OfPets
from petseg.segmentation import Segmentation

SIDE = 64
WIDTH, HEIGHT = 1024, 768
RED, GREEN = np.array((190, 60, 40)), np.array((60, 150, 70))
WHOLE = (0, 0, WIDTH, HEIGHT)


def tufted(finer: int = 1) -> NDArray[np.bool_]:
    """(finer * HEIGHT, finer * WIDTH) a disc whose edge has tufts, smaller than the network's pixels."""
    y, x = np.mgrid[: HEIGHT * finer, : WIDTH * finer] / finer
    angle, radius = np.arctan2(y - HEIGHT / 2, x - WIDTH / 2), np.hypot(y - HEIGHT / 2, x - WIDTH / 2)
    return np.asarray(radius < 220 + 7 * np.sin(angle * 90))


def painted(share: NDArray[np.floating], noise: float = 6.0) -> NDArray[np.uint8]:
    """A red animal on green ground, by the share (H, W) of the animal in each pixel, with grain."""
    photo = share[..., None] * RED + (1 - share[..., None]) * GREEN
    photo += np.random.default_rng(0).normal(0, noise, photo.shape)
    return np.clip(photo, 0, 255).astype(np.uint8)


def seen(pet: NDArray[np.bool_], side: int = SIDE) -> Margins:
    """What a network says that sees where the animal is (H, W), at its own pixels."""
    box = Letterbox.fit(pet.shape[1], pet.shape[0], side)
    square = np.full((side, side), -3, np.float32)
    small = Image.fromarray(pet.astype(np.float32)).resize(
        (box.inner_width, box.inner_height), Image.Resampling.BOX
    )
    square[box.inner] = np.asarray(small) * 6 - 3
    return Margins(box, square, np.full((side, side), -20, np.float32))


def cut(pets: OfPets) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Opacity (H, W) and colours (H, W, 3) of the whole photo."""
    colours = np.zeros_like(pets.photo)
    return pets.cut((0, 0, pets.photo.shape[1], pets.photo.shape[0]), colours), colours


def alone(pets: OfPets) -> OfPets:
    """Without what the photo's colours say."""
    return replace(pets, edges=replace(pets.edges, slopes=np.zeros_like(pets.edges.slopes)))


def test_the_outline_follows_what_the_network_cannot_see() -> None:
    pet = tufted()
    pets = OfPets.of(painted(pet.astype(float)), seen(pet), None)
    errors = [np.abs(each.part(WHOLE) / 255 - pet).sum() for each in (alone(pets), pets)]
    assert errors[1] < 0.5 * errors[0]


def test_what_the_network_is_sure_of_stays() -> None:
    """Spots of the other's colour, on the animal and beside it, are no holes and no ghosts."""
    pet = tufted()
    share = pet.astype(float)
    share[HEIGHT // 2 - 20 : HEIGHT // 2 + 20, WIDTH // 2 - 20 : WIDTH // 2 + 20] = 0
    share[20:60, 20:60] = 1
    opaque = OfPets.of(painted(share), seen(pet), None).part(WHOLE)
    assert (opaque[HEIGHT // 2 - 25 : HEIGHT // 2 + 25, WIDTH // 2 - 25 : WIDTH // 2 + 25] == 255).all()
    assert not opaque[:70, :70].any()


@pytest.mark.parametrize("threshold", [None, 0.3, 0.8])
def test_colours_that_say_nothing_change_nothing(threshold: float | None) -> None:
    margins = seen(tufted())
    photo = np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    pets = OfPets.of(photo, margins, threshold)
    change = np.abs(pets.part(WHOLE).astype(int) - alone(pets).part(WHOLE))
    assert change.mean() < 0.3
    gray = OfPets.of(np.full((HEIGHT, WIDTH, 3), 127, np.uint8), margins, threshold)
    np.testing.assert_array_equal(gray.part(WHOLE), alone(gray).part(WHOLE))
    pet = 1 / (1 + np.exp(-margins.letterbox.restore(np.logaddexp(margins.cat, margins.dog))))
    if threshold is not None:
        odds = pet / (1 - pet) * (1 - threshold) / threshold
        pet = odds / (1 + odds)
    assert np.abs(gray.part(WHOLE) - 255 * np.clip(2 * pet - 0.5, 0, 1)).max() <= 1


def test_a_photo_that_the_network_saw_whole_has_no_more_to_say() -> None:
    pet = tufted()[::8, ::8]
    pets = OfPets.of(painted(pet.astype(float)), seen(pet), None)
    assert pets.letterbox.pixel == 2
    assert not pets.edges.slopes.any()


def test_half_clear_pixels_have_the_animals_colour() -> None:
    share = np.asarray(Image.fromarray(tufted(2).astype(np.float32)).reduce(8)).astype(float)
    photo = painted(share, noise=0)
    opaque, colours = cut(OfPets.of(photo, seen(share > 0.5), None))
    mixed = (opaque > 25) & (opaque < 230)
    assert np.count_nonzero(mixed) > 100
    before, after = (np.abs(each[mixed] - RED).mean() for each in (photo.astype(int), colours.astype(int)))
    assert after < 0.4 * before
    solid = opaque == 255
    np.testing.assert_array_equal(colours[solid], photo[solid])


def test_the_mask_knows_no_colours() -> None:
    pet = tufted()
    margins = seen(pet)
    logits = np.stack([np.zeros_like(margins.cat), margins.cat, margins.dog])
    photos = painted(pet.astype(float)), np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    answers = [Segmentation(logits, margins.letterbox, photo, "drawn") for photo in photos]
    cutouts = [np.asarray(answer.cutout())[..., 3] for answer in answers]
    assert (cutouts[0] != cutouts[1]).any()
    np.testing.assert_array_equal(answers[0].mask, answers[1].mask)
    np.testing.assert_array_equal(answers[0].alpha, answers[1].alpha)


def test_tiles_join(monkeypatch: pytest.MonkeyPatch) -> None:
    pet = tufted()
    pets = OfPets.of(painted(pet.astype(float)), seen(pet), None)
    opaque, colours = cut(pets)
    monkeypatch.setattr(opacity, "_TILE", 4000)
    whole = cut(pets)
    assert np.abs(opaque.astype(int) - whole[0]).max() <= 1
    assert np.abs(colours[opaque > 0].astype(int) - whole[1][opaque > 0]).max() <= 1


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (2, 3), (40, 2000)])
def test_photos_of_any_shape(size: tuple[int, int]) -> None:
    photo = np.random.default_rng(2).integers(0, 256, (size[1], size[0], 3), np.uint8)
    opaque, colours = cut(OfPets.of(photo, seen(np.ones(size[::-1], bool)), None))
    assert (opaque == 255).all()
    np.testing.assert_array_equal(colours, photo)
