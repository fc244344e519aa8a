"""What is seen where in the picture of the red cat and the blue dog, and in all states of the page."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import Locator, expect

from benchmarks.visitor import Visitor

CAT, DOG, EDGE, GROUND = (0.25, 0.5), (0.7, 0.5), (0.14, 0.5), (0.5, 0.1)
"""Parts of the photo's width and height: the middle of each pet, the cat's left side, and beside both."""
RED, BLUE, GREY = (255, 0, 0), (0, 0, 255), (128, 128, 128)
DIM_RED, DIM_BLUE, DIM_GREY = (32, 32, 32), (12, 12, 12), (54, 54, 54)
GREEN_PIN, RED_PIN, YELLOW = (22, 163, 74), (220, 38, 38), (250, 204, 21)
AMBER = (245, 158, 11)
"""The first pet's hue."""


def colour(picture: NDArray[np.uint8], place: tuple[float, float]) -> NDArray[np.int64]:
    x, y = int(place[0] * picture.shape[1]), int(place[1] * picture.shape[0])
    return picture[y, x].astype(np.int64)


def shows(picture: NDArray[np.uint8], place: tuple[float, float], wanted: tuple[int, ...]) -> bool:
    """Whether a place has a colour, as nearly as JPEG keeps it."""
    return bool(np.abs(colour(picture, place) - wanted).max() < 14)


def area(picture: NDArray[np.uint8], wanted: tuple[int, ...]) -> int:
    """Pixels of a colour."""
    return int((np.abs(picture.astype(int) - wanted).max(2) < 14).sum())


def pinned(picture: NDArray[np.uint8], place: tuple[float, float], wanted: tuple[int, ...]) -> bool:
    """Whether a marker of that colour is drawn there."""
    x, y = int(place[0] * picture.shape[1]), int(place[1] * picture.shape[0])
    near = picture[max(0, y - 12) : y + 13, max(0, x - 12) : x + 13].astype(int)
    return int((np.abs(near - wanted).max(2) < 60).sum()) > 60


def uncovered(part: Locator) -> bool:
    """Whether nothing lies over the middle of it."""
    return bool(
        part.evaluate(
            """(part) => {
              const box = part.getBoundingClientRect();
              return part.contains(document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2));
            }"""
        )
    )


def open_damage(visitor: Visitor) -> None:
    """Open Advanced on the Robustness tab; Gradio makes what is in it a while after the click."""
    visitor.page.click("#robustness-advanced > button")
    visitor.page.locator("#sweep").wait_for()


def drag(visitor: Visitor, one: tuple[float, float], other: tuple[float, float]) -> None:
    """Press on one place of the photo, and let go on the other."""
    visitor.page.mouse.move(*visitor.spot(*one))
    visitor.page.mouse.down()
    visitor.page.mouse.move(*visitor.spot(*other), steps=3)
    visitor.page.mouse.up()


def states(visitor: Visitor, photo: Path) -> Iterator[str]:
    """The page in all its states, one after the other, beginning with the example; yields their names."""
    yield "first"
    visitor.upload(photo)
    visitor.click(*CAT)
    yield "Segment"
    parts = visitor.page.locator(".bar button")
    for part in parts.all() if parts.first.is_visible() else ():
        part.click()
        yield f"Segment, {part.inner_text()}"
    for name in ("advanced", "developers"):
        visitor.open(name)
        visitor.page.wait_for_timeout(300)
        yield f"Segment, {name}"
    visitor.tab("Robustness")
    visitor.page.locator("#robustness-pair img").last.wait_for()
    yield "Robustness"
    open_damage(visitor)
    visitor.page.click("#sweep")
    expect(visitor.page.locator("#sweep-curves .curves svg")).to_have_count(2)
    yield "Robustness, Advanced"
    visitor.tab("Compare")
    expect(visitor.page.locator("#compare-tiny-prompt")).to_contain_text("Outline")
    yield "Compare"
