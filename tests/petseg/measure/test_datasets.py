from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from petseg.errors import ImageError, ImageWarning
from petseg.measure.datasets import read_pairs
from petseg.measure.pair import Pair, read_labels, trimap_classes

TRIMAP = np.array([[1, 2, 3], [2, 1, 0]], np.uint8)


def write(path: Path, labels: NDArray[np.uint8] = TRIMAP) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(labels).save(path)
    return path


def write_photo(path: Path, size: tuple[int, int] = (3, 2)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (10, 20, 30)).save(path)


@pytest.fixture
def oxford(tmp_path: Path) -> Path:
    """Three cats and two dogs in the Oxford layout; trainval has four names, two of them without files."""
    for name in ("Maine_Coon_12", "Abyssinian_1", "Bombay_3"):
        write_photo(tmp_path / f"images/{name}.jpg")
        write(tmp_path / f"annotations/trimaps/{name}.png")
    for name in ("beagle_2", "english_cocker_spaniel_7"):
        write_photo(tmp_path / f"images/{name}.jpg")
        write(tmp_path / f"annotations/trimaps/{name}.png")
    (tmp_path / "annotations/trainval.txt").write_text(
        "beagle_2 1 2 1\nMaine_Coon_12 2 1 1\n\nno_photo_1 3 2 2\nNo_Files_1 4 1 2\n"
    )
    write(tmp_path / "annotations/trimaps/no_photo_1.png")
    (tmp_path / "annotations/list.txt").write_text("#Image CLASS-ID SPECIES BREED\nBombay_3 1 1 1\n")
    (tmp_path / "annotations/empty.txt").write_text("nobody_1 1 1 1\n")
    return tmp_path


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    for name, suffix in (("b_cat_2", ".jpg"), ("a_dog_1", ".PNG"), ("lonely", ".jpg")):
        write_photo(tmp_path / f"images/{name}{suffix}")
    for folder in ("masks", "pseudo"):
        for name in ("b_cat_2", "a_dog_1", "no_photo"):
            write(tmp_path / folder / f"{name}.png", np.array([[0, 1, 2], [255, 1, 0]], np.uint8))
    (tmp_path / "images/notes.txt").write_text("not a photo")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "species", "breed"),
    [
        ("Maine_Coon_12", 1, "Maine_Coon"),
        ("Abyssinian_100", 1, "Abyssinian"),
        ("beagle_2", 2, "beagle"),
        ("english_cocker_spaniel_7", 2, "english_cocker_spaniel"),
        ("catseg_cat_0", 2, "catseg_cat"),
        ("coco_000000123_2", 2, "coco"),
        ("lonely", 2, "lonely"),
    ],
)
def test_species_and_breed_stand_in_the_name(name: str, species: int, breed: str) -> None:
    pair = Pair(name, Path("x.jpg"), Path("x.png"), trimap=True)
    assert (pair.species, pair.breed) == (species, breed)


@pytest.mark.parametrize("species", [1, 2])
def test_trimap_classes(species: int) -> None:
    expected = np.array([[species, 0, 255], [0, species, 255]], np.uint8)
    result = trimap_classes(TRIMAP, species)
    np.testing.assert_array_equal(result, expected)
    assert result.dtype == np.uint8


def test_a_mask_of_one_bit_is_no_cat(plain: Path) -> None:
    """Programs write such masks of 0 and 255; read as class numbers they were cats everywhere."""
    shape = Image.open(plain / "masks" / "a_dog_1.png").size
    mask = Image.new("1", shape)
    mask.save(plain / "masks" / "a_dog_1.png")
    assert not read_pairs(plain)[0].read_mask().any()
    mask.putpixel((0, 0), 1)
    mask.save(plain / "masks" / "a_dog_1.png")
    with pytest.raises(ImageError, match=r"a_dog_1\.png has one bit .* --classes 0=background,255=cat"):
        read_pairs(plain)[0].read_mask()
    (pair, _) = read_pairs(plain, classes={"0": "background", "1": "cat", "2": "ignored", "255": "dog"})
    assert (pair.read_mask()[0, 0], int(pair.read_mask().sum())) == (2, 2)


def test_oxford_split_is_sorted_and_may_be_a_subset(oxford: Path) -> None:
    with pytest.warns(ImageWarning, match=r"2 of the 4 names in the list 'trainval' .*No_Files_1, say"):
        pairs = read_pairs(oxford, "trainval")
    assert [pair.name for pair in pairs] == ["Maine_Coon_12", "beagle_2"]
    assert all(pair.trimap for pair in pairs)
    np.testing.assert_array_equal(pairs[0].read_mask(), trimap_classes(TRIMAP, 1))
    np.testing.assert_array_equal(pairs[1].read_mask(), trimap_classes(TRIMAP, 2))
    assert pairs[0].read_image().shape == (2, 3, 3)


def test_oxford_without_split_takes_every_whole_pair(oxford: Path) -> None:
    # macOS leaves such files in the official archive.
    (oxford / "annotations/trimaps/._beagle_2.png").write_bytes(b"junk")
    assert [pair.name for pair in read_pairs(oxford)] == [
        "Abyssinian_1",
        "Bombay_3",
        "Maine_Coon_12",
        "beagle_2",
        "english_cocker_spaniel_7",
    ]


def test_comments_in_a_list_are_skipped(oxford: Path) -> None:
    assert [pair.name for pair in read_pairs(oxford, "list")] == ["Bombay_3"]


@pytest.mark.parametrize("masks", ["masks", "pseudo"])
def test_plain_folders(plain: Path, masks: str) -> None:
    pairs = read_pairs(str(plain), masks=masks)
    assert [pair.name for pair in pairs] == ["a_dog_1", "b_cat_2"]
    assert [pair.image.name for pair in pairs] == ["a_dog_1.PNG", "b_cat_2.jpg"]
    for pair in pairs:
        assert not pair.trimap
        assert pair.mask.parent.name == masks
        np.testing.assert_array_equal(pair.read_mask(), [[0, 1, 2], [255, 1, 0]])


def test_of_two_photos_with_one_stem_the_mask_says_which(plain: Path) -> None:
    write_photo(plain / "images/a_dog_1.webp")
    with pytest.raises(ImageError, match=r"a_dog_1\.PNG and a_dog_1\.webp are two photos.*a_dog_1\.PNG\.png"):
        read_pairs(plain)
    (plain / "masks/a_dog_1.png").rename(plain / "masks/a_dog_1.webp.png")
    with pytest.warns(ImageWarning, match=r"2 of the photos in .* have no mask \(a_dog_1\.PNG, say\)"):
        pairs = read_pairs(plain)
    assert [(pair.name, pair.image.name) for pair in pairs] == [
        ("a_dog_1.webp", "a_dog_1.webp"),
        ("b_cat_2", "b_cat_2.jpg"),
    ]


@pytest.mark.parametrize("ending", [".mask.png", ".jpg.mask.png", ".jpg.png"])
def test_masks_may_be_called_as_petseg_calls_its_own(tmp_path: Path, ending: str) -> None:
    write_photo(tmp_path / "images/a.jpg")
    mask = write(tmp_path / f"masks/a{ending}", np.ones((2, 3), np.uint8))
    (tmp_path / "masks/a.overlay.jpg").write_bytes(b"of the same run")
    assert [(pair.image.name, pair.mask) for pair in read_pairs(tmp_path)] == [("a.jpg", mask)]


def test_two_masks_of_one_photo_are_refused(plain: Path) -> None:
    write(plain / "masks/a_dog_1.mask.png")
    with pytest.raises(ImageError, match=r"a_dog_1\.mask\.png and .*a_dog_1\.png are masks of one photo"):
        read_pairs(plain)


def test_what_is_left_out_is_counted(plain: Path) -> None:
    photo = r"1 of the photos in .*images has no mask \(lonely\.jpg, say\)"
    mask = r"1 of the masks in .*masks has no photo \(no_photo\.png, say\)"
    with pytest.warns(ImageWarning, match=f"^{photo} and {mask}: they are left out"):
        read_pairs(plain)
    (plain / "images/lonely.jpg").unlink()
    with pytest.warns(ImageWarning, match=f"^{mask}: they"):
        read_pairs(plain)
    (plain / "masks/no_photo.png").unlink()
    for name in "xy":
        write_photo(plain / f"images/{name}.jpg")
    with pytest.warns(ImageWarning, match=r"^2 of the photos in .*images have no mask \(x\.jpg, say\): they"):
        read_pairs(plain)


def test_a_mask_that_is_a_jpeg_is_refused_with_the_reason(plain: Path) -> None:
    write(plain / "masks/lonely.jpg")  # beside masks that are sound
    with pytest.raises(ImageError, match=r"lonely\.jpg is no PNG file: JPEG .* blur labels"):
        read_pairs(plain)
    (plain / "masks/lonely.jpg").rename(plain / "masks/lonely.png")
    with pytest.raises(ImageError, match=r"lonely\.png is a JPEG, which blurs labels"):
        read_labels(plain / "masks/lonely.png")


@pytest.mark.parametrize("missing", ["images", "masks"])
def test_missing_folder_is_named(tmp_path: Path, missing: str) -> None:
    for name in {"images", "masks"} - {missing}:
        (tmp_path / name).mkdir()
    with pytest.raises(ImageError, match=rf"{missing} is missing .*expected images/ beside masks/"):
        read_pairs(tmp_path)


def test_missing_mask_folder_of_another_name(plain: Path) -> None:
    with pytest.raises(ImageError, match="auto is missing"):
        read_pairs(plain, masks="auto")


def test_no_whole_pair(tmp_path: Path) -> None:
    write_photo(tmp_path / "images/a.jpg")
    write(tmp_path / "masks/b.png")
    with pytest.raises(ImageError, match=r"no photo with a mask of the same name$"):
        read_pairs(tmp_path)


def test_no_whole_pair_in_the_split(oxford: Path) -> None:
    with pytest.raises(ImageError, match="no photo with a mask of the same name in empty"):
        read_pairs(oxford, "empty")


def test_unknown_split(oxford: Path) -> None:
    with pytest.raises(ImageError, match=r"no split 'holdout': .*holdout\.txt cannot be read"):
        read_pairs(oxford, "holdout")


@pytest.mark.parametrize("mode", ["L", "P"])
def test_labels_are_read_as_numbers_whatever_the_palette(tmp_path: Path, mode: str) -> None:
    labels = np.array([[0, 1, 2], [255, 1, 0]], np.uint8)
    image = Image.fromarray(labels)
    if mode == "P":
        image.putpalette([value for index in range(256) for value in (255 - index, 0, index)])
    image.save(tmp_path / "m.png")
    result = read_labels(tmp_path / "m.png")
    np.testing.assert_array_equal(result, labels)
    assert result.dtype == np.uint8


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "I;16"])
def test_labels_of_several_channels_or_16_bits_are_refused(tmp_path: Path, mode: str) -> None:
    Image.new(mode, (2, 2)).save(tmp_path / "m.png")
    with pytest.raises(ImageError, match=rf"m\.png has mode {mode}; expected a single-channel 8-bit"):
        read_labels(tmp_path / "m.png")


@pytest.mark.parametrize("damage", ["absent", "empty", "text", "truncated"])
def test_unreadable_labels(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "m.png"
    if damage == "truncated":
        write(path, np.random.default_rng(0).integers(0, 3, (64, 64), np.uint8))
        path.write_bytes(path.read_bytes()[:200])
    elif damage != "absent":
        path.write_text("" if damage == "empty" else "no image")
    with pytest.raises(ImageError, match=r"mask .*m\.png cannot be read"):
        read_labels(path)
