"""Training refuses masks from which nothing can be learnt, and reads those that a mapping explains."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from petseg.errors import ImageError
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
