"""The Robustness and the Compare tab, as they are seen."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import FloatRect, Locator, expect

from benchmarks.visitor import Visitor
from petseg.measure.perturbations import LEVELS, PERTURBATIONS
from tests.browser.seen import open_damage, uncovered

pytestmark = pytest.mark.browser

BEFORE, AFTER = (f"#robustness-pair figure:nth-of-type({index}) img" for index in (1, 2))
VERDICT = "#robustness-said .verdict"
SIZES = {"phone": (360, 740), "tablet": (768, 1024), "desktop": (1280, 800)}


def set_level(visitor: Visitor, level: int, slider: str = "#damage-level") -> None:
    """Set a slider, again where Gradio, which had but made it, took the level back."""
    number = visitor.page.locator(f"{slider} input[type=number]")
    for _ in range(3):
        number.fill(str(level))
        visitor.page.keyboard.press("Tab")
        visitor.page.wait_for_timeout(300)
        if number.input_value() == str(level):
            return
    pytest.fail(f"{slider} does not stay at {level}: it is at {number.input_value()}")


def robustness(visitor: Visitor, photo: Path) -> Visitor:
    visitor.upload(photo)
    visitor.tab("Robustness")
    visitor.page.locator(AFTER).wait_for()
    return visitor


def box(part: Locator) -> FloatRect:
    found = part.bounding_box()
    assert found is not None
    return found


def test_the_tabs_begin_with_the_example_that_is_on_show(visitor: Visitor) -> None:
    visitor.tab("Robustness")
    visitor.page.locator(AFTER).wait_for()
    visitor.tab("Compare")
    expect(visitor.page.locator("#compare-tiny")).to_contain_text("ms")


def test_one_kind_at_a_time_beside_the_clean_photo(visitor: Visitor, two_pets: Path) -> None:
    robustness(visitor, two_pets)
    clean = visitor.picture(BEFORE)
    assert max(clean.shape) == 512
    visitor.page.get_by_label("Less contrast").first.check()
    set_level(visitor, LEVELS)
    expect(visitor.page.locator(VERDICT)).to_contain_text(f"at level {LEVELS} of {LEVELS}")
    strength = PERTURBATIONS["contrast_down"].strengths[-1]
    expect(visitor.page.locator("#robustness-pair")).to_contain_text(
        f"Less contrast {LEVELS} (factor: {strength:g})"
    )
    np.testing.assert_array_equal(visitor.picture(BEFORE), clean)
    spoilt = visitor.picture(AFTER).astype(int)
    assert (spoilt[..., 0] - spoilt[..., 1] > 60).mean() > 0.1, "what is lost is red"
    set_level(visitor, 1)
    expect(visitor.page.locator(VERDICT)).to_have_text(f"Still found at level 1 of {LEVELS}")
    np.testing.assert_array_equal(visitor.picture(AFTER), clean)


def test_the_pair_stands_side_by_side_and_stays_in_sight(
    arrive: Callable[..., Visitor], two_pets: Path
) -> None:
    for width, height in SIZES.values():
        visitor = robustness(
            arrive(viewport={"width": width, "height": height}, has_touch=width < 700, is_mobile=width < 700),
            two_pets,
        )
        page = visitor.page
        one, other = (box(page.locator(image)) for image in (BEFORE, AFTER))
        assert abs(one["y"] - other["y"]) < 2
        assert one["x"] + one["width"] <= other["x"]
        assert other["x"] + other["width"] <= width
        open_damage(visitor)
        for slider in ("#damage-level", "#level-salt_and_pepper"):
            handle = page.locator(f"{slider} input[type=range]")
            handle.evaluate("(handle) => handle.scrollIntoView({ block: 'end' })")
            for image in (BEFORE, AFTER):
                seen = box(page.locator(image))
                assert seen["y"] >= 0, f"{width}: the picture is out of sight while {slider} moves"
                assert seen["y"] + seen["height"] <= height
            assert uncovered(handle), f"{width}: something covers {slider}"
        assert page.evaluate("document.scrollingElement.scrollWidth") <= width


def test_nothing_shines_through_the_pair_that_stays_in_sight(
    arrive: Callable[..., Visitor], two_pets: Path
) -> None:
    """Gradio's labels have layers of their own."""
    visitor = robustness(
        arrive(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True), two_pets
    )
    open_damage(visitor)  # then there is enough to scroll
    label = visitor.page.locator("#damage-kind").get_by_text("What happens to the photo")
    visitor.page.wait_for_function(
        """(label) => {
          const middle = (part) => part.getBoundingClientRect().top + part.offsetHeight / 2;
          const picture = document.querySelector("#robustness-pair img");
          scrollBy(0, middle(label) - middle(picture));  // again once the picture sticks
          return Math.abs(middle(label) - middle(picture)) < 1;
        }""",
        arg=label.element_handle(),
    )
    assert not uncovered(label), "behind the picture, where it was seen through"


def test_the_pair_is_large_on_a_tablet(arrive: Callable[..., Visitor], two_pets: Path) -> None:
    visitor = robustness(arrive(viewport={"width": 768, "height": 1024}), two_pets)
    assert box(visitor.page.locator(BEFORE))["width"] > 330


def test_fingers_find_what_they_touch(arrive: Callable[..., Visitor], two_pets: Path) -> None:
    visitor = robustness(
        arrive(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True), two_pets
    )
    touched = visitor.page.locator(
        "#damage-kind label, #damage-level input[type=range], #robustness-share, [role=tab]"
    )
    for index in range(touched.count()):
        part = touched.nth(index)
        if part.is_visible():
            assert box(part)["height"] >= 44, part.evaluate("(part) => part.outerHTML.slice(0, 80)")


@pytest.fixture
def card(arrive: Callable[..., Visitor], two_pets: Path, tmp_path: Path) -> Callable[[bool], Path | None]:
    def make(phone: bool) -> Path | None:
        visitor = arrive(has_touch=phone, is_mobile=phone)
        visitor.page.evaluate(
            "() => { navigator.canShare = () => true; navigator.share = async ({ files: [card] }) => "
            "{ document.title = `${card.name} ${card.type}`; }; }"
        )
        robustness(visitor, two_pets)
        if phone:
            visitor.page.click("#robustness-share")
            visitor.page.wait_for_function("document.title.endsWith(' image/png')")
            assert visitor.page.title() == "two pets.gaussian_noise-6.png image/png"
            return None
        with visitor.page.expect_download() as given:
            visitor.page.click("#robustness-share")
        path = tmp_path / given.value.suggested_filename
        given.value.save_as(path)
        return path

    return make


def test_the_card_is_saved_or_shared(card: Callable[[bool], Path | None]) -> None:
    path = card(False)
    assert path is not None
    assert path.name == "two pets.gaussian_noise-6.png"
    with Image.open(io.BytesIO(path.read_bytes())) as image:
        assert image.width == 1200
    card(True)


def test_more_damage_another_model_and_curves(visitor: Visitor, two_pets: Path) -> None:
    page = robustness(visitor, two_pets).page
    open_damage(visitor)
    set_level(visitor, 5, "#level-occlusion")
    expect(page.locator("#robustness-pair")).to_contain_text("Black square 5")
    visitor.choose("#robustness-model", "tiny-prompt")
    expect(page.locator("#robustness-said")).to_contain_text("model tiny-prompt")
    page.click("#reset")
    expect(page.locator("#robustness-pair")).not_to_contain_text("Black square 5")

    visitor.choose("#damage-kind", "Less contrast")
    page.click("#sweep")
    drawings = page.locator("#sweep-curves .curves svg")
    expect(drawings).to_have_count(2)
    one, other = (box(drawings.nth(index)) for index in (0, 1))
    assert one["x"] + one["width"] <= other["x"] or one["y"] + one["height"] <= other["y"]
    expect(page.locator("#sweep-curves")).to_contain_text("Less contrast, levels 1 to 10")
    line = drawings.first.locator("polyline").get_attribute("points") or ""
    heights = [float(point.split(",")[1]) for point in line.split()]
    assert max(heights) - min(heights) > 50, "at a tenth of the contrast little is found"
    visitor.choose("#damage-kind", "Blur")
    expect(page.locator("#sweep-curves svg")).to_have_count(0)


def test_models_are_compared(visitor: Visitor, two_pets: Path) -> None:
    visitor.upload(two_pets)
    visitor.tab("Compare")
    page = visitor.page
    for name in ("tiny", "tiny-prompt"):
        article = page.locator(f"#compare-{name}")
        expect(article).to_contain_text("ms")
        assert max(visitor.picture(f"#compare-{name} img").shape) == 640
        expect(article.get_by_role("columnheader", name="Test photos")).to_be_visible()
    expect(page.locator("#compare-models")).to_contain_text("Best first: ")

    visitor.tab("Segment")
    visitor.open("advanced")
    with visitor.new_picture():
        visitor.choose("#model", "tiny-prompt")  # it finds none by itself, so a tap is about one
    visitor.click(0.7, 0.5)
    visitor.tab("Compare")
    expect(page.locator("#compare-tiny-prompt")).to_contain_text("dog, ")


@pytest.mark.parametrize("size", SIZES)
def test_the_comparison_fits(arrive: Callable[..., Visitor], two_pets: Path, size: str) -> None:
    width, height = SIZES[size]
    visitor = arrive(viewport={"width": width, "height": height})
    visitor.upload(two_pets)
    visitor.tab("Compare")
    visitor.page.locator("#compare-tiny-prompt table").wait_for()
    assert visitor.page.evaluate("document.scrollingElement.scrollWidth") <= width
    for cell in visitor.page.locator(".compared :is(th, td)").all():
        part = box(cell)
        assert part["x"] + part["width"] <= width
