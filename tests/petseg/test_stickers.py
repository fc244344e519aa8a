"""Stickers: an outline, a shadow, a clear square of any side."""

from typing import Any

import numpy as np
import pytest

from petseg.errors import OutputError
from petseg.pets import Pet
from tests.support.drawn_answers import CAT, DOG, WIDTH, answer, pixels


def test_a_sticker_has_a_white_outline_and_a_shadow_on_a_clear_square() -> None:
    sticker = answer(CAT).sticker()
    assert (sticker.mode, sticker.size) == ("RGBA", (512, 512))
    image = pixels(sticker)
    opacity = image[..., 3]
    assert not image[opacity == 0].any()  # what is clear holds no colour
    assert not opacity[[0, -1]].any()
    assert not opacity[:, [0, -1]].any()
    middle = image[256]  # from the left: nothing, shadow, outline, pet
    red, green, _, alpha = middle.T
    kinds = np.select(
        [alpha < 30, middle.min(1) > 240, (red > 150) & (green < 75)], ["clear", "white", "red"], "-"
    ).tolist()
    order = [kind for kind in dict.fromkeys(kinds) if kind != "-"]
    assert order == ["clear", "white", "red"]
    assert 8 <= kinds[:256].count("white") <= 16
    below = image[-20:, 200:300]
    assert (below[..., 3] > 0).any()
    assert (below[(below[..., 3] > 0) & (below[..., 3] < 60)][:, :3] == 0).all()


def test_a_sticker_has_the_colours_of_the_pet_not_of_what_was_behind_it() -> None:
    image = pixels(answer(CAT, size=(600, 450)).sticker())
    green = (image[..., 1] > image[..., 0] + 10) & (image[..., 3] > 20)
    assert not green.any()


@pytest.mark.parametrize("size", [(160, 120), (2000, 1500), (40, 30)])
def test_stickers_fill_their_square_at_any_size(size: tuple[int, int]) -> None:
    result = answer(DOG, size=size)
    for each in (result, *result.pets):
        seen = each.sticker().getbbox(alpha_only=True)
        assert seen is not None
        assert max(seen[2] - seen[0], seen[3] - seen[1]) >= 490


def test_a_sticker_of_each_animal() -> None:
    result = answer(CAT, DOG)
    whole, *own = (pixels(each.sticker(128))[..., 3] > 200 for each in (result, *result.pets))
    assert all(np.count_nonzero(each) > np.count_nonzero(whole) for each in own)


def test_a_pet_that_touches_the_frame_is_cut_straight_there() -> None:
    for place in ((slice(4, 20), slice(0, 9)), (slice(4, 28), slice(20, 32)), (slice(0, 32), slice(0, 32))):
        result = answer((1, *place))
        sticker = result.sticker()
        assert sticker.size == (512, 512)
        assert sticker.getbbox(alpha_only=True) is not None
        assert result.crop().size[0] <= WIDTH


def test_one_pixel_is_a_pet_too() -> None:
    whole = answer(size=(50, 40))
    mask = np.zeros((40, 50), bool)
    mask[39, 49] = True
    pet = Pet.of(mask, "cat", 0.7).within(answer((1, slice(0, 32), slice(0, 32)), size=(50, 40)))
    assert pet.crop().size == (2, 2)
    assert pet.cutout(crop=True).size == (2, 2)
    assert np.asarray(pet.cutout())[39, 49, 3] >= 128
    assert pet.sticker().getbbox(alpha_only=True) is not None
    assert pet.on("black", crop=True).getpixel((1, 1)) != (0, 0, 0)
    assert whole.pets == ()


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (2, 3)])
def test_tiny_and_thin_photos(size: tuple[int, int]) -> None:
    result = answer((1, slice(0, 32), slice(0, 32)), size=size)
    (pet,) = result.pets
    for each in (result, pet):
        assert each.crop().size == size
        assert each.sticker().size == (512, 512)
        for background in ("white", "blur", "grey", np.zeros((5, 5, 3), np.uint8)):
            assert each.on(background).size == size


@pytest.mark.parametrize("side", [15, 4097, 0, -1, 64.5, "512", None, float("nan")])
def test_impossible_sides(side: Any) -> None:
    with pytest.raises(OutputError, match="from 16 to 4096"):
        answer(CAT).sticker(side)


@pytest.mark.parametrize("side", [16, 100, 1000])
def test_stickers_of_other_sides(side: int) -> None:
    sticker = answer(CAT).sticker(side)
    assert sticker.size == (side, side)
    assert np.asarray(sticker)[side // 2, side // 2, 3] == 255
