"""The page as a visitor has it: a browser, and what one does in it."""

import base64
import io
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, Locator, sync_playwright

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = ("--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
"""Chromium refuses to start as root with a sandbox, and it only ever sees our own page. Its webcam films a
green test card, and nobody is asked for leave."""
PATIENCE = 60.0
"""Seconds that a visitor waits for anything."""

_ANSWERS = "() => document.getElementById('stage')?.dataset.answer ?? '0'"
_ANSWERED = """(before) => {
  const stage = document.getElementById("stage");
  return stage && stage.dataset.answer !== before && stage.getAttribute("aria-busy") === "false";
}"""
_STILL = """() => document.getElementById("stage").getAttribute("aria-busy") === "false" &&
  new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))"""
_PIXELS = """async (shown) => {
  let canvas = shown;
  if (shown.tagName !== "CANVAS") {
    await shown.decode();  // a picture that has just been replaced has no pixels yet
    canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [shown.naturalWidth, shown.naturalHeight];
    canvas.getContext("2d").drawImage(shown, 0, 0);
  }
  return canvas.toDataURL("image/png").split(",")[1];
}"""


def find_chromium() -> str | None:
    """The browser's program; None if there is none."""
    return next(filter(None, map(shutil.which, CHROMIUM)), None)


@contextmanager
def browsing(program: str) -> Iterator[Browser]:
    """A browser without a window, which ends with the block."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=OPTIONS)
        yield browser
        browser.close()


class Visitor:
    """One visitor in a browser profile of its own, which ends with the block.

    Args:
        browser: from `browsing`.
        url: of the page.
        **options: for `Browser.new_context`, such as `viewport`.

    Attributes:
        page: Playwright's.
        requested: the address of everything that was asked of any server, oldest first.
        faults: what went wrong in the page's scripts.
    """

    def __init__(self, browser: Browser, url: str, **options: Any) -> None:
        self.url = url
        defaults = {"viewport": {"width": 1280, "height": 800}, "reduced_motion": "reduce"}
        self.context = browser.new_context(**(defaults | options))
        self.context.set_default_timeout(1000 * PATIENCE)
        self.page = self.context.new_page()
        self.requested: list[str] = []
        self.faults: list[str] = []
        self.page.on("request", lambda request: self.requested.append(request.url))
        self.page.on("websocket", lambda socket: self.requested.append(socket.url))
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))

    def __enter__(self) -> "Visitor":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.context.close()

    def arrive(self, query: str = "") -> "Visitor":
        """Open the page and wait until the first picture is there, and a photo can be given."""
        with self.new_picture():
            self.page.goto(self.url + query)
            self.page.locator("#photo input[type=file]").wait_for(state="attached")
        return self

    @contextmanager
    def new_picture(self) -> Iterator[None]:
        """Wait at the block's end until the server has answered once more than at its beginning."""
        before = self.page.evaluate(_ANSWERS)
        yield
        self.page.wait_for_function(_ANSWERED, arg=before)
        self.settle()

    def settle(self) -> None:
        """Wait until nothing is asked any more, and all is drawn."""
        self.page.wait_for_function(_STILL)

    def give(self, photo: Path) -> None:
        """Choose a file, and wait for nothing."""
        self.page.set_input_files("#photo input[type=file]", photo)

    def upload(self, photo: Path) -> None:
        """Choose a photo, and wait until its pets are shown."""
        with self.new_picture():
            self.give(photo)

    def picture(self, selector: str = "#result canvas") -> NDArray[np.uint8]:
        """What the browser shows, (h, w, 3) uint8, as large as it came, or was drawn."""
        data = base64.b64decode(self.page.locator(selector).evaluate(_PIXELS))
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image.convert("RGB"))

    def spot(self, x: float, y: float) -> tuple[float, float]:
        """Where in the window a place of the photo is; `x` and `y` are parts of its width and height."""
        canvas = self.page.locator("#result canvas")
        canvas.scroll_into_view_if_needed()
        box = canvas.bounding_box()
        assert box is not None, "no photo is shown"
        return box["x"] + x * box["width"], box["y"] + y * box["height"]

    def click(self, x: float, y: float) -> None:
        """Click on the photo, and wait for what comes of it; places as for `spot`."""
        self.page.mouse.click(*self.spot(x, y))
        self.settle()

    def open(self, name: str) -> None:
        """Open what is closed at first: "advanced" or "developers"; on a phone in its part of the panel."""
        part = self.page.locator(f".bar button[data-part={'mark' if name == 'advanced' else 'save'}]")
        if part.is_visible():
            part.click()
        if self.page.locator(f"#{name}").get_attribute("open") is None:
            self.page.click(f"#{name} > summary")

    def choose(self, group: str, name: str) -> None:
        """Choose a radio button of a group, given by its selector, by its name."""
        self.page.locator(group).get_by_label(name, exact=True).check()

    def tab(self, name: str) -> Locator:
        """Go to a tab; returns its panel."""
        self.page.get_by_role("tab", name=name).click()
        panel = self.page.locator(f"#tab-{name.lower()}")
        panel.wait_for()
        return panel
