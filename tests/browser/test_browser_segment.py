"""The Segment tab: a photo, its pets, and taps."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import expect

from benchmarks.visitor import Visitor
from petseg.app.examples import all_examples
from tests.browser.seen import (
    AMBER,
    BLUE,
    CAT,
    DIM_BLUE,
    DIM_GREY,
    DIM_RED,
    DOG,
    EDGE,
    GREEN_PIN,
    GREY,
    GROUND,
    RED,
    RED_PIN,
    YELLOW,
    area,
    colour,
    drag,
    pinned,
    shows,
)

pytestmark = pytest.mark.browser

_WATCH = """() => {
  window.amber = [];
  const canvas = document.querySelector("#result canvas"), copy = document.createElement("canvas");
  const drawn = copy.getContext("2d", {willReadFrequently: true});
  const look = () => {
    [copy.width, copy.height] = [canvas.width, canvas.height];
    drawn.drawImage(canvas, 0, 0);
    const pixels = drawn.getImageData(0, 0, copy.width, copy.height).data;
    let count = 0;
    for (let i = 0; i < pixels.length; i += 4) {
      count += Math.abs(pixels[i] - 245) + Math.abs(pixels[i + 1] - 158) + Math.abs(pixels[i + 2] - 11) < 30;
    }
    window.amber.push(count);
    requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
}"""
"""Counts the pixels of the first pet's hue in each frame."""
FILMS = "() => document.querySelector('.filming video')?.currentTime > 0"


def shown(visitor: Visitor) -> str:
    """The pet that is picked, or "all"."""
    return str(visitor.page.locator("#stage").get_attribute("data-shown"))


def test_an_example_shows_its_answer_before_anybody_clicks(visitor: Visitor) -> None:
    expect(visitor.page.locator("#badge")).to_be_visible()
    assert visitor.picture().std() > 20, "a picture is seen"
    cards = visitor.page.locator("#examples button")
    expect(cards).to_have_count(len(all_examples()))
    for card in cards.all():
        expect(card.locator("canvas")).not_to_have_attribute("width", "320")
    with visitor.new_picture():
        cards.nth(1).click()
    height, width = all_examples()[1].photo.shape[:2]
    picture = visitor.picture()
    assert picture.shape[1] / picture.shape[0] == pytest.approx(width / height, rel=0.01)


def test_the_pets_are_in_full_colour_and_the_rest_is_dimmed(visitor: Visitor, two_pets: Path) -> None:
    visitor.upload(two_pets)
    picture = visitor.picture()
    assert picture.shape == (614, 1024, 3)
    assert shows(picture, CAT, RED)
    assert shows(picture, DOG, BLUE)
    assert shows(picture, GROUND, DIM_GREY)
    assert area(picture, AMBER) > 200, "a thin outline"
    expect(visitor.page.locator("#badge")).to_have_text("1 cat and 1 dog")
    expect(visitor.page.locator("#live")).to_contain_text("1 cat and 1 dog found: Cat")
    expect(visitor.page.locator("#examples")).to_be_hidden()
    expect(visitor.page.locator("canvas[role=application]")).to_be_focused()


def test_the_outline_draws_itself(arrive: Callable[..., Visitor], two_pets: Path) -> None:
    visitor = arrive(reduced_motion="no-preference")
    visitor.page.evaluate(_WATCH)
    visitor.upload(two_pets)
    visitor.page.wait_for_timeout(1500)
    amber = visitor.page.evaluate("window.amber")
    assert len(set(amber)) > 2, "it grows"
    assert max(amber) > 200


def test_a_handle_slides_between_before_and_after(visitor: Visitor, two_pets: Path) -> None:
    visitor.upload(two_pets)
    handle = visitor.page.get_by_role("slider", name="Compare with the photo as it was")
    box = handle.bounding_box()
    assert box is not None
    y = box["y"] + box["height"] / 2
    visitor.page.mouse.move(box["x"] + box["width"] / 2 + 4, y)
    visitor.page.mouse.down()
    visitor.page.mouse.move(visitor.spot(0.6, 0.5)[0], y, steps=4)
    visitor.page.mouse.up()
    visitor.settle()
    picture = visitor.picture()
    assert shows(picture, (0.5, 0.1), GREY), "as it was"
    assert shows(picture, (0.8, 0.1), DIM_GREY)
    handle.press("Home")
    visitor.settle()
    assert shows(visitor.picture(), (0.5, 0.1), DIM_GREY)


def test_where_the_handle_hides_all_what_is_chosen_or_tapped_brings_it_back(
    visitor: Visitor, two_pets: Path
) -> None:
    visitor.upload(two_pets)
    handle = visitor.page.locator(".split")
    for choose in (
        lambda: visitor.choose("#view", "Tint"),
        lambda: visitor.page.get_by_label("Sun yellow").check(),
        lambda: visitor.click(*DOG),
        lambda: visitor.page.locator(".chip", has_text="Cat").last.click(),
    ):
        handle.press("End")
        choose()
        expect(handle).to_have_attribute("aria-valuenow", "0")
    for _ in range(8):
        handle.press("ArrowRight")
    visitor.choose("#view", "Outline")
    expect(handle).to_have_attribute("aria-valuenow", "40")


def test_a_tap_picks_a_pet_with_no_round_trip(visitor: Visitor, two_pets: Path) -> None:
    visitor.upload(two_pets)
    asked = len(visitor.requested)
    visitor.click(*DOG)
    picture = visitor.picture()
    assert shows(picture, DOG, BLUE)
    assert shows(picture, CAT, DIM_RED), "the other pet is dimmed"
    expect(visitor.page.locator("#badge")).to_contain_text("Dog, ")
    visitor.page.locator(".chip[data-animal]", has_text="Cat").click()
    visitor.settle()
    picture = visitor.picture()
    assert shows(picture, CAT, RED)
    assert shows(picture, DOG, DIM_BLUE)
    visitor.page.mouse.move(*visitor.spot(*DOG))
    visitor.settle()
    assert colour(visitor.picture(), DOG)[2] > 200, "the pet under the cursor lights up"
    visitor.page.mouse.move(*visitor.spot(*GROUND))
    visitor.settle()
    assert shows(visitor.picture(), DOG, DIM_BLUE)
    visitor.page.get_by_role("button", name="All: 1 cat and 1 dog").click()
    visitor.settle()
    assert shows(visitor.picture(), DOG, BLUE)
    assert len(visitor.requested) == asked


def test_corrections_are_answered_undone_and_cleared(visitor: Visitor, two_pets: Path) -> None:
    visitor.upload(two_pets)
    everything = visitor.picture()
    visitor.click(*DOG)
    visitor.choose("#tools", "Not pet")
    visitor.click(0.7, 0.5)
    less = visitor.picture()
    assert pinned(less, DOG, RED_PIN)
    expect(visitor.page.locator("#facts")).to_contain_text("tiny-prompt · ")
    visitor.choose("#tools", "Pet")
    visitor.click(0.63, 0.5)
    assert pinned(visitor.picture(), (0.63, 0.5), GREEN_PIN)
    visitor.page.click("#undo")
    visitor.settle()
    assert not pinned(visitor.picture(), (0.63, 0.5), GREEN_PIN)
    visitor.page.click("#clear")
    visitor.settle()
    np.testing.assert_array_equal(visitor.picture(), everything)


def test_a_tap_on_nothing_keeps_the_picture_and_says_so(visitor: Visitor, two_pets: Path) -> None:
    visitor.upload(two_pets)
    before = visitor.picture()
    visitor.click(*GROUND)
    expect(visitor.page.locator(".alarm")).to_contain_text("There is no pet that I can see there")
    np.testing.assert_array_equal(visitor.picture(), before)


def test_another_pet_is_begun_and_corrected(visitor: Visitor, two_pets: Path) -> None:
    """With a model that finds none by itself: one after the other is tapped."""
    visitor.open("advanced")
    with visitor.new_picture():
        visitor.choose("#model", "tiny-prompt")
    visitor.upload(two_pets)
    expect(visitor.page.locator(".alarm")).to_contain_text("tap the pet")
    visitor.click(*CAT)
    expect(visitor.page.locator("#pets .chip")).to_have_count(2)
    visitor.page.click("#another")
    visitor.click(*DOG)
    expect(visitor.page.locator("#pets .chip")).to_have_count(4)
    expect(visitor.page.locator("#badge")).to_have_text("1 cat and 1 dog")
    assert shown(visitor) == "all"
    before = visitor.picture()
    visitor.choose("#tools", "Not pet")
    visitor.click(0.67, 0.5)
    after = visitor.picture()
    assert area(after, BLUE) < area(before, BLUE), "it is about the pet that was begun last"
    assert abs(area(after, RED) - area(before, RED)) < 0.02 * area(before, RED)
    visitor.open("developers")
    assert "objects=[0, 1, 1]" in visitor.page.locator("#code-python").inner_text()


def test_a_box_is_dragged_or_made_of_two_taps(visitor: Visitor, two_pets: Path) -> None:
    visitor.open("advanced")
    with visitor.new_picture():
        visitor.choose("#model", "tiny-prompt")
    visitor.upload(two_pets)
    visitor.choose("#tools", "Box")
    drag(visitor, (0.43, 0.8), (0.05, 0.2))
    visitor.settle()
    boxed = visitor.picture()
    assert shows(boxed, EDGE, RED), "all that is in the box"
    assert shows(boxed, DOG, DIM_BLUE)
    assert pinned(boxed, (0.43, 0.5), YELLOW), "the box's right side"
    visitor.page.click("#undo")
    visitor.settle()
    for corner in ((0.52, 0.2), (0.95, 0.8)):
        visitor.click(*corner)
    boxed = visitor.picture()
    assert shows(boxed, DOG, BLUE)
    assert shows(boxed, CAT, DIM_RED)
    visitor.choose("#tools", "Pick")
    before = visitor.picture()
    drag(visitor, (0.05, 0.1), (0.3, 0.15))
    visitor.settle()
    assert not pinned(visitor.picture(), (0.2, 0.1), YELLOW), "only that tool draws one"
    assert before.shape == boxed.shape


def test_a_finger_drags_a_box(arrive: Callable[..., Visitor], two_pets: Path) -> None:
    visitor = arrive(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    visitor.upload(two_pets)
    visitor.choose("#tools", "Box")
    session = visitor.context.new_cdp_session(visitor.page)

    def touch(kind: str, *places: tuple[float, float]) -> None:
        points = [{"x": x, "y": y} for x, y in (visitor.spot(*place) for place in places)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    with visitor.new_picture():
        touch("touchStart", (0.05, 0.2))
        for step in range(1, 9):
            touch("touchMove", (0.05 + 0.38 * step / 8, 0.2 + 0.6 * step / 8))
        touch("touchEnd")
    assert pinned(visitor.picture(), (0.43, 0.5), YELLOW)
    assert visitor.page.evaluate("scrollY") == 0, "the page stays where it is"


def test_another_model_gets_the_photo_and_the_clicks(visitor: Visitor, two_pets: Path) -> None:
    visitor.upload(two_pets)
    visitor.open("advanced")
    visitor.choose("#tools", "Pet")
    visitor.click(*DOG)
    with visitor.new_picture():
        visitor.choose("#model", "tiny")
    expect(visitor.page.locator(".alarm")).to_contain_text("tiny takes no point")
    with visitor.new_picture():
        visitor.choose("#model", "tiny-prompt")
    assert pinned(visitor.picture(), DOG, GREEN_PIN), "the click is kept"
    expect(visitor.page.locator(".alarm")).to_be_hidden()


def test_views_and_sliders(visitor: Visitor, two_pets: Path) -> None:
    visitor.upload(two_pets)
    number = int(str(visitor.page.locator(".chip[data-animal]", has_text="Cat").get_attribute("data-animal")))
    hue = AMBER if number == 0 else (59, 130, 246)
    half = tuple((np.array(hue) + RED) // 2)
    for view, expected in (("Tint", half), ("Mask", hue), ("Outline", RED), ("Spotlight", RED)):
        visitor.choose("#view", view)
        visitor.settle()
        assert shows(visitor.picture(), CAT, tuple(expected)), view
    visitor.open("advanced")
    visitor.choose("#view", "Mask")
    areas = []
    for level in (-5, 0, 5):
        visitor.page.locator("#level").fill(str(level))
        visitor.settle()
        areas.append(int((visitor.picture().max(2) > 100).sum()))
    assert areas[0] >= areas[1] > areas[2] > 0, "tighter is less"
    visitor.upload(two_pets)
    expect(visitor.page.locator("#level")).to_have_value("0")


@pytest.mark.parametrize("way", ["drop", "paste"])
def test_a_photo_comes_by_drop_or_paste_while_another_is_shown(
    visitor: Visitor, two_pets: Path, way: str
) -> None:
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
    assert shows(visitor.picture(), DOG, BLUE)


def test_a_photo_is_taken_with_the_webcam(visitor: Visitor) -> None:
    """Chromium's own: it films a green test card."""
    visitor.page.get_by_role("button", name="Use the camera").click()
    visitor.page.wait_for_function(FILMS)
    with visitor.new_picture():
        visitor.page.get_by_role("button", name="Take the photo").click()
    expect(visitor.page.locator("#badge")).to_have_text("No pet found")
    expect(visitor.page.locator(".alarm")).to_contain_text("No cat or dog was found. Tap the pet")
    red, green, blue = np.median(visitor.picture(), axis=(0, 1))
    assert green > 100
    assert max(red, blue) < 50


def test_a_refresh_keeps_the_photo_and_the_clicks(visitor: Visitor, two_pets: Path) -> None:
    visitor.upload(two_pets)
    visitor.choose("#tools", "Pet")
    visitor.click(*DOG)
    before = visitor.picture()
    for leave in (visitor.page.reload, lambda: (visitor.page.goto("about:blank"), visitor.page.go_back())):
        leave()
        visitor.page.locator("#undo:not([disabled])").wait_for()
        visitor.settle()
        assert np.abs(visitor.picture().astype(int) - before).mean() < 1
