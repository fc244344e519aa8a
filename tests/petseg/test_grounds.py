"""Pets on other grounds: colours, grey, blurred, another photo."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageColor

from petseg.errors import ImageError, OutputError
from tests.support.drawn_answers import CAT, DOG, GREEN, HEIGHT, WIDTH, answer, pixels


@pytest.mark.parametrize(
    ("background", "colour"),
    [
        ("white", (255, 255, 255)),
        (" White ", (255, 255, 255)),
        ("#102030", (16, 32, 48)),
        ("#fff", (255, 255, 255)),
        ("rgb(1, 2, 3)", (1, 2, 3)),
        ((9, 8, 7), (9, 8, 7)),
        ("rebeccapurple", ImageColor.getrgb("rebeccapurple")),
        ("#808080", (128, 128, 128)),
    ],
)
def test_on_a_colour(background: Any, colour: tuple[int, int, int]) -> None:
    result = answer(CAT)
    image = result.on(background)
    assert (image.mode, image.size) == ("RGB", result.size)
    cutout = pixels(result.cutout())
    opacity = cutout[..., 3:] / 255
    expected = cutout[..., :3] * opacity + np.array(colour) * (1 - opacity)
    assert np.abs(pixels(image) - expected).max() <= 1


@pytest.mark.parametrize("word", ["grey", "gray", "GREY"])
def test_in_grey_the_pets_alone_have_colours(word: str) -> None:
    result = answer(CAT)
    image = pixels(result.on(word))
    away = np.asarray(result.cutout())[..., 3] == 0
    assert np.ptp(image[away], axis=1).max() == 0
    assert np.ptp(image[result.mask != 0], axis=1).min() > 50
    grey = pixels(Image.fromarray(result.photo).convert("L"))
    np.testing.assert_array_equal(image[..., 0][away], grey[away])


@pytest.mark.parametrize("size", [(160, 120), (1600, 1200)])
def test_a_blurred_ground_has_nothing_of_the_pets(size: tuple[int, int]) -> None:
    """Else they would shine around themselves: here the ground is of one colour, and stays it."""
    result = answer(CAT, DOG, size=size)
    photo = result.photo.copy()
    opacity = np.asarray(result.cutout())[..., 3]
    photo[opacity != 0] = (255, 0, 0)
    result = answer(CAT, DOG, size=size, photo=photo)
    image = pixels(result.on("blur"))
    clear = (opacity == 0) & (np.asarray(result.cutout())[..., 3] == 0)
    assert np.abs(image[clear] - GREEN).max() <= 3
    np.testing.assert_array_equal(image[opacity == 255], photo[opacity == 255])


def test_a_blurred_ground_is_blurred() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    result = answer(CAT, photo=noise)
    away = np.asarray(result.cutout())[..., 3] == 0
    assert pixels(result.on("blur"))[away].std() < 0.2 * noise[away].std()


def test_a_pet_that_fills_the_frame_leaves_nothing_to_blur() -> None:
    result = answer((1, slice(0, 32), slice(0, 32)))
    np.testing.assert_array_equal(np.asarray(result.on("blur")), result.photo)


def test_on_another_photo_which_is_cut_to_fill_the_frame(tmp_path: Path) -> None:
    other = np.zeros((50, 200, 3), np.uint8)
    other[:, 100:] = (0, 0, 255)
    Image.fromarray(other).save(tmp_path / "beach.png")
    result = answer(CAT)
    away = np.asarray(result.cutout())[..., 3] == 0
    for background in (str(tmp_path / "beach.png"), tmp_path / "beach.png", other, Image.fromarray(other)):
        image = pixels(result.on(background))
        assert (image[5, 20] == 0).all()
        assert (image[5, 140] == (0, 0, 255)).all()
        assert away[5, 20]


def test_a_cropped_picture_on_a_ground() -> None:
    result = answer(CAT, DOG)
    for each in (result, *result.pets):
        assert each.on("white", crop=True).size == each.crop().size
    photo = np.zeros((9, 9, 3), np.uint8)
    assert (np.asarray(result.on(photo, crop=True))[0, 0] == 0).all()


@pytest.mark.parametrize(
    ("background", "error", "message"),
    [
        ("whit", OutputError, "'whit' is no colour and no file; give a name as 'white'"),
        ("", OutputError, "is no colour and no file"),
        (".", ImageError, "is a folder"),
        ("a\0b", OutputError, "no colour and no file"),
        ("#12", OutputError, "no colour and no file"),
        ("#11223344", OutputError, "has an opacity; leave it out"),
        ((1, 2), OutputError, r"give \(red, green, blue\)"),
        ((1, 2, 256), OutputError, r"of 0\.\.255"),
        ((1, 2, 3.5), OutputError, r"of 0\.\.255"),
        (None, ImageError, "is no photo"),
        (7, ImageError, "is no photo"),
        (b"nonsense", ImageError, "in no image format"),
        (Path("missing.jpg"), ImageError, "does not exist"),
    ],
)
def test_what_is_no_ground(background: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        answer(CAT).on(background)
