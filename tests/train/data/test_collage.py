from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from petseg.pixels.classes import BORDER
from train.data.collage import CollageDataset, collage, sheet
from train.data.dataset import Arrays
from train.data.samples import TrimapSample
from train.sections import CollageConfig

GROUND, CAT, DOG = 40, 120, 220


class Drawn:
    """A photo of one colour with a square of another in the middle."""

    def __init__(self, name: str, species: int, colour: int, trimap: bool = True) -> None:
        self.name, self.breed, self.species, self.colour = name, name, species, colour
        self.trimap = trimap

    def read_image(self) -> NDArray[np.uint8]:
        image = np.full((90, 120, 3), GROUND, np.uint8)
        image[20:70, 30:90] = self.colour
        return image

    def read_mask(self) -> NDArray[np.uint8]:
        mask = np.zeros((90, 120), np.uint8)
        if self.species:
            mask[18:72, 28:92] = BORDER
            mask[20:70, 30:90] = self.species
        return mask


def arrays(sample: Drawn) -> Arrays:
    return sample.read_image(), sample.read_mask()


GROUNDS = [arrays(Drawn("chair", 0, GROUND))]
DONORS = [arrays(Drawn("Tom_1", 1, CAT)), arrays(Drawn("rex_1", 2, DOG))]


def draw(seed: int, **config: Any) -> Arrays:
    return collage(GROUNDS, DONORS, CollageConfig(**config), np.random.default_rng(seed))


def test_pets_are_where_the_mask_says() -> None:
    shares, both = [], 0
    for seed in range(60):
        image, mask = draw(seed, empty=0, distractor=0)
        if image.shape[:2] != (90, 120):
            continue  # a sheet
        pet = (mask == 1) | (mask == 2)
        shares.append(pet.mean())
        both += (mask == 1).any() and (mask == 2).any()
        # The ground is dark, and light changes by less than these levels are apart; edges are soft.
        assert (image[mask == 0] < 60).all(), seed
        assert np.median(image[pet].mean(1)) > 60, seed
    assert min(shares) < 0.03
    assert max(shares) > 0.4
    assert both > 5


def test_without_animals_there_is_nothing_but_maybe_a_distractor() -> None:
    pasted = 0
    for seed in range(20):
        image, mask = draw(seed, empty=1, distractor=1)
        assert not mask.any()
        pasted += len(np.unique(image.reshape(-1, 3), axis=0)) > 1
    assert pasted


def test_the_same_seed_draws_the_same() -> None:
    one, other = draw(5), draw(5)
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


def test_sheets_are_flat_or_nearly() -> None:
    for seed in range(20):
        image = sheet(np.random.default_rng(seed))
        assert image.dtype == np.uint8
        steps = np.abs(np.diff(image.astype(int), axis=1)).mean()
        assert steps < 12, seed


def dataset(monkeypatch: pytest.MonkeyPatch, samples: list[Drawn], **options: Any) -> CollageDataset:
    monkeypatch.setattr("train.data.collage.is_trimap", lambda sample: sample.trimap)
    return CollageDataset(samples, 64, CollageConfig(probability=0.5), **{"cache_side": 200, **options})


def test_some_items_of_an_epoch_give_way(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = [Drawn("chair", 0, GROUND), Drawn("Tom_1", 1, CAT), Drawn("rex_1", 2, DOG)] * 10
    photos = dataset(monkeypatch, samples)
    own = [np.array_equal(photos.arrays(i)[0], samples[i].read_image()) for i in range(len(samples))]
    assert 5 < sum(own) < 25
    before = [photos.arrays(i)[0].copy() for i in range(len(samples))]
    photos.set_epoch(1)
    assert not all(np.array_equal(before[i], photos.arrays(i)[0]) for i in range(len(samples)))
    image, labels, _ = photos[0]
    assert image.shape == (3, 64, 64)
    assert labels.shape == (64, 64)


@pytest.mark.parametrize(
    ("samples", "options", "message"),
    [
        ([Drawn("Tom_1", 1, CAT)], {}, "got 0 and 1"),
        ([Drawn("chair", 0, GROUND)], {}, "got 1 and 0"),
        ([Drawn("chair", 0, GROUND), Drawn("Tom_1", 1, CAT, trimap=False)], {}, "got 1 and 0"),
        ([Drawn("chair", 0, GROUND), Drawn("Tom_1", 1, CAT)], {"cache_side": 0}, "cache_side above 0"),
    ],
)
def test_what_collages_need(
    monkeypatch: pytest.MonkeyPatch, samples: list[Drawn], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        dataset(monkeypatch, samples, **options)


def test_samples_are_samples() -> None:
    """A trimap's own wrapper has all that a collage asks for."""
    wrapped = TrimapSample(Drawn("Tom_1", 1, CAT))
    assert set(np.unique(wrapped.read_mask())) == {0, 1, 2}
