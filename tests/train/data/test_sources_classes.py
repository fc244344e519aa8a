"""Training refuses masks from which nothing can be learnt, and reads those that a mapping explains."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from petseg.errors import ImageError, ImageWarning
from train.config import DataConfig, SourceConfig
from train.data.dataset import PhotoDataset, read_splits


def data_with(root: Path, value: int, **source: object) -> DataConfig:
    for name in ("images", "masks"):
        (root / "p" / name).mkdir(parents=True, exist_ok=True)
    mask = np.zeros((6, 8), np.uint8)
    mask[2:4] = value
    for number in range(3):
        Image.new("RGB", (8, 6)).save(root / "p" / "images" / f"a_{number}.jpg")
        Image.fromarray(mask).save(root / "p" / "masks" / f"a_{number}.png")
    return DataConfig(root=str(root), size=32, sources=[SourceConfig(path="p", **source)])


def test_masks_of_0_and_255(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"no mask shows a cat .*data.sources"):
        read_splits(data_with(tmp_path, 255))
    training, _ = read_splits(data_with(tmp_path, 255, classes={"0": "background", "255": "dog"}))
    assert np.unique(training[0].read_mask()).tolist() == [0, 2]


def test_masks_without_pets(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nothing to learn"):
        read_splits(data_with(tmp_path, 0))


def test_a_turned_photo_is_pointed_out(tmp_path: Path) -> None:
    training, _ = read_splits(data_with(tmp_path, 1))
    exif = Image.Exif()
    exif[0x0112] = 6
    for path in (tmp_path / "p" / "images").iterdir():
        Image.new("RGB", (8, 6)).save(path, exif=exif)
    with pytest.raises(ValueError, match=r"a_\d: the photo has 6 x 8 pixels, the mask 8 x 6; .*EXIF"):
        PhotoDataset(training, 32)[0]


def test_masks_that_may_be_wrong_are_counted(tmp_path: Path) -> None:
    data = data_with(tmp_path, 1)
    mask = np.zeros((6, 8), np.uint8)
    mask[2:4] = 255
    Image.fromarray(mask).save(tmp_path / "p/masks/a_2.png")
    with pytest.warns(ImageWarning, match=r"hold 255, .* no pet: 1 .*a_2\.png"):
        read_splits(data)
    data_with(tmp_path, 1)
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.new("RGB", (8, 6)).save(tmp_path / "p/images/a_1.jpg", exif=exif)
    with pytest.warns(ImageWarning, match=r"1 photos \(.*a_1\.jpg, say\) are turned"):
        read_splits(data)


def test_an_annotation_file_is_a_source_of_masks(tmp_path: Path) -> None:
    config = data_with(tmp_path, 1, masks="cvat.xml", classes={"Kater": "cat"})
    image = (
        '<image name="a_{}.jpg" width="8" height="6"><polygon label="{}" points="0,2;8,2;8,4;0,4"/></image>'
    )
    images = "".join(image.format(number, label) for number, label in enumerate(("Kater", "dog", "cat")))
    (tmp_path / "p/cvat.xml").write_text(f"<annotations>{images}</annotations>")
    training, _ = read_splits(config)
    found = {sample.name: np.unique(sample.read_mask()).tolist() for sample in training}
    assert found == {"a_0": [0, 1], "a_1": [0, 2], "a_2": [0, 1]}
    assert PhotoDataset(training, 32)[1][1].max() == 255  # the letterbox's padding
