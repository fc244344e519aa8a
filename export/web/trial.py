"""Gives the page away on the loopback as the Hub does, and visits it with a browser."""

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from export.errors import WebError

HEADERS = {
    "cross-origin-embedder-policy": "require-corp",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "cross-origin",
}
"""Without the first two a browser gives a page no memory that threads share."""
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
PATIENCE = 120.0
"""Seconds that an answer may take."""


class _Handler(SimpleHTTPRequestHandler):
    extensions_map = SimpleHTTPRequestHandler.extensions_map | {
        ".mjs": "text/javascript",
        ".webmanifest": "application/manifest+json",
    }

    def end_headers(self) -> None:
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *values: Any) -> None:
        """Print nothing."""


@contextmanager
def serving(folder: Path, port: int = 0) -> Iterator[str]:
    """A server of a folder's files on the loopback, which ends with the block.

    Args:
        folder: what `export.web.assemble` made.
        port: 0 is any that is free.

    Yields:
        Its address.
    """
    server = ThreadingHTTPServer(("127.0.0.1", port), partial(_Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def try_out(folder: Path) -> None:
    """Visit the page, and have it find the cat in its own example.

    Raises:
        WebError: Playwright or Chromium is missing, or the page does not find it.
    """
    program = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if program is None:
        raise WebError("no Chromium here to try the page with: apt-get install chromium")
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError as error:
        raise WebError("Playwright is missing, to try the page with: pip install playwright") from error
    with serving(folder) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            page = browser.new_page()
            page.goto(url)
            page.click("#example")
            page.wait_for_selector("#legend", state="visible", timeout=1000 * PATIENCE)
            said = page.locator("#status").inner_text()
        except Error as error:
            raise WebError(f"the page gives no answer: {error}") from error
        finally:
            browser.close()
    if not said.startswith("Cat"):
        raise WebError(f"the page says {said!r} of a photo of a cat")
