"""Masks as other programs write them: refused by name with the way out, or read by a mapping."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from petseg.errors import ImageError
from petseg.measure.datasets import read_pairs
from petseg.measure.evaluation import evaluate
from petseg.measure.labels import LabelMap
from petseg.measure.pair import misfit
from petseg.pixels.classes import BORDER

SHAPE = (6, 8)


def folder_with(root: Path, *masks: Any, suffix: str = ".png") -> Path:
    """A folder in the plain layout, a photo for each mask."""
    for name in ("images", "masks"):
        (root / name).mkdir(exist_ok=True)
    for number, mask in enumerate(masks):
        image = mask if isinstance(mask, Image.Image) else Image.fromarray(np.asarray(mask, np.uint8))
        Image.new("RGB", image.size, (9, 9, 9)).save(root / "images" / f"a_{number}.png")
        image.save(root / "masks" / f"a_{number}{suffix}")
    return root


def mask_of(*values: int) -> np.ndarray:
    mask = np.zeros(SHAPE, np.uint8)
    for column, value in enumerate(values):
        mask[:, column] = value
    return mask


def test_masks_of_0_and_255_are_refused(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, mask_of(0), mask_of(0, 255), mask_of(255))
    with pytest.raises(ImageError, match=r"no mask shows a cat .*a_1.png holds 255, .*not a pet; say what"):
        read_pairs(folder)


@pytest.mark.parametrize("masks", [[mask_of(0)], [mask_of(0, 255), mask_of(0, 2)], [mask_of(255, 1)]])
def test_no_pets_or_borders_beside_pets_are_fine(tmp_path: Path, masks: list[np.ndarray]) -> None:
    assert len(read_pairs(folder_with(tmp_path, *masks))) == len(masks)


@pytest.mark.parametrize("label", [3, 38, 128, 254])
def test_a_label_that_no_class_has_names_its_file(tmp_path: Path, label: int) -> None:
    pairs = read_pairs(folder_with(tmp_path, mask_of(1), mask_of(1, label)))
    pairs[0].read_mask()
    with pytest.raises(ImageError, match=rf"a_1.png holds the label {label}, which no class has.*say what"):
        pairs[1].read_mask()
    with pytest.raises(ImageError, match=rf"holds the label {label}"):
        evaluate(pairs, lambda photo: photo[..., 0] * 0, progress=False)


def test_grey_values_by_a_mapping(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, mask_of(0, 255, 128, 7))
    classes = {"0": "background", "255": "cat", "128": "dog", "7": "ignored"}
    (pair,) = read_pairs(folder, classes=classes)
    np.testing.assert_array_equal(pair.read_mask(), mask_of(0, 1, 2, BORDER))
    del classes["7"]
    (pair,) = read_pairs(folder, classes=classes)
    with pytest.raises(ImageError, match=r"a_0.png holds the value 7, which classes does not name"):
        pair.read_mask()


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_colours_by_a_mapping(tmp_path: Path, mode: str) -> None:
    rgb = np.zeros((*SHAPE, 3), np.uint8)
    rgb[:, 1], rgb[:, 2] = (255, 140, 0), (255, 0, 0)
    image = Image.fromarray(rgb)
    image = image.quantize(4) if mode == "P" else image.convert(mode)
    assert image.mode == mode
    classes = {"black": "background", "#ff8c00": "cat", "#FF0000": "dog"}
    (pair,) = read_pairs(folder_with(tmp_path, image), classes=classes)
    np.testing.assert_array_equal(pair.read_mask(), mask_of(0, 1, 2))
    del classes["#ff8c00"]
    (pair,) = read_pairs(tmp_path, classes=classes)
    with pytest.raises(ImageError, match=r"holds the colour #ff8c00, which classes does not name"):
        pair.read_mask()


def test_colour_masks_without_a_mapping_name_it(tmp_path: Path) -> None:
    (pair,) = read_pairs(folder_with(tmp_path, Image.new("RGB", (8, 6))))
    with pytest.raises(ImageError, match=r"mode RGB; expected .*say what its values mean: classes ="):
        pair.read_mask()


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        ({"0": "nothing"}, "give one of background, cat, dog, ignored"),
        ({"256": "cat"}, "neither a value of 0..255 nor a colour"),
        ({"mauveish": "cat"}, "neither a value of 0..255 nor a colour"),
        ({"0": "background", "red": "cat"}, "not both"),
    ],
)
def test_bad_mappings(classes: dict[str, str], said: str) -> None:
    with pytest.raises(ImageError, match=said):
        LabelMap.parse(classes)


def test_jpeg_masks_are_refused_with_the_reason(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, mask_of(0, 1), suffix=".jpg")
    with pytest.raises(ImageError, match=r"a_0.jpg is no PNG file: JPEG .* blur labels"):
        read_pairs(folder)


def test_a_turned_photo_with_an_unturned_mask(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, mask_of(1))
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", SHAPE[::-1]).save(folder / "images" / "a_0.png", exif=exif)
    with pytest.raises(ImageError, match=r"a_0.png does not fit .*turned by its EXIF orientation"):
        evaluate(read_pairs(folder), lambda photo: photo[..., 0], progress=False)
    assert misfit((6, 8, 3), (6, 8)) is None
    assert "EXIF" not in str(misfit((6, 8, 3), (5, 8)))
