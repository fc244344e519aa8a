"""The page with the models in the visitor's own browser: it says what Python says, and needs no network."""

import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, Page, expect
from skimage import data

from export import web
from export.web.trial import serving
from petseg import Segmenter
from petseg.app.examples import CHELSEA, twins
from petseg.measure.perturbations import LEVELS, perturb
from petseg.pixels.image import load
from tests.support.web_worker import WebWorker
from train.config import OXFORD, photos_root

pytestmark = pytest.mark.browser

AGREE = 0.99
"""IoU of each class, at least, between what the browser says and what Python says of the same model."""
REAL = 50
"""Photos of real pets, each of which is clicked too."""
FILES = 10
"""So many of them are given as they are, too, decoded by the browser."""
PATIENCE = 300_000
"""Milliseconds: other programs may have most of the machine."""
_UNLIKE_THE_PHOTO = """([before]) => {
  const canvas = document.querySelector("#picture");
  return canvas.toDataURL() !== before;
}"""

_COUNT = """() => {
  self.questions = [];
  const post = Worker.prototype.postMessage;
  Worker.prototype.postMessage = function (message, ...rest) {
    self.questions.push(message.question.kind);
    return post.call(this, message, ...rest);
  };
}"""
"""Note what the page asks its worker."""
_LIT_AT_ONCE = """async ([across, down]) => {
  const canvas = document.querySelector("#picture"), box = canvas.getBoundingClientRect();
  const move = (kind, x, y) => canvas.dispatchEvent(new PointerEvent(kind, {
    clientX: box.left + x * box.width, clientY: box.top + y * box.height, pointerType: "mouse",
  }));
  const frame = () => new Promise(requestAnimationFrame);
  move("pointerleave", 0, 0);
  await frame();
  const before = canvas.toDataURL();
  move("pointermove", across, down);
  await frame();
  await frame();
  return canvas.toDataURL() !== before;
}"""
"""Whether another picture is shown in the frame after the pointer came to a place."""
_KEPT = """async () => {
  const { active } = await navigator.serviceWorker.ready;
  while (active.state !== "activated") await new Promise((resolve) => setTimeout(resolve, 50));
}"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("npm") is None:
        pytest.skip("no npm here: apt-get install npm")
    return web.assemble(tmp_path_factory.mktemp("web") / "site")


@pytest.fixture(scope="module")
def url(site: Path) -> Iterator[str]:
    with serving(site) as url:
        yield url


@pytest.fixture(autouse=True)
def int8_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python asks what the browser has, the int8 weights, even where the machine is no faster with them."""
    monkeypatch.setattr("petseg.engine.network.int8_is_fast", lambda: True)


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:
    """The page, opened; no script of it may fail, nor anything be asked of another server."""
    with browser.new_context(viewport={"width": 390, "height": 844}) as context:
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda asked: asked.url.startswith((url, "blob:")) or faults.append(asked.url))
        page.goto(url)
        yield page
        assert faults == []


def encoded(photo: NDArray[np.uint8], form: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(photo).save(file, form, **options)
    return file.getvalue()


def drawn() -> dict[str, bytes]:
    """A cat as most photos have one, turned by EXIF, small, in a panorama, two of them, and speckled."""
    cat = load(CHELSEA.read_bytes())
    small = np.full((900, 1200, 3), 200, np.uint8)
    small[500:650, 700:925] = Image.fromarray(cat).resize((225, 150))
    wide = np.full((300, 1600, 3), 180, np.uint8)
    wide[:, 300:751] = cat
    turned = Image.Exif()
    turned[0x112] = 6  # Orientation
    return {
        "plain": encoded(cat),
        "turned": encoded(np.rot90(cat).copy(), "JPEG", quality=92, exif=turned),
        "small": encoded(small),
        "wide": encoded(wide),
        "two": encoded(twins()),
        "speckled": encoded(perturb(cat, "salt_and_pepper", LEVELS, 0)),
    }


def agreement(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """The least IoU of a class that either has."""
    found = []
    for kind in (1, 2):
        both, any_ = ((one == kind) & (other == kind)).sum(), ((one == kind) | (other == kind)).sum()
        found += [both / any_] if any_ else []
    return float(min(found, default=1.0))


def compare(worker: WebWorker, photos: dict[str, bytes], *, clicks: bool) -> dict[str, float]:
    """How far browser and Python agree about each photo, and about a click on a pet of it."""
    finder = Segmenter("unet", device="cpu")
    assert finder.precision == "int8"
    clicked, found = Segmenter("prompt", device="cpu"), {}
    random = np.random.default_rng(0)
    for name, photo in photos.items():
        expected = finder.segment(photo)
        worker.ask({"kind": "open"}, photo)
        found[name] = agreement(worker.mask(*expected.size), expected.mask)
        rows, columns = np.nonzero(expected.mask)
        if clicks and len(rows):
            chosen = random.integers(len(rows))
            click = [float(columns[chosen]) + 0.5, float(rows[chosen]) + 0.5]
            one = clicked.segment(photo, (click[0], click[1]))
            said = worker.ask({"kind": "click", "at": click})
            # A click that finds nothing changes nothing there: what is kept is what was seen before.
            nothing = said["label"] == "background"
            kept = np.zeros_like(one.mask) if nothing else worker.mask(*one.size)
            found[f"{name}, clicked"] = agreement(kept, one.mask)
    return found


def test_the_browser_says_what_python_says(page: Page) -> None:
    assert page.evaluate("crossOriginIsolated")
    found = compare(WebWorker(page), drawn(), clicks=True)
    assert len(found) == 12
    assert min(found.values()) >= AGREE, found


def test_a_click_on_a_person_finds_no_pet(page: Page) -> None:
    worker = WebWorker(page)
    worker.ask({"kind": "open"}, encoded(data.astronaut()))
    for kind in ("glance", "click"):
        found = worker.ask({"kind": kind, "at": [225.5, 110.5]})
        assert (found["label"], found["cat"], found["dog"]) == ("background", 0, 0)


@pytest.mark.data
@pytest.mark.slow
def test_it_does_of_real_photos(page: Page, figures: list[str]) -> None:
    files = sorted(Path(photos_root(), OXFORD).rglob("*.jpg"))
    if len(files) < REAL:
        pytest.skip("the photos are not here")
    chosen = np.random.default_rng(1).permutation(len(files))[:REAL]
    photos = {files[index].stem: files[index].read_bytes() for index in chosen}
    found = compare(
        WebWorker(page), {name: encoded(load(photo)) for name, photo in photos.items()}, clicks=True
    )
    far = {name: value for name, value in found.items() if value < AGREE}
    assert not far, far
    # A browser decodes JPEG and follows colour profiles in its own way: so far apart are answers to files.
    files_found = compare(WebWorker(page), dict(list(photos.items())[:FILES]), clicks=False)
    for about, values in (("same pixels", found), ("same files", files_found)):
        least, median = min(values.values()), float(np.median(list(values.values())))
        figures.append(f"browser and Python, {about}: IoU {least:.4f} at least, median {median:.4f}")


def test_a_visit(page: Page, browser: Browser, site: Path, tmp_path: Path) -> None:
    """By finger and by keyboard, in both themes, to the files that are kept; and again without a network."""
    axe = (web.SOURCE / "node_modules/axe-core/axe.min.js").read_text(encoding="utf-8")
    assert_accessible(page, axe)
    page.set_input_files("#file", {"name": "two.png", "mimeType": "image/png", "buffer": encoded(twins())})
    expect(page.locator("#legend")).to_be_visible(timeout=PATIENCE)
    assert page.locator("#status").inner_text().startswith("Cat, ")
    for theme in ("dark", "light"):
        page.emulate_media(color_scheme=theme)
        assert_accessible(page, axe)
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 390

    everything = canvas(page)
    box = page.locator("#picture").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 0.5 * box["height"])
    page.wait_for_function(_UNLIKE_THE_PHOTO, arg=[everything])  # it is lit
    page.mouse.move(1, 1)
    page.wait_for_function(f"(before) => !({_UNLIKE_THE_PHOTO})([before])", arg=everything)

    page.focus("#board")
    for _ in range(3):
        page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.press("Enter")
    share = page.locator(".chips .cat")
    both = share.inner_text()
    expect(share).not_to_have_text(both, timeout=PATIENCE)
    cutout = keep(page, "#cutout", tmp_path)
    assert cutout.shape == (300, 902, 4)
    assert not cutout[cutout[..., 3] == 0].any()
    left, right = np.split(cutout[..., 3], 2, axis=1)
    assert (left > 127).mean() > 0.3
    assert (right > 127).mean() < 0.03
    sticker = keep(page, "#sticker", tmp_path)
    assert sticker.shape == (512, 512, 4)
    assert not sticker[sticker[..., 3] == 0].any()
    assert (sticker[sticker[..., 3] == 255].min(1) == 255).mean() > 0.05  # the white outline
    page.focus("#board")
    page.keyboard.press("Escape")
    expect(page.locator("#status")).to_have_text("Cat: all pets")

    page.evaluate(_KEPT)
    page.context.set_offline(True)
    page.reload()
    page.click("#example")
    expect(page.locator("#status")).to_contain_text("Cat, ", timeout=PATIENCE)


def test_animals_that_are_pointed_at_are_known_already(page: Page) -> None:
    page.evaluate(f"({_COUNT})()")
    page.set_input_files("#file", {"name": "two.png", "mimeType": "image/png", "buffer": encoded(twins())})
    # Each of the two, and that there are no more.
    page.wait_for_function("() => self.questions.filter((kind) => kind === 'another').length >= 3")
    page.wait_for_timeout(500)
    for across in (0.25, 0.75):
        assert page.evaluate(_LIT_AT_ONCE, [across, 0.5]), across
    assert "glance" not in page.evaluate("self.questions")


def test_another_file_in_the_place_of_a_model_is_refused(page: Page, site: Path) -> None:
    other = (site / "models" / "prompt-decoder.onnx.packed").read_bytes()
    page.route("**/unet*", lambda route: route.fulfill(body=other))
    page.reload()
    page.click("#example")
    expect(page.locator("#status")).to_contain_text("not the file that belongs here", timeout=PATIENCE)


def test_what_is_no_photo_is_told(page: Page) -> None:
    page.set_input_files("#file", {"name": "a.png", "mimeType": "image/png", "buffer": b"no photo"})
    expect(page.locator("#status")).to_contain_text("no photo that your browser can read")


def assert_accessible(page: Page, axe: str) -> None:
    page.evaluate(axe)
    faults = page.evaluate(
        "axe.run().then(({ violations }) => violations.map(({ id, nodes }) => `${id}: ${nodes[0].html}`))"
    )
    assert faults == []


def canvas(page: Page) -> str:
    return str(page.evaluate("document.querySelector('#picture').toDataURL()"))


def keep(page: Page, button: str, folder: Path) -> NDArray[np.uint8]:
    """The file behind a button, RGBA."""
    with page.expect_download() as started:
        page.click(button)
    path = folder / started.value.suggested_filename
    started.value.save_as(path)
    with Image.open(path) as image:
        assert image.mode == "RGBA"
        return np.asarray(image)
