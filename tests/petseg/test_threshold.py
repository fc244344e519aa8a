"""A result with a threshold, and a smaller copy of it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from petseg.errors import OutputError
from petseg.pixels.geometry import Letterbox
from petseg.pixels.image import shrink
from petseg.segmentation import Segmentation
from tests.support.results import HEIGHT, PHOTO, SIDE, WIDTH, noise, result


@pytest.mark.parametrize("threshold", [0.05, 0.3, 0.5, 0.7, 0.95])
@pytest.mark.parametrize("resize", ["smooth", "nearest"])
def test_a_threshold_decides_what_is_pet(resize: str, threshold: float) -> None:
    answer = result(resize, noise())
    strict = answer.with_threshold(threshold)
    assert (strict.threshold, answer.threshold) == (threshold, None)
    if resize == "smooth":
        pet, likelier = answer.alpha >= threshold, answer.probabilities[1:].argmax(0) + 1
    else:
        powers = np.exp(noise())
        shares = powers / powers.sum(0)
        restore = Letterbox.fit(WIDTH, HEIGHT, SIDE).restore_labels
        pet = restore((shares[1:].sum(0) >= threshold).astype(np.uint8)) != 0
        likelier = restore(shares[1:].argmax(0).astype(np.uint8)) + 1
    # Equal but for rounding, where a probability is just the threshold.
    assert (strict.mask != np.where(pet, likelier, 0)).mean() < 1e-3


def test_everything_follows_the_threshold(tmp_path: Path) -> None:
    answer = result(logits=noise())
    lax, strict = answer.with_threshold(0.3), answer.with_threshold(0.9)
    assert strict.mask.astype(bool).sum() < lax.mask.astype(bool).sum()
    assert strict.score > lax.score
    assert (np.asarray(strict.cutout())[..., 3] <= np.asarray(lax.cutout())[..., 3]).all()
    assert len(strict.polygons()) != len(lax.polygons())
    strict.save(tmp_path / "a.json")
    assert json.loads((tmp_path / "a.json").read_text())["threshold"] == 0.9
    np.testing.assert_array_equal(strict.with_threshold(None).mask, answer.mask)
    np.testing.assert_array_equal(strict.probabilities, answer.probabilities)


def test_a_threshold_of_a_half_leaves_the_cutout_as_it_is() -> None:
    answer = result(logits=noise())
    expected = np.asarray(answer.cutout()).astype(int)
    assert np.abs(np.asarray(answer.with_threshold(0.5).cutout()).astype(int) - expected).max() <= 1


@pytest.mark.filterwarnings("error")
def test_a_threshold_of_very_sure_logits() -> None:
    logits = np.zeros((3, SIDE, SIDE), np.float32)
    logits[1] = 500
    assert (result(logits=logits).with_threshold(0.999).mask == 1).all()


@pytest.mark.parametrize("threshold", [0, 1, -0.1, 1.5, float("nan"), "0.5", [0.5]])
def test_impossible_thresholds(threshold: Any) -> None:
    with pytest.raises(OutputError, match="between 0 and 1"):
        result().with_threshold(threshold)


def test_a_thumbnail_is_the_same_answer_at_another_size() -> None:
    answer = result().with_threshold(0.4)
    small = answer.thumbnail(50)
    assert (small.size, small.photo.shape, small.threshold) == ((50, 30), (30, 50, 3), 0.4)
    assert small.label == answer.label
    assert (small.mask != answer.mask[1::2, 1::2]).mean() < 0.05
    assert answer.thumbnail(100) is answer
    assert answer.thumbnail(1).mask.shape == (1, 1)
    with pytest.raises(OutputError, match="1 or more"):
        answer.thumbnail(0)
    with pytest.raises(OutputError, match="1 or more"):
        answer.thumbnail("50")


def test_a_thumbnail_takes_the_copy_that_is_at_hand() -> None:
    answer, copy = result(), shrink(PHOTO, 50)
    small = answer.thumbnail(copy)
    assert np.shares_memory(small.photo, copy)
    np.testing.assert_array_equal(small.mask, answer.thumbnail(50).mask)
    assert answer.thumbnail(PHOTO) is answer


@pytest.mark.parametrize("shape", [(30, 50), (HEIGHT + 1, WIDTH, 3), (HEIGHT, WIDTH + 1, 3)])
def test_what_is_no_copy(shape: tuple[int, ...]) -> None:
    with pytest.raises(OutputError, match="no smaller copy of a photo of"):
        result().thumbnail(np.zeros(shape, np.uint8))


def test_a_thumbnail_of_a_close_up_keeps_its_place() -> None:
    logits = np.stack([np.full((SIDE, SIDE), value, np.float32) for value in (0, 5, 0)])
    box = Letterbox.fit(WIDTH, HEIGHT, SIDE, (40, 20, 80, 60))
    small = Segmentation(logits, box, PHOTO, "tiny").thumbnail(50).mask
    expected = np.zeros((30, 50), np.uint8)
    expected[10:30, 20:40] = 1
    np.testing.assert_array_equal(small, expected)
