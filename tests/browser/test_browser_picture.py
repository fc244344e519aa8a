"""The picture itself: enlarged, with its handle, at its edges, and with what stands below it."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import expect

from benchmarks.visitor import Visitor
from tests.browser.seen import AMBER, DOG, RED_PIN, area, drag, pinned, uncovered

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("way", ["screen", "window"])
def test_the_picture_is_enlarged(visitor: Visitor, two_pets: Path, way: str) -> None:
    """On the whole screen; where a browser has no way to do that, in its window."""
    page = visitor.page
    if way == "window":
        page.evaluate("() => Object.defineProperty(document, 'fullscreenEnabled', {value: undefined})")
    visitor.upload(two_pets)
    canvas = page.locator("#result canvas")
    small = canvas.bounding_box()
    page.get_by_role("button", name="Enlarge").click()
    smaller = page.get_by_role("button", name="Make smaller")
    expect(smaller).to_be_focused()
    assert page.evaluate("document.fullscreenElement?.id ?? null") == ("result" if way == "screen" else None)
    large = canvas.bounding_box()
    assert small is not None
    assert large is not None
    assert large["width"] > 1.3 * small["width"]
    visitor.click(*DOG)
    expect(page.locator("#badge")).to_contain_text("Dog, ")
    visitor.click(0.5, 0.1)
    expect(page.locator(".alarm")).to_contain_text("There is no pet that I can see there")
    assert uncovered(page.locator(".alarm")), "also where nothing but the picture is seen"
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Enlarge")).to_be_focused()
    assert page.evaluate("document.fullscreenElement") is None
    assert canvas.bounding_box()["width"] < large["width"] / 1.3  # type: ignore[index]
    for button in ("Enlarge", "Make smaller"):
        page.get_by_role("button", name=button).click()
    expect(page.get_by_role("button", name="Enlarge")).to_be_focused()


def test_beside_a_portrait_photo_there_are_no_bars(visitor: Visitor, folder: Path) -> None:
    Image.new("RGB", (300, 900), "#808080").save(folder / "tall.png")
    visitor.upload(folder / "tall.png")
    sheet, canvas = (visitor.page.locator(name).bounding_box() for name in (".sheet", "#result canvas"))
    assert sheet is not None
    assert canvas is not None
    assert canvas["height"] / canvas["width"] == pytest.approx(3, rel=0.02)
    assert sheet["width"] == pytest.approx(canvas["width"], abs=1)


def test_the_knob_is_whole_where_it_is_first_seen_and_at_both_ends(visitor: Visitor, two_pets: Path) -> None:
    visitor.upload(two_pets)
    handle = visitor.page.locator(".split")
    for key in ("Home", "End"):
        handle.press(key)
        visitor.settle()
        sheet, knob = visitor.page.locator(".sheet").bounding_box(), handle.locator("i").bounding_box()
        assert sheet is not None
        assert knob is not None
        assert knob["x"] >= sheet["x"]
        assert knob["x"] + knob["width"] <= sheet["x"] + sheet["width"]


def test_no_outline_is_drawn_where_the_photo_cuts_a_pet_off(visitor: Visitor, folder: Path) -> None:
    pixels = np.full((600, 900, 3), 128, np.uint8)
    pixels[200:, :500] = (255, 0, 0)  # up to the left and the lower edge
    Image.fromarray(pixels).save(folder / "cut.png")
    visitor.upload(folder / "cut.png")
    picture = visitor.picture()

    def outlined(part: NDArray[np.uint8]) -> int:
        return area(part, AMBER)

    height, width = picture.shape[:2]
    assert outlined(picture[height // 4 : height // 2]) > 100, "its upper edge"
    assert outlined(picture[height // 2 : height - 20, :8]) == 0
    assert outlined(picture[-8:, 20 : width // 2]) == 0


def test_a_photo_without_a_pet_offers_no_sticker(visitor: Visitor, folder: Path) -> None:
    Image.new("RGB", (300, 200), "#808080").save(folder / "grey.png")
    visitor.upload(folder / "grey.png")
    page = visitor.page
    expect(page.locator("#badge")).to_have_text("No pet found")
    for part in ("#save", "#cutout", ".split"):
        expect(page.locator(part)).to_be_hidden()
    expect(page.get_by_label("Sun yellow")).to_be_disabled()
    expect(page.locator("#tip")).to_have_text("Tap the pet to show where it is.")
    expect(page.get_by_text("New photo")).to_be_visible()


def test_pets_keep_their_numbers_and_hues_when_one_is_added(visitor: Visitor, two_pets: Path) -> None:
    visitor.upload(two_pets)
    chips = visitor.page.locator(".chip[data-animal]")
    before = [chip.get_attribute("data-animal") for chip in chips.all()]
    assert before == ["0", "1"]
    visitor.choose("#tools", "Box")
    drag(visitor, (0.43, 0.8), (0.05, 0.2))  # the server answers boxes first
    visitor.settle()
    assert [chip.get_attribute("data-animal") for chip in chips.all()] == sorted(
        str(chip.get_attribute("data-animal")) for chip in chips.all()
    )
    hues = [chip.evaluate("(chip) => chip.style.getPropertyValue('--hue')") for chip in chips.all()]
    assert hues == ["#f59e0b", "#3b82f6", "#10b981"][: len(hues)]
    assert len(hues) == 3


def test_pins_do_not_stand_in_the_picture_that_is_to_be_saved(visitor: Visitor, two_pets: Path) -> None:
    visitor.upload(two_pets)
    visitor.click(*DOG)
    visitor.choose("#tools", "Not pet")
    visitor.click(*DOG)
    assert pinned(visitor.picture(), DOG, RED_PIN)
    visitor.page.get_by_label("Sun yellow").check()
    visitor.settle()
    assert not pinned(visitor.picture(), DOG, RED_PIN)
    visitor.page.get_by_label("As it is").check()
    visitor.settle()
    assert pinned(visitor.picture(), DOG, RED_PIN)


def test_what_to_do_next_is_said_in_a_few_words(visitor: Visitor, two_pets: Path) -> None:
    tip = visitor.page.locator("#tip")
    expect(tip).to_have_text("Not quite right? Choose “Pet” or “Not pet”, and tap.")
    visitor.upload(two_pets)
    expect(tip).to_have_text("Tap a pet to pick just that one.")
    visitor.click(*DOG)
    expect(tip).to_have_text("Only this one is kept. Tap it again for all.")
    visitor.click(*DOG)
    expect(tip).to_have_text("Tap a pet to pick just that one.")


@pytest.mark.parametrize("pets", [1, 6])
def test_the_sticker_is_one_click_away_without_scrolling(visitor: Visitor, folder: Path, pets: int) -> None:
    """On a small laptop, also where the chips take two rows."""
    pixels = np.full((600, 900, 3), 128, np.uint8)
    for number in range(pets):
        left = 20 + 145 * number
        pixels[150:400, left : left + 110] = (255, 0, 0)
    Image.fromarray(pixels).save(folder / "row.png")
    visitor.upload(folder / "row.png")
    expect(visitor.page.locator(".chip[data-animal]")).to_have_count(pets)
    save = visitor.page.locator("#save").bounding_box()
    assert save is not None
    assert save["y"] + save["height"] <= 800
