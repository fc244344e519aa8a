"""Masks and scores of large photos, which are worked out in parts and on a smaller copy."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from petseg.pixels import decision
from petseg.pixels.geometry import Letterbox
from petseg.segmentation import Segmentation

SIDE = 32


def blob(seed: int, size: int = SIDE) -> NDArray[np.float32]:
    """Logits (3, S, S) of one animal or two, with soft edges."""
    coarse = np.random.default_rng(seed).normal(0, 4, (3, 5, 5)).astype(np.float32)
    coarse[0] += 3
    planes = [Image.fromarray(plane).resize((size, size), Image.Resampling.BICUBIC) for plane in coarse]
    return np.stack([np.asarray(plane) for plane in planes])


def answer(logits: NDArray[np.float32], box: Letterbox, threshold: float | None = None) -> Segmentation:
    return Segmentation(logits, box, np.zeros((box.height, box.width, 3), np.uint8), "m", threshold=threshold)


def whole_mask(logits: NDArray[np.float32], box: Letterbox, threshold: float | None) -> NDArray[np.uint8]:
    """The mask without strips and shortcuts."""
    seen = [logits[number] - logits[0] for number in (1, 2)]
    cat, dog = (box.restore(plane, decision.OUTSIDE) for plane in seen)
    return decision.classify(cat, dog, threshold) * np.uint8(decision.shows_pet(box, *seen, threshold))


@pytest.mark.parametrize("threshold", [None, 0.05, 0.9])
@pytest.mark.parametrize(
    "box",
    [
        Letterbox.fit(301, 203, SIDE),
        Letterbox.fit(90, 401, SIDE),
        Letterbox.fit(20, 11, SIDE),
        Letterbox.fit(1, 300, SIDE),
        Letterbox.fit(400, 300, SIDE, (50, 20, 250, 170)),
        Letterbox.fit(400, 300, SIDE, (380, 280, 400, 300)),
    ],
    ids=str,
)
def test_a_mask_in_strips_is_the_mask_of_the_whole(
    box: Letterbox, threshold: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decision, "_STRIP", 2000)
    pets = 0
    for seed in range(12):
        logits = blob(seed)
        result = answer(logits, box, threshold)
        whole = whole_mask(logits, box, threshold)
        assert np.count_nonzero(result.mask != whole) <= 1e-4 * whole.size  # ties may be rounded otherwise
        pets += np.count_nonzero(whole)
    assert pets


@pytest.mark.parametrize("species", [1, 2])
@pytest.mark.parametrize("box", [Letterbox.fit(301, 203, SIDE), Letterbox.fit(20, 11, SIDE)], ids=str)
def test_one_species_alone_needs_one_plane(
    box: Letterbox, species: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    planes = shown = 0
    restore_part = Letterbox.restore_part

    def counted(self: Letterbox, *arguments: Any) -> NDArray[np.float32]:
        nonlocal planes
        planes += 1
        return restore_part(self, *arguments)

    monkeypatch.setattr(Letterbox, "restore_part", counted)
    for seed in range(12):
        logits = blob(seed)
        # The other one is nowhere the likeliest at the network's own pixels. Between them it may be, unless
        # it is always less likely than background: so it is in every other photo.
        limit = np.maximum(logits[species], logits[0]) if seed % 2 else logits[0]
        logits[3 - species] = np.minimum(logits[3 - species], limit - 0.5)
        result = answer(logits, box)
        whole = whole_mask(logits, box, None)
        assert np.count_nonzero(result.mask != whole) <= 1e-4 * whole.size
        shown += result._shows_pet
    assert planes < 2 * shown if box.width >= box.inner_width else planes == 2 * shown


def test_nothing_found_is_an_empty_mask() -> None:
    logits = np.zeros((3, SIDE, SIDE), np.float32)
    logits[0] = 1
    result = answer(logits, Letterbox.fit(300, 200, SIDE))
    assert result.mask.shape == (200, 300)
    assert not result.mask.any()
    assert result.label == "background"


@pytest.mark.parametrize("region", [None, (100, 50, 1500, 1000), (10, 10, 400, 300)])
@pytest.mark.parametrize("threshold", [None, 0.8])
def test_scores_are_those_of_the_networks_own_pixels(
    region: Any, threshold: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = Letterbox.fit(1600, 1200, 320, region)
    for seed in range(2):
        quick = answer(blob(seed, 320), box, threshold)
        exact = answer(blob(seed, 320), box, threshold)
        monkeypatch.setattr(exact, "_own_pixels", lambda: None)
        assert quick.scores == pytest.approx(exact.scores, abs=0.002)


def test_the_score_of_a_photo_smaller_than_the_square() -> None:
    result = answer(blob(0), Letterbox.fit(20, 11, SIDE))
    assert result.score == pytest.approx(result.probabilities[:, result.mask != 0].mean(1).max(), abs=1e-6)


def test_the_score_of_an_empty_close_up_is_that_of_the_photo() -> None:
    logits = np.zeros((3, SIDE, SIDE), np.float32)
    logits[0] = 0.5
    result = answer(logits, Letterbox.fit(400, 300, SIDE, (0, 0, 100, 100)))
    assert result.label == "background"
    assert result.score == pytest.approx(result.probabilities[0].mean())


def test_a_pet_that_only_the_networks_own_pixels_show_does_not_count() -> None:
    logits = np.zeros((3, SIDE, SIDE), np.float32)
    logits[0], logits[1, 7, 9], logits[1, 13, 3], logits[1, 20, 20] = 2, 2.5, 2.5, 2.5
    result = answer(logits, Letterbox.fit(2 * SIDE, 2 * SIDE, SIDE), 0.6)
    assert result._shows_pet
    assert result.label == "background"
    assert result.score == pytest.approx(result.probabilities[0].mean())
