"""Clicks where there is no pet."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from petseg.measure.datasets import read_pairs
from train.people.nothing import click_on_nothing


class Everywhere:
    """Calls a square around each click a pet, as wide as it was told to."""

    name, most, boxes, species = "everywhere", None, False, True

    def __init__(self, reach: int) -> None:
        self.reach = reach
        self.clicks: list[tuple[float, float]] = []

    def start(self, photo: NDArray[np.uint8]) -> None:
        self.shape = photo.shape[:2]

    def click(self, point: tuple[float, float], positive: bool) -> NDArray[np.uint8]:
        assert positive
        self.clicks.append(point)
        answer = np.zeros(self.shape, np.uint8)
        x, y = int(point[0]), int(point[1])
        answer[max(0, y - self.reach) : y + self.reach, max(0, x - self.reach) : x + self.reach] = 1
        return answer

    def box(self, corners: NDArray[np.float64]) -> NDArray[np.uint8]:
        raise NotImplementedError


def write(folder: Path, masks: dict[str, NDArray[np.uint8]]) -> Path:
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    for name, mask in masks.items():
        Image.fromarray(np.zeros((*mask.shape, 3), np.uint8)).save(folder / f"images/{name}.png")
        Image.fromarray(mask).save(folder / f"masks/{name}.png")
    return folder


def test_one_click_beside_the_animals_of_each_photo(tmp_path: Path) -> None:
    half = np.zeros((40, 40), np.uint8)
    half[:, :20] = 1
    samples = read_pairs(write(tmp_path, {"empty": half * 0, "full": half * 0 + 2, "half": half}))
    nobody, somebody, large = Everywhere(0), Everywhere(1), Everywhere(9)
    assert click_on_nothing(nobody, samples, 5) == {"photos": 2, "found": 0.0, "large": 0.0}
    assert click_on_nothing(somebody, samples, 5) == {"photos": 2, "found": 1.0, "large": 0.0}
    assert click_on_nothing(large, samples, 5) == {"photos": 2, "found": 1.0, "large": 1.0}
    assert nobody.clicks == large.clicks
    assert nobody.clicks[1][0] > 20, "the click is beside the animal"
    click_on_nothing(nobody, samples[2:], 5)
    assert nobody.clicks[2] == nobody.clicks[1], "whatever else is measured"
