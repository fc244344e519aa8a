"""The first seconds: what a visitor sees and can do before Gradio's scripts have drawn the page."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from benchmarks.visitor import Visitor

pytestmark = pytest.mark.browser


@pytest.fixture
def early(browser: Browser, tiny_page: str) -> Iterator[tuple[Visitor, Callable[[], None]]]:
    """A visitor for whom Gradio's scripts are still on their way, and what lets them come."""

    def release() -> None:
        visitor.page.unroute("**/assets/*.js")

    with Visitor(browser, tiny_page) as visitor:
        visitor.page.route("**/assets/*.js", lambda _: None)
        visitor.page.goto(tiny_page, wait_until="commit")
        visitor.page.locator("#first-paint input[type=file]").wait_for(state="attached")
        yield visitor, release
        assert visitor.faults == []


def test_a_photo_is_taken_before_gradio_is_there(
    early: tuple[Visitor, Callable[[], None]], two_pets: Path
) -> None:
    visitor, release = early
    first = visitor.page.locator("#first-paint")
    visitor.page.set_input_files("#first-paint input[type=file]", two_pets)
    expect(first.get_by_role("status")).to_have_text("Getting ready ...")
    assert visitor.picture("#first-paint figure img").shape == (1200, 2000, 3), (
        "their own photo is seen at once"
    )
    with visitor.new_picture():
        release()
    expect(first).to_have_count(0)
    expect(visitor.page.locator("#badge")).to_have_text("1 cat and 1 dog")


def test_a_dialog_that_is_still_open_when_gradio_is_there_is_no_loss(
    early: tuple[Visitor, Callable[[], None]], two_pets: Path
) -> None:
    visitor, release = early
    with visitor.page.expect_file_chooser() as chooser:
        visitor.page.locator("#first-paint label").click()
    release()
    expect(visitor.page.locator("#first-paint")).to_have_count(0)
    visitor.page.locator("#photo input[type=file]").wait_for(state="attached")
    with visitor.new_picture():
        chooser.value.set_files(two_pets)


def test_the_keyboard_reaches_the_first_button_and_goes_on_from_there(
    early: tuple[Visitor, Callable[[], None]],
) -> None:
    visitor, release = early
    visitor.page.keyboard.press("Tab")
    expect(visitor.page.get_by_label("Take or choose a photo")).to_be_focused()
    release()
    expect(visitor.page.locator("#photo :is(button, input)").first).to_be_focused()


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_the_first_view_fits_and_stays_where_it_is(
    early: tuple[Visitor, Callable[[], None]], width: int
) -> None:
    visitor, release = early
    visitor.page.set_viewport_size({"width": width, "height": 780})
    assert visitor.page.evaluate("document.scrollingElement.scrollWidth") <= width
    picture = visitor.page.get_by_alt_text("A cat in full colour")
    assert picture.evaluate("(image) => image.decode().then(() => image.naturalWidth)") > 400, "no empty page"
    box = visitor.page.locator("#first-paint label b").bounding_box()
    assert box is not None
    assert box["height"] >= 44
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= width
    release()
    expect(visitor.page.locator("#first-paint")).to_have_count(0)
    later = visitor.page.locator("#photo").bounding_box()
    assert later is not None
    for side in ("x", "y", "height"):
        assert abs(later[side] - box[side]) <= 12, f"{side}: {box[side]}, then {later[side]}"


def test_what_the_page_names_at_once_is_fetched_once_and_used(visitor: Visitor) -> None:
    hinted = set(
        visitor.page.evaluate("[...document.querySelectorAll('link[rel$=preload]')].map((link) => link.href)")
    )
    assets = [address for address in visitor.requested if "/assets/" in address]
    assert len(set(assets)) == len(assets), "a hint that does not match is fetched twice"
    late = set(assets) - hinted
    assert len(late) < len(hinted) / 2, late
