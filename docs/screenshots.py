"""Photograph the page for the README, tab by tab: `python -m docs.screenshots`, from the repository's root.

Starts `python app.py` with the package's own models, and visits it with Chromium as a desktop and as a phone.
"""

import io
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, expect

from benchmarks.visitor import PATIENCE, Visitor, browsing, find_chromium
from export.space.trial import running

FOLDER = Path(__file__).parent
ROOT = FOLDER.parent
PHOTO = FOLDER / "chelsea.jpg"
DEVICES: dict[str, dict[str, object]] = {
    "desktop": {"viewport": {"width": 1280, "height": 800}},
    "phone": {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True},
}
DAMAGE, LEVEL = "Less contrast", 9
"""What is done to the photo on the Robustness tab."""


def keep(page: Page, name: str) -> None:
    """Photograph the top of the page as nobody touches it, as docs/app-NAME.jpg."""
    page.mouse.move(0, 0)
    page.evaluate("() => { document.activeElement.blur(); scrollTo(0, 0); }")
    page.wait_for_timeout(600)  # until nothing fades any more
    with Image.open(io.BytesIO(page.screenshot())) as image:
        image.convert("RGB").save(FOLDER / f"app-{name}.jpg", quality=80, subsampling=0, optimize=True)


def show_segment(visitor: Visitor) -> None:
    """The photo as it is first seen, its pet in full colour."""
    visitor.upload(PHOTO)


def show_robustness(visitor: Visitor) -> None:
    """The photo, damaged, beside the clean one."""
    visitor.tab("Robustness")
    visitor.page.locator("#robustness-pair img").last.wait_for()
    visitor.choose("#damage-kind", DAMAGE)
    visitor.page.locator("#damage-level input[type=number]").fill(str(LEVEL))
    visitor.page.keyboard.press("Tab")
    expect(visitor.page.locator("#robustness-pair")).to_contain_text(f"{DAMAGE} {LEVEL}")


def show_compare(visitor: Visitor) -> None:
    """All models on the photo."""
    visitor.tab("Compare").locator(".compared table").last.wait_for()


def visit(browser: Browser, url: str) -> None:
    """Photograph all tabs on all devices."""
    for device, options in DEVICES.items():
        with Visitor(browser, url, **options) as visitor:
            visitor.arrive("?__theme=light")
            for tab, show in (
                ("segment", show_segment),
                ("robustness", show_robustness),
                ("compare", show_compare),
            ):
                show(visitor)
                keep(visitor.page, f"{tab}-{device}")


def main() -> int:
    """Make the pictures; 1 if there is no browser."""
    if (program := find_chromium()) is None:
        print("no Chromium here: apt-get install chromium", file=sys.stderr)
        return 1
    expect.set_options(timeout=1000 * PATIENCE)
    with (
        tempfile.TemporaryDirectory() as scratch,
        browsing(program) as browser,
        running(Path(sys.executable), ROOT, Path(scratch)) as url,
    ):
        visit(browser, url)
    return 0


if __name__ == "__main__":
    sys.exit(main())
