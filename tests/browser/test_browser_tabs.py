"""The Robustness and the Compare tab."""

import re
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import expect

from benchmarks.visitor import Visitor
from petseg.measure.perturbations import LEVELS, PERTURBATIONS

pytestmark = pytest.mark.browser

AGREEMENT = "agreement with the clean answer (IoU)"


def figure(visitor: Visitor, place: str, what: str) -> float:
    """A number of the figures below a picture."""
    cell = visitor.page.locator(f"{place} .figures div").filter(has_text=what)
    return float(re.findall(r"[\d.]+", cell.locator("b").inner_text())[-1])


def set_level(visitor: Visitor, kind: str, level: int) -> None:
    visitor.page.locator(f"#level-{kind} input[type=number]").fill(str(level))
    visitor.page.keyboard.press("Tab")


def test_without_a_photo_the_tabs_ask_for_one(visitor: Visitor) -> None:
    for name in ("Robustness", "Compare"):
        visitor.tab(name)
        expect(visitor.page.locator(f"#{name.lower()}-notice")).to_have_text(
            "Choose a photo in the Segment tab first."
        )


def test_levels_damage_the_photo_and_reset_mends_it(visitor: Visitor, two_pets: Path) -> None:
    visitor.upload(two_pets)
    visitor.tab("Robustness")
    place = "#robustness-figures-tiny"
    expect(visitor.page.locator(place)).to_contain_text("1.000")
    clean = visitor.picture("#robustness-after-tiny img")
    assert max(clean.shape) == 512
    np.testing.assert_array_equal(visitor.picture("#robustness-before-tiny img"), clean)

    set_level(visitor, "contrast_down", 10)
    strength = PERTURBATIONS["contrast_down"].strengths[LEVELS - 1]
    expect(visitor.page.locator("#level-contrast_down")).to_contain_text(
        f"Contrast down: {strength:g} (factor)"
    )
    expect(visitor.page.locator(place)).not_to_contain_text("1.000")
    assert figure(visitor, place, AGREEMENT) < 0.5
    assert np.ptp(visitor.picture("#robustness-after-tiny img")) < np.ptp(clean)
    np.testing.assert_array_equal(visitor.picture("#robustness-before-tiny img"), clean)
    difference = visitor.picture("#robustness-difference-tiny img").astype(int)
    assert (difference[..., 0] - difference[..., 1] > 60).mean() > 0.1, "what is lost is red"

    visitor.page.click("#reset")
    expect(visitor.page.locator("#level-contrast_down input[type=number]")).to_have_value("1")
    expect(visitor.page.locator(place)).to_contain_text("1.000")


def test_all_models_and_the_sweep(visitor: Visitor, two_pets: Path) -> None:
    visitor.upload(two_pets)
    visitor.tab("Robustness")
    expect(visitor.page.locator("#robustness-tiny-prompt")).to_be_hidden()
    visitor.choose("#robustness-model", "All models")
    expect(visitor.page.locator("#robustness-tiny-prompt")).to_be_visible()
    expect(visitor.page.locator("#robustness-figures-tiny-prompt")).to_contain_text("1.000")

    visitor.page.get_by_label("Sweep over all levels of").click()
    visitor.page.get_by_role("option", name="Contrast down").click()
    visitor.page.click("#sweep")
    plot, legend = visitor.page.locator("#sweep-plot"), visitor.page.locator("#sweep-legend")
    for series in ("tiny: agreement", "tiny-prompt: agreement"):
        expect(legend.get_by_text(series)).to_be_visible()
    strengths = ", ".join(f"{strength:g}" for strength in PERTURBATIONS["contrast_down"].strengths)
    expect(legend).to_contain_text(strengths)
    expect(plot).to_contain_text("Contrast down, level")
    lines = plot.locator("svg path[stroke-width]").evaluate_all(
        "(all) => all.map((path) => path.getBBox().height)"
    )
    assert max(lines) > 50, "a curve falls"


def test_models_are_compared(visitor: Visitor, two_pets: Path) -> None:
    visitor.upload(two_pets)
    visitor.tab("Compare")
    for name in ("tiny", "tiny-prompt"):
        expect(visitor.page.locator(f"#compare-figures-{name}")).to_contain_text("of the photo is pet")
        assert visitor.picture(f"#compare-picture-{name} img").shape == (614, 1024, 3)
        assert figure(visitor, f"#compare-figures-{name}", "time") >= 0
    assert figure(visitor, "#compare-figures-tiny", "agreement") == 1
    assert 0 < figure(visitor, "#compare-figures-tiny-prompt", "agreement") < 1
    areas = [figure(visitor, f"#compare-figures-{name}", "is pet") for name in ("tiny", "tiny-prompt")]
    assert 0 < areas[1] < areas[0], "a page without clicks clicks on one pet"

    visitor.tab("Segment")
    visitor.click(0.7, 0.5)
    visitor.tab("Compare")
    expect(visitor.page.locator("#compare-figures-tiny-prompt")).to_contain_text("dog, ")
