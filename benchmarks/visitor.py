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

_SHOWN = "() => { const i = document.querySelector('#result img'); return i ? i.src : ''; }"
_CHANGED = """(before) => {
  const image = document.querySelector("#result img");
  return Boolean(image && image.src !== before && image.complete && image.naturalWidth);
}"""
_PIXELS = """async (image) => {
  await image.decode();  // a picture that has just been replaced has no pixels yet
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
  canvas.getContext("2d").drawImage(image, 0, 0);
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
        self.context = browser.new_context(**({"viewport": {"width": 1280, "height": 800}} | options))
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
        """Open the page and wait until a photo can be given."""
        self.page.goto(self.url + query)
        self.page.locator("#photo input[type=file]").wait_for(state="attached")
        self.page.locator("#examples img").last.wait_for()
        return self

    @contextmanager
    def new_picture(self) -> Iterator[None]:
        """Wait at the block's end until another picture is shown than at its beginning."""
        before = self.page.evaluate(_SHOWN)
        yield
        self.page.wait_for_function(_CHANGED, arg=before)

    def give(self, photo: Path) -> None:
        """Choose a file, and wait for nothing."""
        self.page.set_input_files("#photo input[type=file]", photo)

    def upload(self, photo: Path) -> None:
        """Choose a photo, and wait until its result is shown."""
        with self.new_picture():
            self.give(photo)

    def picture(self, selector: str = "#result img") -> NDArray[np.uint8]:
        """What the browser shows, (h, w, 3) uint8, as large as it came."""
        data = base64.b64decode(self.page.locator(selector).evaluate(_PIXELS))
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image.convert("RGB"))

    def spot(self, x: float, y: float) -> tuple[float, float]:
        """Where in the window a place of the result is; `x` and `y` are parts of its width and height."""
        image = self.page.locator("#result img")
        image.scroll_into_view_if_needed()
        box = image.bounding_box()
        assert box is not None, "no result is shown"
        width, height = image.evaluate("(image) => [image.naturalWidth, image.naturalHeight]")
        scale = min(1, box["width"] / width, box["height"] / height)  # CSS: object-fit: scale-down
        left = box["x"] + (box["width"] - scale * width) / 2
        top = box["y"] + (box["height"] - scale * height) / 2
        return left + x * scale * width, top + y * scale * height

    def click(self, x: float, y: float) -> None:
        """Click on the result, and wait until it is shown anew; places as for `spot`."""
        with self.new_picture():
            self.page.mouse.click(*self.spot(x, y))

    def choose(self, group: str, name: str) -> None:
        """Choose a radio button of a group, given by its selector, by its name."""
        self.page.locator(group).get_by_label(name, exact=True).check()

    def tab(self, name: str) -> Locator:
        """Go to a tab; returns its panel."""
        self.page.get_by_role("tab", name=name).click()
        panel = self.page.locator(f"#tab-{name.lower()}")
        panel.wait_for()
        return panel
