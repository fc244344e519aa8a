"""The Segment tab: a photo, its pets, and clicks."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import expect

from benchmarks.visitor import Visitor
from petseg.app.examples import all_examples
from petseg.pixels.classes import COLORS

pytestmark = pytest.mark.browser

CAT, DOG, EDGE, GROUND = (0.25, 0.5), (0.7, 0.5), (0.14, 0.5), (0.5, 0.1)
"""Parts of the photo's width and height: the middle of each pet, the cat's left side, and beside both."""
RED, BLUE, GREY = (255, 0, 0), (0, 0, 255), (128, 128, 128)
TINTED_CAT, TINTED_DOG = (
    tuple((np.array(pixel) + COLORS[name]) // 2) for pixel, name in ((RED, "cat"), (BLUE, "dog"))
)


def shows(picture: NDArray[np.uint8], place: tuple[float, float], colour: tuple[int, ...]) -> bool:
    """Whether a place has a colour, as nearly as JPEG keeps it."""
    x, y = int(place[0] * picture.shape[1]), int(place[1] * picture.shape[0])
    return bool(np.abs(picture[y, x].astype(int) - colour).max() < 12)


def area(picture: NDArray[np.uint8], colour: tuple[int, ...]) -> int:
    """Pixels of a colour."""
    return int((np.abs(picture.astype(int) - colour).max(2) < 12).sum())


def pinned(picture: NDArray[np.uint8], place: tuple[float, float], colour: tuple[int, ...]) -> bool:
    """Whether a marker of that colour is drawn there; JPEG blurs the colours of so small a thing."""
    x, y = int(place[0] * picture.shape[1]), int(place[1] * picture.shape[0])
    near = picture[y - 9 : y + 10, x - 9 : x + 10].astype(int)
    return int((np.abs(near - colour).max(2) < 60).sum()) > 60


GREEN_PIN, RED_PIN, YELLOW = (22, 163, 74), (220, 38, 38), (250, 204, 21)
FILMS = "() => document.querySelector('#photo video')?.currentTime > 0"
BOX = "Box: drag, or two corners"
"""What a click, or a drag, means then."""


def test_a_photo_is_outlined_within_one_step(visitor: Visitor, two_pets: Path) -> None:
    expect(visitor.page.locator("#stage")).to_be_hidden()
    visitor.upload(two_pets)
    picture = visitor.picture()
    assert picture.shape == (614, 1024, 3)
    assert shows(picture, CAT, TINTED_CAT)
    assert shows(picture, DOG, TINTED_DOG)
    assert shows(picture, GROUND, GREY)
    legend = visitor.page.locator("#legend")
    expect(legend.locator(".found strong")).to_have_text("Cat")
    expect(legend.locator(".facts")).to_contain_text("2000 x 1200 pixels")
    expect(legend.locator(".facts")).to_contain_text("tiny · ")
    expect(visitor.page.locator("#drop-area")).to_be_hidden()
    expect(visitor.page.locator("#result img")).to_have_attribute("alt", "Overlay of your photo; found: cat")


def test_clicks_are_answered_undone_and_cleared(visitor: Visitor, two_pets: Path) -> None:
    visitor.upload(two_pets)
    everything = visitor.picture()
    visitor.click(*DOG)
    one = visitor.picture()
    assert pinned(one, DOG, GREEN_PIN)
    assert shows(one, (0.67, 0.5), TINTED_DOG), "around the click"
    assert shows(one, CAT, RED), "the other pet is not asked for"
    expect(visitor.page.locator("#legend .found strong")).to_have_text("Dog")
    expect(visitor.page.locator("#legend .facts")).to_contain_text("tiny-prompt · ")

    visitor.choose("#click-mode", "Not pet")
    visitor.click(0.67, 0.5)
    two = visitor.picture()
    assert pinned(two, (0.67, 0.5), RED_PIN)
    assert 0 < area(two, TINTED_DOG) < 0.9 * area(one, TINTED_DOG)

    with visitor.new_picture():
        visitor.page.click("#undo")
    np.testing.assert_array_equal(visitor.picture(), one)
    with visitor.new_picture():
        visitor.page.click("#clear-clicks")
    np.testing.assert_array_equal(visitor.picture(), everything)


def test_two_corners_make_a_box(visitor: Visitor, two_pets: Path) -> None:
    visitor.upload(two_pets)
    visitor.choose("#click-mode", BOX)
    visitor.click(0.43, 0.8)
    first = visitor.picture()
    assert shows(first, CAT, TINTED_CAT)
    assert shows(first, (0.43, 0.8), YELLOW), "a cross waits for the second corner"
    assert shows(first, DOG, TINTED_DOG), "one corner asks nothing yet"
    visitor.click(0.05, 0.2)
    boxed = visitor.picture()
    assert shows(boxed, CAT, TINTED_CAT)
    assert shows(boxed, EDGE, TINTED_CAT), "all that is in the box"
    assert shows(boxed, DOG, BLUE)
    with visitor.new_picture():
        visitor.page.click("#undo")
    assert shows(visitor.picture(), DOG, TINTED_DOG), "the whole box is taken back"


def test_a_box_is_dragged(visitor: Visitor, two_pets: Path) -> None:
    visitor.upload(two_pets)
    visitor.choose("#click-mode", BOX)
    band = visitor.page.locator(".drawn-box")
    with visitor.new_picture():
        visitor.page.mouse.move(*visitor.spot(0.43, 0.8))
        visitor.page.mouse.down()
        visitor.page.mouse.move(*visitor.spot(0.3, 0.5))
        expect(band).to_be_visible()
        visitor.page.mouse.move(*visitor.spot(0.05, 0.2))
        visitor.page.mouse.up()
    expect(band).to_have_count(0)
    boxed = visitor.picture()
    assert shows(boxed, EDGE, TINTED_CAT)
    assert shows(boxed, DOG, BLUE)
    assert pinned(boxed, (0.43, 0.5), YELLOW), "the box's right side"
    assert pinned(boxed, (0.05, 0.5), YELLOW), "and its left side"
    assert not pinned(boxed, (0.03, 0.2), YELLOW), "the click at its end is no corner of another box"
    visitor.choose("#click-mode", "Pet")
    visitor.page.mouse.move(*visitor.spot(0.6, 0.4))
    visitor.page.mouse.down()
    visitor.page.mouse.move(*visitor.spot(0.8, 0.6))
    expect(band).to_have_count(0)
    visitor.page.mouse.up()


def test_a_finger_drags_a_box_and_taps_its_corners(arrive: Callable[..., Visitor], two_pets: Path) -> None:
    visitor = arrive(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    visitor.upload(two_pets)
    visitor.choose("#click-mode", BOX)
    session = visitor.context.new_cdp_session(visitor.page)

    def touch(kind: str, *places: tuple[float, float]) -> None:
        points = [{"x": x, "y": y} for x, y in (visitor.spot(*place) for place in places)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    with visitor.new_picture():
        touch("touchStart", (0.05, 0.2))
        for step in range(1, 9):
            touch("touchMove", (0.05 + 0.38 * step / 8, 0.2 + 0.6 * step / 8))
        touch("touchEnd")
    boxed = visitor.picture()
    assert shows(boxed, EDGE, TINTED_CAT)
    assert shows(boxed, DOG, BLUE)
    with visitor.new_picture():
        visitor.page.click("#clear-clicks")
    for corner in ((0.52, 0.2), (0.95, 0.8)):
        with visitor.new_picture():
            visitor.page.touchscreen.tap(*visitor.spot(*corner))
    boxed = visitor.picture()
    assert shows(boxed, DOG, TINTED_DOG)
    assert shows(boxed, CAT, RED)


def test_another_model_gets_the_photo_and_the_clicks(visitor: Visitor, two_pets: Path) -> None:
    visitor.upload(two_pets)
    visitor.click(*DOG)
    asked = visitor.picture()
    with visitor.new_picture():
        visitor.choose("#model", "tiny")
    expect(visitor.page.locator("#legend .note")).to_contain_text("tiny takes no point")
    whole = visitor.picture()
    assert shows(whole, CAT, TINTED_CAT), "the answer without clicks"
    assert pinned(whole, DOG, GREEN_PIN), "the click is kept"
    with visitor.new_picture():
        visitor.choose("#model", "tiny-prompt")
    np.testing.assert_array_equal(visitor.picture(), asked)
    expect(visitor.page.locator("#legend .note")).to_have_count(0)


def test_a_model_that_needs_a_click_asks_for_one(visitor: Visitor, two_pets: Path) -> None:
    visitor.choose("#model", "tiny-prompt")
    visitor.upload(two_pets)
    expect(visitor.page.locator("#legend .note")).to_contain_text("click on the pet")
    assert shows(visitor.picture(), CAT, RED)


def test_views_and_sliders(visitor: Visitor, two_pets: Path) -> None:
    visitor.upload(two_pets)
    for level, expected in ((0, RED), (1, COLORS["cat"])):
        with visitor.new_picture():
            visitor.page.locator("#opacity input[type=number]").fill(str(level))
            visitor.page.keyboard.press("Tab")
        assert shows(visitor.picture(), CAT, tuple(expected))
    for view, expected in (("Mask", COLORS["cat"]), ("Cutout", RED), ("Outline", RED)):
        with visitor.new_picture():
            visitor.choose("#view", view)
        assert shows(visitor.picture(), CAT, tuple(expected))
    with visitor.new_picture():
        visitor.choose("#view", "Mask")
    loose = visitor.picture().max(2) > 128
    with visitor.new_picture():
        visitor.page.locator("#threshold input[type=number]").fill("0.95")
        visitor.page.keyboard.press("Tab")
    strict = visitor.picture().max(2) > 128
    assert 0 < strict.sum() < loose.sum()


def test_examples_and_a_new_photo(visitor: Visitor, two_pets: Path) -> None:
    titles = [example.title for example in all_examples()]
    thumbnails = visitor.page.locator("#examples button")
    expect(thumbnails).to_have_count(len(titles))
    with visitor.new_picture():
        thumbnails.nth(1).click()
    height, width = all_examples()[1].photo.shape[:2]
    shown = visitor.picture()
    assert shown.shape[1] / shown.shape[0] == pytest.approx(width / height, rel=0.01)
    visitor.page.click("#new-photo")
    expect(visitor.page.locator("#stage")).to_be_hidden()
    expect(visitor.page.locator("#drop-area")).to_be_visible()
    visitor.upload(two_pets)
    visitor.page.click("#new-photo")
    expect(visitor.page.locator("#drop-area")).to_be_visible()
    visitor.upload(two_pets)
    assert shows(visitor.picture(), CAT, TINTED_CAT), "the same photo again"


@pytest.mark.parametrize("way", ["drop", "paste"])
def test_a_photo_comes_by_drop_or_paste_while_another_is_shown(
    visitor: Visitor, two_pets: Path, way: str
) -> None:
    with visitor.new_picture():
        visitor.page.locator("#examples button").first.click()
    with visitor.new_picture():
        visitor.page.locator("#stage").evaluate(
            """(stage, [way, bytes]) => {
              const bag = new DataTransfer();
              bag.items.add(new File([new Uint8Array(bytes)], "given.png", {type: "image/png"}));
              const options = {bubbles: true, cancelable: true};
              stage.dispatchEvent(way === "drop"
                ? new DragEvent("drop", {...options, dataTransfer: bag})
                : new ClipboardEvent("paste", {...options, clipboardData: bag}));
            }""",
            [way, list(two_pets.read_bytes())],
        )
    assert shows(visitor.picture(), DOG, TINTED_DOG)


def test_a_photo_is_taken_with_the_webcam(visitor: Visitor) -> None:
    """Chromium's own: it films a green test card."""
    photo = visitor.page.locator("#photo")
    photo.get_by_label("Capture from camera").click()
    photo.get_by_text("Access Webcam").click()
    visitor.page.wait_for_function(FILMS)
    with visitor.new_picture():
        photo.get_by_label("capture photo").click()
    expect(visitor.page.locator("#legend .facts")).to_contain_text("pixels")
    red, green, blue = np.median(visitor.picture(), axis=(0, 1))
    assert green > 100
    assert max(red, blue) < 50
