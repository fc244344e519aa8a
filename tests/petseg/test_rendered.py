"""What one does with an answer or with one animal: crops, cutouts, files."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from petseg.errors import ImageError, OutputError
from petseg.pets import Pet
from petseg.pixels import pictures
from tests.support.drawn_answers import CAT, DOG, HEIGHT, WIDTH, answer, pixels

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


@pytest.mark.parametrize(
    "copy",
    [
        np.zeros((HEIGHT // 2, WIDTH // 2, 1), np.uint8),
        np.zeros((HEIGHT // 2, WIDTH // 2, 3), np.float32),  # would be black
        np.zeros((0, WIDTH, 3), np.uint8),
        np.zeros((3, WIDTH, 3), np.uint8),  # a part of it
        np.zeros((HEIGHT + 1, WIDTH + 1, 3), np.uint8),
    ],
)
def test_what_is_no_smaller_copy_of_the_photo(copy: NDArray[Any]) -> None:
    with pytest.raises(OutputError, match="no smaller copy of a photo"):
        answer(CAT).thumbnail(copy)


@pytest.mark.parametrize("times", [2, 3, 7])
def test_a_copy_may_be_rounded_either_way(times: int) -> None:
    photo = answer(CAT).photo
    for copy in (photo[::times, ::times], photo[: HEIGHT // times, : WIDTH // times]):
        assert answer(CAT).thumbnail(copy).size == (copy.shape[1], copy.shape[0])


class Sink(io.BytesIO):
    """Takes a few bytes at a time, as a pipe without a buffer does, up to a limit."""

    limit = 1 << 30

    def write(self, data: Any) -> int:
        return super().write(data[: min(100, self.limit - self.tell())])


def test_a_file_without_a_buffer_gets_all_of_it() -> None:
    sink, whole = Sink(), io.BytesIO()
    answer(CAT).save(sink)
    answer(CAT).save(whole)
    assert len(whole.getvalue()) > 100
    assert sink.getvalue() == whole.getvalue()


def test_a_file_that_takes_no_more() -> None:
    sink = Sink()
    sink.limit = 150
    with pytest.raises(OutputError, match=r"it takes no more.*look at its disk"):
        answer(CAT).save(sink)
