"""How soon a page is there for somebody with a slow computer and a slow line: used by `benchmarks.app`."""

from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Browser

SLOWER = 4
"""How many times slower than this machine's browser the visitor's is."""
MEGABITS, LATENCY = 9.0, 60
"""Of the visitor's line: downloaded per second, and milliseconds until an answer begins."""
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
_WATCH = """window.came = {};
const watch = setInterval(() => {
  const came = window.came, now = performance.now() / 1000;
  if (document.querySelector("#first-paint input, #photo input")) came.takes ??= now;
  if (document.querySelector("#photo input")) came.usable ??= now;
  if (Number(document.getElementById("stage")?.dataset.answer)) {
    came.answer = now;
    came.paint = performance.getEntriesByName("first-contentful-paint")[0].startTime / 1000;
    clearInterval(watch);
  }
}, 10);
"""


@dataclass(frozen=True)
class Arrival:
    """Seconds from asking for the page in a new profile until ...

    Attributes:
        paint: something of it is seen: first contentful paint, https://w3c.github.io/paint-timing/.
        takes: a photo can be given.
        usable: all controls are there.
        answer: the example shows its pets.
        megabytes: what was downloaded meanwhile.
    """

    paint: float
    takes: float
    usable: float
    answer: float
    megabytes: float


def arrive(browser: Browser, url: str) -> Arrival:
    """Open a page with a slow browser over a slow line, as a phone whose browser has nothing of it yet."""
    with browser.new_context(**PHONE) as context:
        page = context.new_page()
        session = context.new_cdp_session(page)
        session.send("Network.enable")
        line = {"latency": LATENCY, "downloadThroughput": MEGABITS * 1e6 / 8, "uploadThroughput": -1}
        session.send("Network.emulateNetworkConditions", {"offline": False} | line)
        session.send("Emulation.setCPUThrottlingRate", {"rate": SLOWER})
        loaded: list[float] = []
        session.on("Network.loadingFinished", lambda event: loaded.append(event["encodedDataLength"]))
        page.add_init_script(_WATCH)
        page.goto(url, wait_until="commit")
        page.wait_for_function("window.came?.answer", timeout=60_000)
        return Arrival(**page.evaluate("window.came"), megabytes=sum(loaded) / 1e6)
