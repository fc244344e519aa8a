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

    def found(who: Everywhere) -> tuple[float, ...]:
        return tuple(click_on_nothing(who, samples, 5).values())

    assert found(nobody) == (2, 0, 0, 2, 0)
    assert found(somebody) == (2, 1, 0, 2, 1)
    assert found(large) == (2, 1, 1, 2, 1)
    assert nobody.clicks == large.clicks
    assert nobody.clicks[1][0] > 20, "the click is beside the animal"
    click_on_nothing(nobody, samples[2:], 5)
    assert nobody.clicks[2] == nobody.clicks[1], "whatever else is measured"


def test_a_click_just_beside_an_animal_means_it(tmp_path: Path) -> None:
    """Each photo of 50 pixels has one to six free columns, then its border, then the animal."""
    masks = {f"{columns}": np.ones((50, 50), np.uint8) for columns in range(1, 7)}
    for name, mask in masks.items():
        mask[:, :20] = 255
        mask[:, : int(name)] = 0
    figures = click_on_nothing(Everywhere(2), read_pairs(write(tmp_path, masks)), 1)
    assert (figures["photos"], figures["found"], figures["clear_found"]) == (6, 1, 1)
    assert 0 < figures["clear"] < 6, "the border counts as the animal's"
