"""How fast the page is, and what many visitors do to it: `python -m benchmarks.app`.

Starts `python app.py` of this checkout in a process of its own, and visits it with Chromium and with
gradio_client.
"""

import argparse
import io
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import psutil
from gradio_client import Client, handle_file
from PIL import Image
from playwright.sync_api import Browser, expect

from benchmarks.arrival import LATENCY, MEGABITS, SLOWER, arrive
from benchmarks.visitor import Visitor, browsing, find_chromium
from export.errors import SpaceError
from export.space.trial import running
from petseg.app.examples import CHELSEA
from petseg.measure import report_file
from petseg.measure.bench import machine
from petseg.measure.tables import aligned

ROOT = Path(__file__).parents[1]
LARGE, HUGE, SMALL = (4000, 3000), (8000, 6000), (1280, 960)
"""Width and height of the photos: of 12 megapixels, as phones take them, of 48, and one for the load."""
AIMS = {
    "start": 5.0,
    "paint": 1.0,
    "usable": 3.0,
    "upload": 1.5,
    "click": 0.4,
    "sticker": 2.0,
    "huge": 5.0,
}
"""Seconds from the start to a page that takes a photo; until a slow visitor sees something, and can use all
of it (`benchmarks.arrival`); from choosing a photo of 12 megapixels to seeing its pets; from a click to a new
mask; and from the button to the sticker of those 12 megapixels, and of 48."""
CLICKS = ((0.45, 0.6), (0.5, 0.75), (0.45, 0.3))
"""Places on the cat, as parts of the photo's width and height."""


def draw(path: Path, size: tuple[int, int], seed: int) -> Path:
    """Write a JPEG of Chelsea with grain, which no other seed gives; returns `path`."""
    photo = Image.open(io.BytesIO(CHELSEA.read_bytes())).convert("RGB").resize(size, Image.Resampling.BICUBIC)
    grain = np.random.default_rng(seed).integers(0, 24, (size[1], size[0], 1), np.uint8)
    Image.fromarray(np.asarray(photo) // 8 * 7 + grain).save(path, quality=90)
    return path


def time_start(browser: Browser, folder: Path, visits: ExitStack) -> tuple[float, Visitor]:
    """Start the page, and open it as soon as it answers.

    Args:
        browser: running already.
        folder: for what the page prints and leaves.
        visits: ends the page, and the visit.

    Returns:
        Seconds until a photo could be given, and who waited.
    """
    started = perf_counter()
    url = visits.enter_context(running(Path(sys.executable), ROOT, folder))
    visitor = visits.enter_context(Visitor(browser, url)).arrive()
    return perf_counter() - started, visitor


def timed(action: Callable[..., None], *arguments: Any) -> float:
    """Seconds that an action takes."""
    started = perf_counter()
    action(*arguments)
    return perf_counter() - started


def time_uploads(visitor: Visitor, folder: Path, times: int) -> list[float]:
    """Seconds from choosing to seeing, for new photos of 12 megapixels."""
    photos = [draw(folder / f"large-{seed}.jpg", LARGE, seed) for seed in range(times)]
    return [timed(visitor.upload, photo) for photo in photos]


def time_stickers(visitor: Visitor, folder: Path, size: tuple[int, int], times: int) -> list[float]:
    """Seconds from the button to a sticker that is there, for new photos of that size."""
    seconds = []
    for seed in range(times):
        visitor.upload(draw(folder / f"sticker-{size[0]}-{seed}.jpg", size, seed))
        with visitor.page.expect_download():
            seconds.append(timed(save_sticker, visitor))
    return seconds


def save_sticker(visitor: Visitor) -> None:
    """Press the button, and wait while it says that the sticker is prepared."""
    visitor.page.click("#save")
    expect(visitor.page.locator("#save")).to_contain_text("Preparing")
    expect(visitor.page.locator("#save")).to_have_text("Saved")


def time_clicks(visitor: Visitor) -> list[float]:
    """Seconds from each of `CLICKS` to a new mask, the first of which encodes the photo.

    Empty where no model here takes a point.
    """
    if not visitor.page.locator("#another").count():
        return []
    visitor.choose("#tools", "Pet")
    return [timed(visitor.click, *place) for place in CLICKS]


def burden(url: str, folder: Path, visitors: int, each: int) -> dict[str, Any]:
    """Let visitors come at once, and each ask about photos, one after the other.

    Args:
        url: of the page.
        folder: for their photos.
        visitors, each: how many of them, and how many photos each has.

    Returns:
        "requests" and "lost"; "errors", what they were told instead; "seconds" for all; "p50" and "p95",
        seconds for one.
    """
    photos = [draw(folder / f"small-{seed}.jpg", SMALL, seed) for seed in range(each)]

    def visit(number: int) -> list[float | str]:
        client = Client(url, download_files=folder / f"visitor-{number}", verbose=False)
        return [ask(client, photo) for photo in photos]

    started = perf_counter()
    with ThreadPoolExecutor(visitors) as pool:
        answers = [answer for answered in pool.map(visit, range(visitors)) for answer in answered]
    seconds = [answer for answer in answers if isinstance(answer, float)]
    errors = [answer for answer in answers if isinstance(answer, str)]
    middle, slow = np.percentile(seconds, (50, 95)) if seconds else (float("nan"),) * 2
    return {
        "visitors": visitors,
        "requests": len(answers),
        "lost": len(errors),
        "errors": sorted(set(errors)),
        "seconds": perf_counter() - started,
        "p50": float(middle),
        "p95": float(slow),
    }


def ask(client: Client, photo: Path) -> float | str:
    """Seconds until a whole answer, or what went wrong."""
    started = perf_counter()
    try:
        _, mask, info = client.predict(handle_file(photo), api_name="/segment")
        with Image.open(mask) as image:
            if image.size != SMALL or info["size"] != list(SMALL):
                return f"a mask of {image.size}"
    except Exception as error:  # whatever it was, this visitor got nothing
        return f"{type(error).__name__}: {error}"
    return perf_counter() - started


def memory(url: str, folder: Path, marks: tuple[int, int]) -> dict[str, float]:
    """Resident memory of the page's process, in bytes, after so many photos more."""
    process, client = server(url), Client(url, download_files=folder / "answers", verbose=False)
    photos = [draw(folder / f"memory-{seed}.jpg", SMALL, seed) for seed in range(marks[0])]
    sizes: dict[str, float] = {}
    for done in range(1, marks[1] + 1):
        answer = ask(client, photos[done % len(photos)])
        if isinstance(answer, str):
            raise SpaceError(f"photo {done} got no answer: {answer}")
        if done in marks:
            sizes[f"after {done}"] = process.memory_info().rss
    return sizes | {"growth": sizes[f"after {marks[1]}"] / sizes[f"after {marks[0]}"] - 1}


def worked(url: str) -> float:
    """Seconds that all cores together have worked for the page's process: they count what else runs less."""
    times = server(url).cpu_times()
    return float(times.user + times.system)


def server(url: str) -> psutil.Process:
    """The process that listens there, a child of this one."""
    port = int(url.rstrip("/").rpartition(":")[2])
    for child in psutil.Process().children(recursive=True):
        for connection in child.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port:
                return child
    raise SpaceError(f"no process of ours listens at {url}")


def measure(browser: Browser, options: argparse.Namespace) -> dict[str, Any]:
    """All figures; times in seconds, memory in bytes."""
    with tempfile.TemporaryDirectory(prefix="petseg-page-") as name, ExitStack() as visits:
        folder = Path(name)
        start, visitor = time_start(browser, folder, visits)
        report: dict[str, Any] = {"aims": AIMS, "start": start, "start_work": worked(visitor.url)}
        report["arrival"] = [asdict(arrive(browser, visitor.url)) for _ in range(options.uploads)]
        report["upload"] = time_uploads(visitor, folder, options.uploads)
        report["click"] = time_clicks(visitor)
        report["sticker"] = time_stickers(visitor, folder, LARGE, options.uploads)
        report["huge"] = time_stickers(visitor, folder, HUGE, 2)
        if not options.alone:
            report["load"] = burden(visitor.url, folder, options.visitors, options.each)
            report["memory"] = memory(visitor.url, folder, tuple(options.photos))
    return report


def table(report: dict[str, Any]) -> str:
    """The figures for people."""
    came = {name: [one[name] for one in report["arrival"]] for name in report["arrival"][0]}
    rows = (
        ("page ready after start", [report["start"]], "start"),
        ("slow visitor: something is seen", came["paint"], "paint"),
        ("slow visitor: a photo can be given", came["takes"], None),
        ("slow visitor: all can be used", came["usable"], "usable"),
        ("slow visitor: the example's pets are seen", came["answer"], None),
        ("12 megapixels to its pets", report["upload"], "upload"),
        ("click to new mask", report["click"], "click"),
        ("12 megapixels: button to sticker", report["sticker"], "sticker"),
        ("48 megapixels: button to sticker", report["huge"], "huge"),
    )
    cells = [("seconds", "first", "median", "aim")]
    for name, seconds, aim in rows:
        first, median = (f"{seconds[0]:.2f}", f"{np.median(seconds):.2f}") if seconds else ("no model", "-")
        cells.append((name, first, median, f"{AIMS[aim]:.2f}" if aim else ""))
    lines = [aligned(cells, right=(1, 2, 3))]
    lines.append(
        f"a slow visitor's browser works {SLOWER} times slower, on a line of {MEGABITS:g} Mbit/s and "
        f"{LATENCY} ms, and downloads {np.median(came['megabytes']):.2f} MB"
    )
    lines.append(f"until it was ready, the page's process worked for {report['start_work']:.2f} s of a core")
    return "\n".join([*lines, *(crowd_lines(report) if "load" in report else ())])


def crowd_lines(report: dict[str, Any]) -> list[str]:
    """What many visitors do to the page, for people."""
    load, held = report["load"], report["memory"]
    rate = load["requests"] / load["seconds"]
    sizes = [f"{held[name] / 2**20:.0f} MiB {name} photos" for name in held if name != "growth"]
    return [
        f"{load['visitors']} visitors at once: {load['requests']} photos, {load['lost']} lost, "
        f"p50 {load['p50']:.2f} s, p95 {load['p95']:.2f} s, {rate:.1f} per second",
        f"memory: {', '.join(sizes)} ({held['growth']:+.1%})",
        *load["errors"],
    ]


def main() -> int:
    """Measure as the command line says; 1 if something is missing or does not work."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.app", description=__doc__)
    parser.add_argument("--uploads", type=int, default=5, help="photos of 12 megapixels; default: 5")
    parser.add_argument("--visitors", type=int, default=20, help="who come at once; default: 20")
    parser.add_argument("--each", type=int, default=10, help="photos of each of them; default: 10")
    parser.add_argument(
        "--photos", type=int, nargs=2, default=(50, 500), help="when memory is read; default: 50 500"
    )
    parser.add_argument("--alone", action="store_true", help="one visitor only: takes a minute")
    options = report_file.parse(parser)
    if (program := find_chromium()) is None:
        print("cannot measure: no Chromium here", file=sys.stderr)
        return 1
    try:
        with browsing(program) as browser:
            report = measure(browser, options) | {"machine": machine()}
    except SpaceError as error:
        print(f"cannot measure: {error}", file=sys.stderr)
        return 1
    print(table(report))
    print(report["machine"])
    report_file.write(options.json, report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
