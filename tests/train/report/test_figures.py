from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from petseg.measure.perturbations import PERTURBATIONS
from train.report.figures import (
    MARKERS,
    Panel,
    file_name,
    plot_clicks,
    plot_confusion,
    plot_panels,
    plot_robustness,
    plot_roc,
)
from train.report.roc import Roc


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("unet", "unet"),
        ("train/checkpoints/unet", "train-checkpoints-unet"),
        ("../runs/a b/model.onnx", "runs-a-b-model.onnx"),
        ("ORG/NAME@v1.0", "ORG-NAME-v1.0"),
    ],
)
def test_names_of_models_become_names_of_files(name: str, expected: str) -> None:
    assert file_name(name) == expected


def test_panel_tints_every_class_and_is_reduced() -> None:
    photo = np.full((300, 900, 3), 100, np.uint8)
    classes = np.repeat(np.array([0, 1, 2, 255], np.uint8), 225)[None].repeat(300, axis=0)
    picture = Panel(photo, "", classes).picture()
    assert picture.shape == (120, 360, 3)
    background, cat, dog, border = (picture[60, 45 + 90 * number].astype(int) for number in range(4))
    assert background.tolist() == [75] * 3
    assert cat[0] > cat[1] > cat[2], "orange"
    assert dog[2] > dog[1] > dog[0], "blue"
    assert border.min() > 190, "white"
    np.testing.assert_array_equal(Panel(photo[:30, :30], "").picture(), photo[:30, :30])


def read(path: Path) -> np.ndarray:
    """A PNG as (H, W, 3) int."""
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB")).astype(int)


def count(pixels: np.ndarray, colour: tuple[int, int, int]) -> int:
    return int((np.abs(pixels - colour).sum(2) < 30).sum())


BLUE, ORANGE = (31, 119, 180), (255, 127, 14)
"""Of matplotlib's first two lines."""


def test_pictures_show_every_model(tmp_path: Path) -> None:
    roc = Roc()
    truth = np.random.default_rng(0).integers(0, 3, (30, 30)).astype(np.uint8)
    probabilities = np.random.default_rng(1).dirichlet([1, 1, 1], (30, 30)).astype(np.float32)
    roc.add(truth, probabilities.transpose(2, 0, 1))
    other = Roc()
    other.add(truth, (np.eye(3)[truth] * 0.9 + 0.03).astype(np.float32).transpose(2, 0, 1))
    plot_roc({"guess": roc, "right": other, "never seen": Roc()}, tmp_path / "roc.png")
    pixels = read(tmp_path / "roc.png")
    assert min(count(pixels, BLUE), count(pixels, ORANGE)) > 200

    matrices = {name: np.eye(3, dtype=np.int64) * 10**6 for name in "abcde"} | {
        "empty": np.zeros((3, 3), int)
    }
    plot_confusion(matrices, tmp_path / "confusion.png")
    # Five times the diagonal, in the darkest blue.
    assert count(read(tmp_path / "confusion.png"), (8, 48, 107)) > 5 * 3 * 1000
    assert not plt.get_fignums()


def test_grid_is_as_high_as_its_photos_want(tmp_path: Path) -> None:
    flat, high = np.full((20, 60, 3), 200, np.uint8), np.full((90, 30, 3), 50, np.uint8)
    for name, photo in {"flat": flat, "high": high}.items():
        rows = [[Panel(photo, "a"), Panel(photo, "b", photo[..., 0] * 0)]] * 2
        plot_panels(rows, tmp_path / f"{name}.png", "title")
    flat_pixels, high_pixels = read(tmp_path / "flat.png"), read(tmp_path / "high.png")
    assert flat_pixels.shape[1] == high_pixels.shape[1]
    assert flat_pixels.shape[0] < 0.6 * high_pixels.shape[0]
    assert count(flat_pixels, (200, 200, 200)) > 5000


def test_robustness_shows_all_models_and_the_published_one(tmp_path: Path) -> None:
    def rows(height: float) -> dict:
        return {
            kind: {
                "strengths": perturbation.strengths,
                "miou": [height] * 10,
                "mean_dice": [height] * 10,
            }
            for kind, perturbation in PERTURBATIONS.items()
        }

    # One more than there are markers.
    curves = {f"model {number}": rows(0.5 + 0.03 * number) for number in range(len(MARKERS) + 1)}
    plot_robustness(curves, tmp_path / "without.png", {})
    last = {"salt_and_pepper": {"strengths": [0.16, 0.18], "miou": [0.3, 0.2], "mean_dice": [0.4, 0.3]}}
    plot_robustness(curves, tmp_path / "with.png", last)
    without, starred = read(tmp_path / "without.png"), read(tmp_path / "with.png")
    assert min(count(starred, BLUE), count(starred, ORANGE)) > 2000
    # Nothing but the points as published, in the last panels of mIoU and of Dice, is another.
    changed = np.argwhere((without != starred).any(2))
    assert len(changed) > 50
    assert (changed.min(0) > np.array(starred.shape[:2]) * (0.2, 0.7)).all()


def test_clicks_are_one_line_a_model(tmp_path: Path) -> None:
    way = {"1": 0.5, "2": 0.6, "3": 0.7}
    plot_clicks({"one": {"exact": way, "jittered": way}}, tmp_path / "one.png")
    plot_clicks({name: {"exact": way, "jittered": way} for name in ("one", "two")}, tmp_path / "two.png")
    one, two = read(tmp_path / "one.png"), read(tmp_path / "two.png")
    assert count(one, BLUE) > 300
    assert (count(one, ORANGE) == 0, count(two, ORANGE) > 300) == (True, True)
