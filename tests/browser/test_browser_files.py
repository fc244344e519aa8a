"""What a visitor may take along, and what the page refuses."""

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import expect

from benchmarks.visitor import Visitor
from petseg import Segmenter
from petseg.app.state import MAX_BYTES, MAX_PIXELS

pytestmark = pytest.mark.browser

TOAST = "[data-testid=toast-body]"
CLICK = (1400, 600)
"""A pixel of the dog."""


def keep(visitor: Visitor, button: str, folder: Path) -> Path:
    """Press a button for a file, and get the file."""
    with visitor.page.expect_download() as started:
        visitor.page.click(button)
    path = folder / started.value.suggested_filename
    started.value.save_as(path)
    return path


def open_numbers(visitor: Visitor) -> None:
    """Open what is closed; a person needs longer for the next step than Gradio for filling it."""
    visitor.page.click("#typed-click > button")
    visitor.page.wait_for_timeout(500)


def click_in_numbers(visitor: Visitor, x: int, y: int) -> None:
    visitor.page.get_by_label("x, pixels from the left").fill(str(x))
    visitor.page.get_by_label("y, pixels from the top").fill(str(y))
    visitor.page.keyboard.press("Tab")
    visitor.page.click("#add-click")


def test_files_and_code_give_what_was_shown(
    visitor: Visitor,
    two_pets: Path,
    photo: NDArray[np.uint8],
    folder: Path,
    prompt_model_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    visitor.upload(two_pets)
    open_numbers(visitor)
    with visitor.new_picture():
        click_in_numbers(visitor, *CLICK)
    expected = Segmenter(prompt_model_path, device="cpu").segment(two_pets, CLICK)

    mask = keep(visitor, "#download-mask", folder)
    assert mask.name == "two pets.mask.png"
    with Image.open(mask) as image:
        np.testing.assert_array_equal(np.asarray(image), expected.mask)
    cutout = keep(visitor, "#download-cutout", folder)
    assert cutout.name == "two pets.cutout.png"
    with Image.open(cutout) as image:
        assert (image.mode, image.size) == ("RGBA", (2000, 1200))
        pixels = np.asarray(image)
    assert tuple(pixels[CLICK[1], CLICK[0]]) == (0, 0, 255, 255)
    assert pixels[0, 0, 3] == 0
    document = json.loads(keep(visitor, "#download-json", folder).read_text())
    assert document["label"] == "dog"
    assert document["polygons"]

    visitor.page.click("#code > button")
    python = visitor.page.locator("#code-python code").inner_text()
    assert "points=[(1400, 600)]" in python
    client = visitor.page.locator("#code-client code").inner_text()
    assert visitor.url in client
    monkeypatch.chdir(two_pets.parent)
    given: dict[str, object] = {}
    exec(client, given)
    with Image.open(str(given["mask"])) as image:
        np.testing.assert_array_equal(np.asarray(image), expected.mask)
    assert isinstance(given["info"], dict)
    assert given["info"]["label"] == "dog"


def test_code_is_copied(visitor: Visitor, two_pets: Path) -> None:
    visitor.upload(two_pets)
    visitor.page.click("#code > button")
    visitor.page.get_by_label("Copy: Python").click()
    expect(visitor.page.get_by_label("Copy: Python")).to_have_text("Copied")
    visitor.page.click("#typed-click > button")
    visitor.page.locator("#click-x input").focus()
    visitor.context.grant_permissions(["clipboard-read"])
    copied = visitor.page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith("import petseg")
    assert "two pets.png" in copied


def test_a_threshold_is_in_the_file(visitor: Visitor, two_pets: Path, folder: Path, model_path: Path) -> None:
    visitor.upload(two_pets)
    with visitor.new_picture():
        visitor.page.locator("#threshold input[type=number]").fill("0.9")
        visitor.page.keyboard.press("Tab")
    expected = Segmenter(model_path, device="cpu").segment(two_pets).with_threshold(0.9)
    with Image.open(keep(visitor, "#download-mask", folder)) as image:
        np.testing.assert_array_equal(np.asarray(image), expected.mask)


def test_nothing_to_keep_yet(visitor: Visitor) -> None:
    visitor.page.click("#download-mask")
    expect(visitor.page.locator(TOAST)).to_contain_text("choose a photo first")


def test_a_click_beside_the_photo(visitor: Visitor, two_pets: Path) -> None:
    visitor.upload(two_pets)
    open_numbers(visitor)
    click_in_numbers(visitor, 2000, 10)
    expect(visitor.page.locator(TOAST)).to_contain_text("x from 0 to 1999 and y from 0 to 1199")


def text_file(folder: Path, name: str) -> Path:
    path = folder / name
    path.write_text("hello")
    return path


def cut_short(folder: Path) -> Path:
    path = folder / "cut.png"
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:5000])
    return path


def too_heavy(folder: Path) -> Path:
    path = folder / "heavy.png"
    Image.new("RGB", (40, 30)).save(path)
    with path.open("ab") as file:
        file.write(bytes(MAX_BYTES))
    return path


def too_large(folder: Path) -> Path:
    path = folder / "large.png"
    Image.new("1", (8000, MAX_PIXELS // 8000 + 1)).save(path)
    return path


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: text_file(folder, "notes.txt"), "Invalid file type"),
        (lambda folder: text_file(folder, "notes.jpg"), "is a text, not a photo"),
        (cut_short, "damaged or cut short"),
        (too_heavy, "exceed the maximum allowed size of 20"),
        (too_large, "more than the limit of 50,000,000; make it smaller"),
    ],
    ids=["text", "text named jpg", "cut short", "too many bytes", "too many pixels"],
)
def test_what_is_refused_is_explained_and_the_photo_before_stays(
    visitor: Visitor, two_pets: Path, folder: Path, make: object, message: str
) -> None:
    assert callable(make)
    visitor.upload(two_pets)
    before = visitor.picture()
    visitor.give(make(folder))
    toast = visitor.page.locator(TOAST)
    expect(toast).to_contain_text(message)
    expect(toast).not_to_contain_text(str(folder))
    expect(toast).not_to_contain_text("Traceback")
    np.testing.assert_array_equal(visitor.picture(), before)
    visitor.click(0.25, 0.5)
    expect(visitor.page.locator("#legend .found strong")).to_have_text("Cat")


def test_a_large_photo_is_answered_at_its_own_size(visitor: Visitor, folder: Path) -> None:
    path = folder / "large.jpg"
    pixels = np.full((3000, 4000, 3), 128, np.uint8)
    pixels[500:2500, 500:2000] = (255, 0, 0)
    Image.fromarray(pixels).save(path, quality=90)
    visitor.upload(path)
    expect(visitor.page.locator("#legend .facts")).to_contain_text("4000 x 3000 pixels")
    with Image.open(keep(visitor, "#download-mask", folder)) as image:
        assert image.size == (4000, 3000)
        assert image.getpixel((1250, 1500)) == 1
        assert image.getpixel((3000, 1500)) == 0
