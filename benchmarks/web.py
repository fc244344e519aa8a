"""petseg in the visitor's own browser, beside another background remover there: `python -m benchmarks.web`.

Both are built by npm into a temporary folder, served on the loopback with the same headers, and visited by
Chromium in one run, in turns: what is downloaded until a photo of 12 megapixels has its first result, how
long that takes in a new profile and in an open page, and the memory of the browser afterwards; of petseg's
page also how long it takes until an animal is lit that a pointer is on. The other is
@imgly/background-removal, with the smaller of the two models that npm has in its package for Node.js.
"""

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import time
from typing import Any

import numpy as np
import psutil
from playwright.sync_api import Browser, Page, Request

from benchmarks.app import LARGE, draw
from benchmarks.visitor import PATIENCE, browsing, find_chromium
from export import web
from export.errors import WebError
from export.web.trial import serving
from petseg.app.examples import CHELSEA
from petseg.measure import report_file
from petseg.measure.bench import machine
from petseg.measure.tables import aligned

PEER, PEER_VERSION = "@imgly/background-removal", "1.4.5"
PEER_MODEL = "/models/small"
AIMS = {"megabytes": 10.0, "cold": 3.0, "warm": 0.5, "hover": 0.05}
"""Megabytes until the first result; seconds to it in a new profile and in an open page; seconds to be lit."""
_SLOW = 10 * PATIENCE
"""Seconds that one result may take: the other's first one takes minutes on a small machine."""
_ENTRY = """import { removeBackground } from "@imgly/background-removal";
window.remove = async (file) => {
  const options = { publicPath: new URL("peer/", location.href).href, model: "small" };
  window.cut = await removeBackground(file, options);
};
document.querySelector("input").addEventListener("change", async (event) => {
  await window.remove(event.target.files[0]);
  document.querySelector(".facts").textContent = "done";
});
"""
_PAGE = """<!doctype html>
<input type=file id=file><p class=facts></p><script type=module src=peer.js></script>
"""
_WATCH = """() => {
  const facts = document.querySelector(".facts");
  facts.textContent = "";
  window.told = new Promise((resolve) => {
    new MutationObserver(() => facts.textContent && resolve(Date.now())).observe(facts, { childList: true });
  });
}"""
_LIT = """async ([across, down]) => {
  const canvas = document.querySelector("#picture"), drawing = canvas.getContext("2d");
  const place = [across * canvas.width, down * canvas.height].map(Math.floor);
  const seen = () => drawing.getImageData(...place, 1, 1).data.join();
  const before = seen(), begun = performance.now(), box = canvas.getBoundingClientRect();
  const at = { clientX: box.left + across * box.width, clientY: box.top + down * box.height };
  canvas.dispatchEvent(new PointerEvent("pointermove", { ...at, pointerType: "mouse" }));
  while (seen() === before) await new Promise(requestAnimationFrame);
  return performance.now() - begun;
}"""
"""Milliseconds from a pointer on a place of the picture to another colour there."""
PLACE = (0.45, 0.6)
"""A place on the cat of the photos, as parts of width and height."""


@dataclass(frozen=True)
class Measured:
    """Of one page.

    Attributes:
        megabytes: downloaded until the first result.
        cold, warm: seconds from opening the page, and from choosing another photo, to a result.
        memory: megabytes that the browser's processes have to themselves, afterwards.
        hover: seconds until an animal is lit, two seconds after its photo was answered, the median; None
            of a page that lights none.
    """

    megabytes: float
    cold: float
    warm: float
    memory: float
    hover: float | None = None


def npm(folder: Path, *arguments: str) -> None:
    """Run npm in a folder; raises `WebError` with what it says where it fails."""
    program = shutil.which("npm")
    if program is None:
        raise WebError("npm is missing; install Node.js 20 or later")
    done = subprocess.run([program, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise WebError(f"npm {arguments[0]} failed:\n{done.stderr.strip()}")


def build_peer(folder: Path) -> Path:
    """A page with the other program, and what it downloads, into a folder.

    Its models come from its package for Node.js, which lists them in the same form; its runtime from its own
    dependency, added to that list.
    """
    (folder / "package.json").write_text('{"private": true}')
    options = ("--ignore-scripts", "--no-package-lock", "--loglevel=error")
    npm(folder, "install", *options, f"{PEER}@{PEER_VERSION}")
    npm(folder, "pack", "--silent", f"{PEER}-node@{PEER_VERSION}")
    (archive,) = folder.glob("*.tgz")
    shutil.unpack_archive(archive, folder / "node", "gztar", filter="data")
    source, site = folder / "node/package/dist", folder / "site"
    (site / "peer").mkdir(parents=True)
    listed = json.loads((source / "resources.json").read_text())
    resources = {PEER_MODEL: listed[PEER_MODEL]}
    for chunk in resources[PEER_MODEL]["chunks"]:
        shutil.copyfile(source / chunk["hash"], site / "peer" / chunk["hash"])
    runtime = "ort-wasm-simd-threaded.wasm"
    data = (folder / "node_modules/onnxruntime-web/dist" / runtime).read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    (site / "peer" / digest).write_bytes(data)
    resources[f"/onnxruntime-web/{runtime}"] = {
        "chunks": [{"hash": digest, "offsets": [0, len(data)]}],
        "size": len(data),
        "mime": "application/wasm",
    }
    (site / "peer/resources.json").write_text(json.dumps(resources))
    (site / "index.html").write_text(_PAGE)
    (folder / "entry.mjs").write_text(_ENTRY)
    bundle = ("entry.mjs", "--bundle", "--format=esm", "--minify", f"--outfile={site / 'peer.js'}")
    program = web.SOURCE / "node_modules/.bin/esbuild"
    subprocess.run([program, *bundle, "--log-level=error"], cwd=folder, check=True)
    return site


def visit(browser: Browser, url: str, photos: Sequence[Path], *, hover: bool) -> Measured:
    """Open a page in a new profile and give it two photos, one after the other.

    Args:
        browser: running already.
        url: of the page.
        photos: two.
        hover: whether the page lights what is pointed at.
    """
    with browser.new_context() as context:
        context.set_default_timeout(1000 * _SLOW)
        page, requests = context.new_page(), list[Request]()
        page.on("requestfinished", lambda request: requests.append(request))
        started = time()
        page.goto(url, wait_until="load")
        told = give(page, photos[0])
        before = [one for one in requests if one.timing["startTime"] / 1000 < told]
        total = sum(one.sizes()["responseBodySize"] for one in before if one.url.startswith("http"))
        seconds = None
        if hover:
            seconds = float(np.median([_hover(page) for _ in range(3)]))
        again = time()
        warm = give(page, photos[1]) - again
        return Measured(total / 1e6, told - started, warm, _memory(), seconds)


def give(page: Page, photo: Any) -> float:
    """Choose a photo, wait for its result, and say when the page showed it, in seconds since 1970."""
    page.evaluate(_WATCH)
    page.set_input_files("#file", photo)
    return float(page.evaluate("told")) / 1000


def _hover(page: Page) -> float:
    """Seconds until an animal of a photo that is new to the page is lit."""
    give(page, {"name": "a.jpg", "mimeType": "image/jpeg", "buffer": CHELSEA.read_bytes()})
    page.wait_for_timeout(2000)  # by then the page knows the photo's animals
    return float(page.evaluate(_LIT, list(PLACE))) / 1000


def _memory() -> float:
    """Megabytes that the browser's processes have to themselves."""
    processes = [one for one in psutil.Process().children(recursive=True) if "chrom" in one.name()]
    return float(sum(one.memory_full_info().uss for one in processes)) / 1e6


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Build both, visit them in turns, and print what was measured."""
    program = find_chromium()
    if program is None:
        raise WebError("no Chromium here: apt-get install chromium")
    found: dict[str, list[Measured]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        photos = [draw(work / f"{seed}.jpg", LARGE, seed) for seed in range(2)]
        sites = {"petseg": web.assemble(work / "own")}
        if not options.alone:
            (work / "peer").mkdir()
            sites[f"{PEER} {PEER_VERSION}"] = build_peer(work / "peer")
        for _ in range(options.rounds):
            for name, site in sites.items():
                with serving(site) as url, browsing(program) as browser:
                    one = visit(browser, url, photos, hover=name == "petseg")
                found.setdefault(name, []).append(one)
    rows = {name: _median(values) for name, values in found.items()}
    print_table(rows)
    return {"aims": AIMS, "machine": machine(), "rounds": options.rounds} | {
        name: asdict(one) for name, one in rows.items()
    }


def _median(values: Sequence[Measured]) -> Measured:
    columns = {name: [getattr(one, name) for one in values] for name in asdict(values[0])}
    medians = {name: None if None in column else float(np.median(column)) for name, column in columns.items()}
    return Measured(**medians)  # type: ignore[arg-type]  # hover alone is ever None


def print_table(rows: dict[str, Measured]) -> None:
    """The figures for people."""
    head = ["", "MB to the first result", "cold", "warm", "memory", "hover"]
    lines = [
        [
            name,
            f"{one.megabytes:.1f}",
            f"{one.cold:.2f} s",
            f"{one.warm:.2f} s",
            f"{one.memory:.0f} MB",
            "" if one.hover is None else f"{1000 * one.hover:.0f} ms",
        ]
        for name, one in rows.items()
    ]
    print(aligned([head, *lines]))
    aims = f"{AIMS['megabytes']:g} MB, {AIMS['cold']:g} s, {AIMS['warm']:g} s, {1000 * AIMS['hover']:g} ms"
    print(f"a photo of {LARGE[0]} x {LARGE[1]} pixels; aims: {aims}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure as the command line says; 1 if it cannot be done."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.web", description=__doc__)
    parser.add_argument("--rounds", type=int, default=1, help="visits to each page; medians are printed")
    parser.add_argument(
        "--alone", action="store_true", help="leave out the other program: 150 MB of downloads"
    )
    options = report_file.parse(parser, arguments)
    try:
        report = run(options)
        if options.json:
            report_file.write(options.json, report)
    except (WebError, OSError, subprocess.CalledProcessError) as error:
        print(f"not measured: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
