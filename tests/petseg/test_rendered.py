"""What one does with an answer or with one animal: crops, other grounds, stickers, files."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageColor

from petseg.errors import ImageError, OutputError
from petseg.pets import Pet
from petseg.pixels import pictures
from petseg.pixels.geometry import Letterbox
from petseg.segmentation import Segmentation

SIDE = 32
WIDTH, HEIGHT = 160, 120
GREEN = (20, 160, 60)
CAT = (1, slice(10, 24), slice(2, 12))
DOG = (2, slice(8, 26), slice(16, 30))


def answer(
    *places: tuple[int, slice, slice], size: tuple[int, int] = (WIDTH, HEIGHT), **given: Any
) -> Segmentation:
    """Red where an animal is said to be, on green ground."""
    logits = np.zeros((3, SIDE, SIDE), np.float32)
    logits[0] = 8
    for number, rows, columns in places:
        logits[:, rows, columns] = -6
        logits[number, rows, columns] = 6
    box = Letterbox.fit(*size, SIDE)
    photo = np.full((size[1], size[0], 3), GREEN, np.uint8)
    photo[Segmentation(logits, box, photo, "tiny").mask != 0] = (200, 30, 40)
    return Segmentation(logits, box, given.pop("photo", photo), "tiny", **given)


def pixels(image: Image.Image) -> NDArray[np.int64]:
    return np.asarray(image).astype(int)


# -- crops ----------------------------------------------------------------------------------------------


def test_a_crop_is_the_photo_around_the_pets() -> None:
    result = answer(CAT)
    (pet,) = result.pets
    image = result.crop(0)
    x0, y0, x1, y1 = pet.box
    assert (image.mode, image.size) == ("RGB", (x1 - x0, y1 - y0))
    np.testing.assert_array_equal(np.asarray(image), result.photo[y0:y1, x0:x1])
    wide = result.crop(0.1)
    more = -(-max(image.size) // 10)
    assert wide.size == (x1 - x0 + min(x0, more) + more, y1 - y0 + 2 * more)
    assert result.crop(100).size == result.size  # as far as the photo goes
    np.testing.assert_array_equal(np.asarray(pet.crop()), np.asarray(result.crop()))


def test_each_animal_has_a_crop_of_its_own() -> None:
    result = answer(CAT, DOG)
    assert [pet.label for pet in result.pets] == ["dog", "cat"]
    widths = [pet.crop(0).width for pet in result.pets]
    assert result.crop(0).width > sum(widths)


@pytest.mark.parametrize("margin", [-0.1, float("nan"), float("inf"), "1", None])
def test_impossible_margins(margin: Any) -> None:
    with pytest.raises(OutputError, match="0 or more"):
        answer(CAT).crop(margin)


# -- cutouts --------------------------------------------------------------------------------------------


def test_a_cropped_cutout_is_part_of_the_whole_one() -> None:
    result = answer(CAT)
    whole, part = result.cutout(), result.cutout(crop=True)
    seen = whole.getbbox(alpha_only=True)
    assert part.size == result.crop().size
    assert seen is not None
    assert np.count_nonzero(np.asarray(part)[..., 3]) == np.count_nonzero(np.asarray(whole)[..., 3])


def test_a_cutout_of_one_animal_shows_no_other() -> None:
    result = answer(CAT, DOG)
    whole = np.asarray(result.cutout())
    parts = [np.asarray(pet.cutout()) for pet in result.pets]
    for pet, part in zip(result.pets, parts, strict=True):
        assert part.shape == whole.shape
        assert (part[..., 3][pet.mask] >= 128).all()
        assert not part[..., 3][(result.mask != 0) & ~pet.mask].any()
        assert not part[part[..., 3] == 0].any()  # what is clear holds no colour
    together = np.maximum(parts[0][..., 3], parts[1][..., 3])
    np.testing.assert_array_equal(together, whole[..., 3])  # far apart: nothing is lost between them


def test_animals_that_touch_share_a_soft_seam() -> None:
    """What one gains there the other loses."""
    left, right = (1, slice(8, 24), slice(4, 16)), (2, slice(8, 24), slice(16, 28))
    result = answer(left, right)
    whole = pixels(result.cutout())[..., 3]
    shares = [pixels(pet.cutout())[..., 3] for pet in result.pets]
    inside = result.mask != 0
    assert np.abs(shares[0] + shares[1] - whole)[inside].max() <= 128 + 2  # a mask is at least half opaque
    seam = (shares[0] > 40) & (shares[1] > 40) & inside
    assert seam.any()
    assert np.count_nonzero(seam) < 0.1 * np.count_nonzero(inside)
    for pet, share in zip(result.pets, shares, strict=True):
        assert (share[pet.mask] >= 60).all()


def test_crumbs_are_in_no_animals_cutout() -> None:
    crumb = (1, slice(5, 6), slice(28, 29))
    result = answer((1, slice(8, 26), slice(2, 20)), crumb)
    assert len(result.pets) == 1
    place = result.mask != 0
    place[:, : WIDTH // 2 + 25] = False
    assert place.any()
    assert (np.asarray(result.cutout())[..., 3][place] > 0).any()
    assert not np.asarray(result.pets[0].cutout())[..., 3][place].any()


def test_cutouts_in_bands_are_those_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    result = answer(CAT, DOG)
    whole = [pixels(each.cutout()) for each in (result, *result.pets)]
    ground = pixels(result.on("grey"))
    sticker = pixels(result.sticker())
    monkeypatch.setattr(pictures, "_STRIP", 1000)
    for each, expected in zip((result, *result.pets), whole, strict=True):
        assert np.abs(pixels(each.cutout()) - expected).max() <= 1
    assert np.abs(pixels(result.on("grey")) - ground).max() <= 1
    assert np.abs(pixels(result.sticker()) - sticker).max() <= 2


# -- other grounds --------------------------------------------------------------------------------------


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


# -- stickers -------------------------------------------------------------------------------------------


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


# -- no pet, no photo -----------------------------------------------------------------------------------


def test_without_a_pet() -> None:
    result = answer()
    result.source = "street.jpg"
    assert result.pets == ()
    assert (np.asarray(result.on("#010203")) == (1, 2, 3)).all()
    assert result.on("blur").size == result.size
    for ask in (
        result.crop,
        result.sticker,
        lambda: result.cutout(crop=True),
        lambda: result.on("white", crop=True),
        lambda: result.encode(None, "sticker"),
        lambda: result.encode(None, "crop"),
    ):
        with pytest.raises(OutputError, match=r"photo 'street\.jpg' shows no pet"):
            ask()
    result.source = None
    with pytest.raises(OutputError, match="the photo shows no pet"):
        result.sticker()


def test_an_animal_of_no_answer_has_no_photo() -> None:
    pet = Pet.of(np.ones((2, 3), bool), "cat", 1.0)
    assert pet.source is None
    for ask in (pet.cutout, pet.crop, pet.sticker, pet.overlay, lambda: pet.on("white")):
        with pytest.raises(OutputError, match=r"take it from result\.pets"):
            ask()


def test_photos_that_were_not_kept_are_read_again(tmp_path: Path) -> None:
    kept = answer(CAT, DOG)
    reads = 0

    def read() -> NDArray[np.uint8]:
        nonlocal reads
        reads += 1
        return kept.photo

    again = answer(CAT, DOG, photo=read)
    for one, other in zip((again, *again.pets), (kept, *kept.pets), strict=True):
        np.testing.assert_array_equal(np.asarray(one.sticker(64)), np.asarray(other.sticker(64)))
    assert reads == 1


def test_a_photo_that_is_gone_is_an_error() -> None:
    def gone() -> NDArray[np.uint8]:
        raise ImageError("photo 'a.jpg' does not exist")

    result = answer(CAT, photo=gone)
    for each in (result, *result.pets):
        for ask in (each.crop, each.sticker, each.cutout, lambda each=each: each.on("white")):
            with pytest.raises(ImageError, match="does not exist"):
                ask()


# -- files ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "name", "mode"),
    [
        ("sticker", "a.png", "RGBA"),
        ("sticker", "a.webp", "RGBA"),
        ("on", "a.jpg", "RGB"),
        ("on", "a.png", "RGB"),
        ("crop", "a.jpg", "RGB"),
        ("crop", "a.webp", "RGB"),
        ("cutout", "a.png", "RGBA"),
        ("mask", "a.png", "P"),
        ("mask-gray", "a.png", "L"),
        ("overlay", "a.jpg", "RGB"),
    ],
)
def test_files_of_the_whole_and_of_each(kind: Any, name: str, mode: str, tmp_path: Path) -> None:
    result = answer(CAT, DOG)
    for number, each in enumerate((result, *result.pets)):
        path = tmp_path / str(number) / name
        each.save(path, kind)
        with Image.open(path) as image:
            assert image.mode == mode
            if "mask" in kind:
                expected = result.mask * (each.mask if isinstance(each, Pet) else 1)
                np.testing.assert_array_equal(np.asarray(image), expected)


@pytest.mark.parametrize(("kind", "name"), [("sticker", "a.jpg"), ("crop", "a.json"), ("on", "a.gif")])
def test_files_that_cannot_hold_it(kind: Any, name: str, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=f"cannot hold a {kind}"):
        answer(CAT).save(tmp_path / name, kind)


def test_options_reach_the_files() -> None:
    result = answer(CAT)
    image = Image.open(io.BytesIO(result.encode(None, "on", background="#123456", crop=True)))
    assert image.size == result.crop().size
    np.testing.assert_array_equal(np.asarray(image), np.asarray(result.on("#123456", crop=True)))
    image = Image.open(io.BytesIO(result.encode(None, "cutout", crop=True)))
    np.testing.assert_array_equal(np.asarray(image), np.asarray(result.cutout(crop=True)))
    buffer = io.BytesIO()
    result.save(buffer, "on", background="black")
    assert Image.open(buffer).getpixel((0, 0)) == (0, 0, 0)


def test_the_json_of_an_animal() -> None:
    result = answer(CAT, DOG)
    for pet in result.pets:
        document = json.loads(pet.encode(None, "json"))
        assert next(iter(document)) == "petseg"
        assert document["label"] == pet.label
        assert document["box"] == list(pet.box)
        assert document["area"] == pet.area
        assert document["model"] == "tiny"
        (polygon,) = document["polygons"]
        expected = next(each for each in result.polygons() if each["label"] == pet.label)
        assert sorted(polygon["exterior"]) == sorted(expected["exterior"])
    with pytest.raises(OutputError, match="0 or more"):
        result.pets[0].polygons(-1)


def test_a_photo_is_not_overwritten_by_its_animal(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    result = answer(CAT)
    Image.fromarray(result.photo).save(path)
    result.source = str(path)
    with pytest.raises(OutputError, match="is the photo itself"):
        result.pets[0].save(path, "sticker")
