from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from petseg.measure.pair import read_labels
from tests.support.drawing import draw_labels, write_plain
from train import pseudo
from train.checkpoint import save_checkpoint
from train.config import Config
from train.models import build
from train.pseudo import main, pet_probability, pseudo_mask


class Reddish(nn.Module):
    """Sure of a pet where the photo is red or blue."""

    def forward(self, image: Tensor) -> Tensor:
        colourful = image.float().amax(1) > 150
        pet = torch.where(colourful, 9.0, -9.0)
        return torch.stack([-pet, pet, torch.full_like(pet, -99)], 1)


def test_probability_is_the_mean_over_the_mirror_image() -> None:
    class Left(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            logits = torch.zeros(len(image), 3, 8, 8)
            logits[:, 0, :, 4:] = 50  # nothing on the right, two thirds of a pet on the left
            return logits

    pet = pet_probability(Left(), np.zeros((16, 16, 3), np.uint8), 8)
    assert pet.shape == (16, 16)
    np.testing.assert_allclose(pet, 1 / 3, atol=1e-6)


@pytest.mark.parametrize("species", [1, 2])
def test_unsure_pixels_are_border(species: int) -> None:
    pet = np.array([[0.0, 0.2, 0.3, 0.5, 0.7, 0.8, 1.0]], np.float32)
    expected = [[0, 0, 255, 255, 255, species, species]]
    np.testing.assert_array_equal(pseudo_mask(pet, species, 0.25), expected)


def test_known_labels_stay() -> None:
    pet = np.array([[0.0, 1.0, 1.0, 0.5]], np.float32)
    known = np.array([[1, 0, 255, 255]], np.uint8)
    np.testing.assert_array_equal(pseudo_mask(pet, 1, 0.25, known), [[1, 0, 1, 255]])


def test_main_writes_the_species_of_the_name(
    tmp_path: Path, make_config: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    masks = {"Bombay_1": draw_labels(0), "beagle_2": draw_labels(1), "pug_3": np.zeros((32, 32), np.uint8)}
    write_plain(tmp_path, masks)
    config = make_config()
    save_checkpoint(tmp_path / "model", build(config.model), config)
    monkeypatch.setattr(pseudo, "load_checkpoint", lambda folder: (Reddish(), config))
    arguments = [tmp_path / "model", "--images", tmp_path / "images", "--output", tmp_path / "made"]
    monkeypatch.setattr("sys.argv", ["pseudo", *map(str, arguments)])
    main()
    # No pet was found in the third, though its name promises one.
    assert sorted(path.name for path in (tmp_path / "made").iterdir()) == ["Bombay_1.png", "beagle_2.png"]
    for name in ("Bombay_1", "beagle_2"):
        made = read_labels(tmp_path / f"made/{name}.png")
        assert (made == masks[name]).mean() > 0.97
        assert Image.open(tmp_path / f"made/{name}.png").mode == "L"
