from pathlib import Path

import numpy as np
import pytest

from petseg import PromptError
from petseg.app import comparison, handlers
from petseg.app.comparison import Answer, agreement, compare, damage, sweep, trials
from petseg.app.handlers import Studio
from petseg.measure.perturbations import LEVELS, perturb

MASK = np.array([[0, 1, 1, 2]], np.uint8)


@pytest.mark.parametrize(
    ("other", "value"),
    [
        ([[0, 1, 1, 2]], 1),
        ([[0, 2, 2, 1]], 0),
        ([[0, 1, 0, 2]], 0.75),
        ([[0, 0, 0, 0]], 0),
        ([[1, 1, 1, 1]], 0.25),
    ],
)
def test_agreement_is_the_mean_iou_of_the_animals(other: list[list[int]], value: float) -> None:
    assert agreement(MASK, np.array(other, np.uint8)) == pytest.approx(value)


def test_two_empty_masks_agree() -> None:
    assert agreement(MASK * 0, MASK * 0) == 1


def test_the_middle_is_on_the_pet() -> None:
    ring = np.ones((9, 9), np.uint8)
    ring[2:7, 2:7] = 0
    x, y = comparison.middle(ring)
    assert ring[y, x] == 1


@pytest.mark.usefixtures("no_catalogue")  # what tells animals apart would find many in a red square
def test_models_are_compared_on_one_photo(studio: Studio, upload: Path) -> None:
    first, second = compare(studio, handlers.open_photo(studio, upload))
    assert isinstance(first, Answer)
    assert isinstance(second, Answer)
    assert (first.model, first.agreement) == ("tiny", 1)
    assert first.area == pytest.approx(0.25, abs=0.05)
    assert second.model == "tiny-prompt"
    assert 0 < second.area < first.area, "it answers for the largest pet alone"
    both = agreement(first.result.mask, second.result.mask)
    assert second.agreement == pytest.approx(2 * both), "the dog, for which nobody asked, is no disagreement"


def test_comparison_uses_the_clicks(studio: Studio, upload: Path) -> None:
    visit = handlers.open_photo(studio, upload).with_step("pet", 1400, 600)
    _, second = compare(studio, visit)
    assert isinstance(second, Answer)
    assert second.result.label == "dog"


def test_nothing_to_click_on(studio: Studio) -> None:
    grey = handlers.open_example("grey.png", np.full((60, 100, 3), 128, np.uint8))
    first, second = compare(studio, grey)
    assert isinstance(first, Answer)
    assert isinstance(second, PromptError)
    with pytest.raises(PromptError, match="nothing to click on"):
        list(trials(studio, grey, ["tiny-prompt"], [np.copy]))


def test_damages_are_applied_in_the_documented_order() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    chosen = {"occlusion": 5, "gaussian_noise": 3, "contrast_up": 1}
    expected = perturb(perturb(photo, "gaussian_noise", 3, 7), "occlusion", 5, 7)
    np.testing.assert_array_equal(damage(photo, chosen, 7), expected)
    np.testing.assert_array_equal(damage(photo, {}, 7), photo)


def test_a_trial_compares_before_and_after(studio: Studio) -> None:
    photo = np.full((60, 100, 3), 128, np.uint8)
    photo[:, :50] = (255, 0, 0)
    visit = handlers.open_example("half.png", photo)
    clean, spoilt = trials(studio, visit, ["tiny"], [np.copy, np.zeros_like])
    assert (clean.agreement, spoilt.agreement) == (1, 0)
    assert (clean.after.label, spoilt.after.label) == ("cat", "background")


def test_a_sweep_has_a_point_for_each_level_and_series(studio: Studio, upload: Path) -> None:
    told: list[float] = []
    visit = handlers.open_photo(studio, upload)
    points = sweep(studio, visit, ["tiny", "tiny-prompt"], "contrast_down", 0, told.append)
    assert len(points) == 2 * LEVELS
    assert points[0].value == points[1].value == 1, "level 1 is clean"
    values = [point.value for point in points if point.value is not None]
    assert len(values) == len(points)
    assert min(values) < 0.5, "at a tenth of the contrast little red is left"
    assert told == sorted(told)
    assert told[-1] == 1


@pytest.mark.usefixtures("no_catalogue")
def test_the_largest_of_two_pets_is_clicked_in_its_middle(studio: Studio) -> None:
    """The middle of both would be beside them, or at an edge."""
    photo = np.full((60, 100, 3), 128, np.uint8)
    photo[10:50, 5:45] = (255, 0, 0)
    photo[20:40, 70:90] = (0, 0, 255)
    visit = handlers.open_example("two.png", photo)
    _, second = compare(studio, visit)
    assert isinstance(second, Answer)
    assert second.result.label == "cat"
    found = comparison._found(studio, photo, visit)
    assert found is not None
    assert comparison.middle(found) == (24, 29)


def test_nothing_is_found_in_a_photo_without_pets(studio: Studio) -> None:
    grey = handlers.open_example("grey.png", np.full((60, 100, 3), 128, np.uint8))
    assert {point.value for point in sweep(studio, grey, ["tiny"], "gaussian_blur", 0, lambda _: None)} == {
        None
    }
