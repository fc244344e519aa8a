"""What a visitor may take along, and what the page refuses."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from benchmarks.visitor import Visitor
from petseg import Segmenter
from petseg.app.handlers import LEVELS
from petseg.app.state import MAX_BYTES, MAX_PIXELS
from tests.browser.seen import DOG

pytestmark = pytest.mark.browser

CLICK = (1400, 600)
"""A pixel of the dog."""


_PRESSED_TWICE = """async () => {
  const save = document.getElementById("save");
  const later = (time) => new Promise((done) => setTimeout(done, time));
  const press = async () => {
    save.click();
    while (save.textContent !== "Saved" || save.hasAttribute("aria-busy")) await later(10);
  };
  const seen = [];
  await press();
  await later(1200);
  seen.push(save.textContent);
  await press();
  await later(900);
  return [...seen, save.textContent];
}"""
"""What the button says 1.2 s after the file is there, and 0.9 s after the next one."""


def keep(visitor: Visitor, button: str, folder: Path) -> Path:
    """Press a button for a file, and get the file."""
    with visitor.page.expect_download() as started:
        visitor.page.click(button)
    path = folder / started.value.suggested_filename
    started.value.save_as(path)
    return path


def tap_in_numbers(visitor: Visitor, x: int, y: int) -> None:
    visitor.page.fill("#tap-x", str(x))
    visitor.page.fill("#tap-y", str(y))
    visitor.page.click("#tap")
    visitor.settle()


def test_files_and_code_give_what_was_shown(
    visitor: Visitor, two_pets: Path, folder: Path, prompt_model_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    visitor.open("advanced")
    with visitor.new_picture():
        visitor.choose("#model", "tiny-prompt")
    visitor.upload(two_pets)
    tap_in_numbers(visitor, *CLICK)
    expected = Segmenter(prompt_model_path, device="cpu").segment(two_pets, CLICK)

    visitor.open("developers")
    mask = keep(visitor, "#save-mask", folder)
    assert mask.name == "two pets.mask.png"
    with Image.open(mask) as image:
        np.testing.assert_array_equal(np.asarray(image), expected.mask)
    cutout = keep(visitor, "#cutout", folder)
    assert cutout.name == "two pets.cutout.png"
    with Image.open(cutout) as image:
        assert (image.mode, image.size) == ("RGBA", (2000, 1200))
        pixels = np.asarray(image)
    assert tuple(pixels[CLICK[1], CLICK[0]]) == (0, 0, 255, 255)
    assert not pixels[pixels[..., 3] == 0].any(), "no hidden pixels of the photo"
    document = json.loads(keep(visitor, "#save-json", folder).read_text())
    assert document["label"] == "dog"
    assert document["polygons"]
    assert len(json.loads(keep(visitor, "#save-coco", folder).read_text())["annotations"]) == 1

    python = visitor.page.locator("#code-python").inner_text()
    assert "points=[(1400, 600)]" in python
    client = visitor.page.locator("#code-client").inner_text()
    assert visitor.url in client
    monkeypatch.chdir(two_pets.parent)
    given: dict[str, object] = {}
    exec(client, given)
    with Image.open(str(given["mask"])) as image:
        np.testing.assert_array_equal(np.asarray(image), expected.mask)
    assert isinstance(given["info"], dict)
    assert given["info"]["label"] == "dog"

    visitor.page.get_by_label("Copy: Python").click()
    expect(visitor.page.get_by_label("Copy: Python")).to_have_text("Copied")
    visitor.context.grant_permissions(["clipboard-read"])
    assert visitor.page.evaluate("navigator.clipboard.readText()") == python

    tap_in_numbers(visitor, 2000, 10)
    expect(visitor.page.locator(".alarm")).to_contain_text("x from 0 to 1999 and y from 0 to 1199")


def test_a_sticker_of_the_left_cat_takes_three_clicks(visitor: Visitor, two_pets: Path, folder: Path) -> None:
    visitor.upload(two_pets)  # the first: "Take or choose a photo"
    visitor.click(0.25, 0.5)  # the second
    sticker = keep(visitor, "#save", folder)  # the third
    assert sticker.name == "two pets.sticker.png"
    with Image.open(sticker) as image:
        assert image.size == (512, 512)
        pixels = np.asarray(image.convert("RGBA")).astype(int)
    solid = pixels[pixels[..., 3] == 255]
    assert (np.abs(solid[:, :3] - (255, 0, 0)).max(1) < 12).mean() > 0.5, "the cat"
    assert (np.abs(solid[:, :3] - (0, 0, 255)).max(1) < 60).sum() == 0, "and nothing of the dog"
    expect(visitor.page.locator("#save")).to_have_text("Save sticker")


def test_a_dog_on_a_beach_photo_takes_four_clicks(visitor: Visitor, two_pets: Path, folder: Path) -> None:
    beach = folder / "beach.png"
    Image.new("RGB", (300, 200), "#ffee00").save(beach)
    visitor.upload(two_pets)  # the first
    visitor.click(0.7, 0.5)  # the second
    visitor.page.set_input_files("#ground-file", beach)  # the third
    expect(visitor.page.locator("#save")).to_have_text("Save picture")
    visitor.settle()
    seen = visitor.picture()
    assert np.abs(seen[10, 10].astype(int) - (255, 238, 0)).max() < 12, "composed in the browser"
    picture = keep(visitor, "#save", folder)  # the fourth
    with Image.open(picture) as image:
        assert image.size == (2000, 1200)
        for place, colour in (((1400, 600), (0, 0, 255)), ((500, 600), (255, 238, 0))):
            assert np.abs(np.array(image.getpixel(place)) - colour).max() < 12


def test_backgrounds_are_seen_at_once(visitor: Visitor, two_pets: Path) -> None:
    visitor.upload(two_pets)
    asked = len(visitor.requested)
    for name, corner in (("White", (255, 255, 255)), ("Black", (17, 24, 39)), ("Blurred", (128, 128, 128))):
        visitor.page.get_by_label(name, exact=True).check()
        visitor.settle()
        picture = visitor.picture().astype(int)
        assert np.abs(picture[8, 8] - corner).max() < 14, name
        assert np.abs(picture[307, 256] - (255, 0, 0)).max() < 14, name
    assert len(visitor.requested) == asked
    visitor.context.grant_permissions(["clipboard-read", "clipboard-write"])
    visitor.page.click("#copy")
    expect(visitor.page.locator("#copy")).to_have_text("Copied")
    kinds = visitor.page.evaluate("navigator.clipboard.read().then((all) => all.flatMap((one) => one.types))")
    assert kinds == ["image/png"]


def test_a_file_that_takes_long_says_so(
    tiny_pages: Callable[..., tuple[str, Path]], arrive: Callable[..., Visitor], two_pets: Path, folder: Path
) -> None:
    url, _ = tiny_pages(delay=1)
    visitor = arrive(url)
    visitor.upload(two_pets)
    with visitor.page.expect_download():
        visitor.page.click("#save")
        expect(visitor.page.locator("#save")).to_contain_text("Preparing")
    expect(visitor.page.locator("#save")).to_have_text("Saved")
    expect(visitor.page.locator("#save")).to_have_text("Save sticker")
    seen = visitor.page.evaluate(_PRESSED_TWICE)
    assert seen == ["Saved", "Saved"], (
        "pressed again before it says what it does, it says so as long as before"
    )


def test_a_level_is_in_the_file(visitor: Visitor, two_pets: Path, folder: Path, model_path: Path) -> None:
    visitor.upload(two_pets)
    visitor.open("advanced")
    with visitor.new_picture():
        visitor.page.locator("#level").fill("3")
    visitor.open("developers")
    expected = Segmenter(model_path, device="cpu").segment(two_pets).with_threshold(LEVELS[3])
    with Image.open(keep(visitor, "#save-mask", folder)) as image:
        np.testing.assert_array_equal(np.asarray(image), expected.mask)


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
        (lambda folder: text_file(folder, "notes.txt"), "is a text, not a photo"),
        (lambda folder: text_file(folder, "notes.jpg"), "is a text, not a photo"),
        (cut_short, "damaged or cut short"),
        (too_heavy, "20"),
        (too_large, "more than the limit of 50,000,000; make it smaller"),
    ],
    ids=["text", "text named jpg", "cut short", "too many bytes", "too many pixels"],
)
def test_what_is_refused_is_explained_and_the_photo_before_stays(
    visitor: Visitor, two_pets: Path, folder: Path, make: object, message: str
) -> None:
    assert callable(make)
    visitor.upload(two_pets)
    visitor.click(*DOG)
    visitor.page.get_by_label("Sun yellow").check()
    visitor.settle()
    before = visitor.picture()
    visitor.give(make(folder))
    alarm = visitor.page.locator(".alarm")
    expect(alarm).to_contain_text(message)
    expect(alarm).not_to_contain_text(str(folder))
    expect(alarm).not_to_contain_text("Traceback")
    visitor.settle()
    np.testing.assert_array_equal(visitor.picture(), before)
    expect(visitor.page.get_by_label("Sun yellow")).to_be_checked()
    expect(visitor.page.locator(".chip[aria-pressed=true]")).to_contain_text("Dog")
    visitor.click(0.25, 0.5)
    expect(visitor.page.locator("#badge")).to_contain_text("Cat, ")


def test_after_a_wrong_file_the_first_page_is_usable(visitor: Visitor, two_pets: Path, folder: Path) -> None:
    visitor.give(text_file(folder, "<img src=x onerror=alert(1)>.jpg"))
    expect(visitor.page.locator(".alarm")).to_contain_text("is a text, not a photo")
    visitor.settle()
    expect(visitor.page.get_by_text("Take or choose a photo")).to_be_visible()
    visitor.upload(two_pets)
    expect(visitor.page.locator(".alarm")).to_be_hidden()


def test_a_large_photo_is_answered_at_its_own_size(visitor: Visitor, folder: Path) -> None:
    path = folder / "large.jpg"
    pixels = np.full((3000, 4000, 3), 128, np.uint8)
    pixels[500:2500, 500:2000] = (255, 0, 0)
    Image.fromarray(pixels).save(path, quality=90)
    visitor.upload(path)
    visitor.open("developers")
    with Image.open(keep(visitor, "#save-mask", folder)) as image:
        assert image.size == (4000, 3000)
        assert image.getpixel((1250, 1500)) == 1
        assert image.getpixel((3000, 1500)) == 0
