"""Many visitors at once, for minutes, each with photos of its own: `python -m benchmarks.crowd`.

Starts `python app.py` of this checkout in a process of its own, and speaks HTTP with it as the page's script
does in a browser, and as programs do. Every mask must be the one that petseg gives here for this visitor's
photo, every refusal the declared "busy", and nothing that one visitor is told may name what another one has.
"""

import argparse
import io
import json
import re
import sys
import tempfile
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from time import monotonic
from typing import Any, TypeAlias

import httpx
import numpy as np
from numpy.typing import NDArray
from PIL import Image

import petseg
from benchmarks.app import ROOT, draw
from export.errors import SpaceError
from export.space.trial import running
from petseg.pixels import saving

Mask: TypeAlias = NDArray[np.uint8]
Answers: TypeAlias = Callable[[Path, tuple[int, int] | None], Mask]
"""The right mask for a photo, and a click on it or None."""

SECRET = re.compile(r"[0-9a-f]{32,64}")
"""What addresses of files, and names of events, hold that nobody can guess."""
BUSY = "Queue is full"
"""What a page that is busy says, with status 503."""
PAUSE = 0.2
"""Seconds until a visitor who was told that the page is busy tries again."""


@dataclass(frozen=True)
class Photo:
    """A visitor's photo.

    Attributes:
        path: the file.
        click: a pixel of it.
        plain, clicked: the right masks, without and with the click.
    """

    path: Path
    click: tuple[int, int]
    plain: Mask
    clicked: Mask


def own_photo(path: Path, seed: int, answers: Answers) -> Photo:
    """Draw a photo that no other seed gives, not even in size; `path` ends in .jpg."""
    size = 200 + seed % 50, 160 + seed // 50
    click = size[0] // 2, size[1] * 2 // 3
    draw(path, size, seed)
    return Photo(path, click, answers(path, None), answers(path, click))


@dataclass
class Guest:
    """One visitor, who remembers all that it was told.

    Attributes:
        url: of the page.
        photos: its own.
        names: of the files of all visitors.
        told: every secret in what the server answered.
        seconds: that each of its visits took.
        busy: how often the page was.
        faults: what was wrong.
        statuses: HTTP status -> how many answers had it.
    """

    url: str
    photos: Sequence[Photo]
    names: Sequence[str] = ()
    told: set[str] = field(default_factory=set)
    seconds: list[float] = field(default_factory=list)
    busy: int = 0
    faults: list[str] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.root = f"{self.url}gradio_api/"
        self.web = httpx.Client(timeout=300, trust_env=False)

    def ask(self, method: str, address: str, **options: Any) -> httpx.Response:
        """Send a request, again while the page is busy, and note what comes back."""
        while True:
            answer = self.web.request(method, address, **options)
            pixels = answer.headers.get("content-type", "").startswith("image/")
            self.note(answer.status_code, "" if pixels else answer.text)
            if answer.status_code != 503 or BUSY not in answer.text:
                break
            self.busy += 1
            threading.Event().wait(PAUSE)
        if answer.status_code >= 500:
            self.faults.append(f"{method} {address}: {answer.status_code} {answer.text:.200}")
        return answer

    def note(self, status: int, text: str) -> None:
        """Remember an answer."""
        self.statuses[status] += 1
        self.told.update(SECRET.findall(text))
        own = {photo.path.name for photo in self.photos}
        self.faults += [f"was told of {name}" for name in self.names if name not in own and name in text]

    def upload(self, photo: Photo) -> dict[str, Any]:
        """Give a photo to the server; what stands for it from then on."""
        files = {"files": (photo.path.name, photo.path.read_bytes(), "image/jpeg")}
        (path,) = self.ask("POST", f"{self.root}upload", files=files).json()
        return {"path": path, "orig_name": photo.path.name, "meta": {"_type": "gradio.FileData"}}

    def use(self, session: str, handler: int, inputs: int, **event: Any) -> dict[str, Any] | None:
        """Let a handler of the page work; what it says to the picture, None if it refuses.

        Args:
            session: of the visit.
            handler: its number.
            inputs: how many it has; all are kept by the server.
            **event: what the picture asks.
        """
        body = {"data": [None] * inputs, "event_data": event, "fn_index": handler, "session_hash": session}
        event = self.ask("POST", f"{self.root}queue/join", json=body).json()["event_id"]
        asked = {"session_hash": session}
        with self.web.stream("GET", f"{self.root}queue/data", params=asked) as stream:
            for line in stream.iter_lines():
                said = json.loads(line.removeprefix("data:")) if line.startswith("data:") else {}
                if said.get("event_id") == event and said["msg"] == "process_completed":
                    self.note(stream.status_code, line)
                    answer = json.loads(said["output"]["data"][-1]) if said["success"] else {}
                    return None if "error" in answer else answer or None
        self.faults.append(f"handler {handler} never answered")
        return None

    def fetch(self, file: dict[str, Any]) -> bytes:
        """Download what an answer names."""
        return self.ask("GET", f"{self.root}file={file['path']}").content

    def compare(self, what: str, file: dict[str, Any], right: Mask) -> None:
        """Hold a mask that came against the right one."""
        with Image.open(io.BytesIO(self.fetch(file))) as image:
            if not np.array_equal(np.asarray(image), right):
                self.faults.append(f"{what}: not the mask of this photo")

    def visit_page(self, photo: Photo, handlers: dict[str, int]) -> None:
        """Upload, keep the mask, click, keep the mask: as in a browser."""
        session = uuid.uuid4().hex
        place = {"photo": "nowhere", "kind": "mask"}
        if self.use(session, handlers["keep"], 1, **place) is not None:
            self.faults.append("a visit without a photo has a mask")
        place["photo"] = self.upload(photo)["path"]
        click = {"kind": "pet", "x": photo.click[0], "y": photo.click[1], "animal": 0}
        for right, steps in ((photo.plain, []), (photo.clicked, [click])):
            asked = {**place, "steps": steps}
            self.use(session, handlers["ask"], 1, **asked)
            kept = self.use(session, handlers["keep"], 1, **asked)
            if kept is None:
                self.faults.append(f"{photo.path.name}: no mask")
                return
            self.compare(photo.path.name, {"path": kept["file"]}, right)

    def visit_endpoint(self, photo: Photo) -> None:
        """Ask as a program does."""
        call = f"{self.root}call/segment"
        for points, right in (("", photo.plain), (json.dumps([[*photo.click, 1]]), photo.clicked)):
            body = {"data": [self.upload(photo), points, "", "", 0]}
            event = self.ask("POST", call, json=body).json()["event_id"]
            said = self.ask("GET", f"{call}/{event}").text
            if "event: complete" not in said:
                self.faults.append(f"{photo.path.name}: {said:.200}")
                return
            _, mask, _ = json.loads(said.rpartition("data: ")[2])
            self.compare(photo.path.name, mask, right)

    def pry(self, photo: Photo) -> None:
        """Look for what is not its own, at all addresses that it can think of."""
        for address in ("", "config", "gradio_api/info", "gradio_api/queue/status"):
            self.ask("GET", f"{self.url}{address}")
        folder = Path(self.upload(photo)["path"]).parent
        for guess in (folder, folder.parent, *(folder / name for name in self.names[:9])):
            if guess.name == photo.path.name:
                continue
            status = self.web.get(f"{self.root}file={guess}").status_code
            if status not in (403, 404):
                self.faults.append(f"{guess} answers {status}")

    def stay(self, until: float, handlers: dict[str, int]) -> "Guest":
        """Come back again and again until that time of `monotonic`, at least once."""
        visits = 0
        while not visits or monotonic() < until:
            photo, started = self.photos[visits % len(self.photos)], monotonic()
            if visits % 2:
                self.visit_endpoint(photo)
            else:
                self.visit_page(photo, handlers)
            self.seconds.append(monotonic() - started)
            self.pry(photo)
            visits += 1
        return self


def find_handlers(config: dict[str, Any]) -> dict[str, int]:
    """Event of the picture -> the number of the handler that answers it."""
    (picture,) = (part["id"] for part in config["components"] if part["props"].get("elem_id") == "picture")
    return {
        event: handler["id"]
        for handler in config["dependencies"]
        for element, event in handler["targets"]
        if element == picture
    }


def crowd(
    url: str, folder: Path, visitors: int, seconds: float, answers: Answers, each: int = 3
) -> dict[str, Any]:
    """Let visitors come at once, and stay.

    Args:
        url: of the page.
        folder: for their photos.
        visitors, each: how many of them, and how many photos each has.
        seconds: how long they go on to come back.
        answers: gives the right masks.

    Returns:
        "visitors"; "visits" of all, and "fewest" of one; "busy", how often they were told so; "statuses";
        "p50" and "p95", seconds of a visit; and what must be empty: "faults", and "shared", secrets that two
        visitors were told.
    """
    own = [
        [own_photo(folder / f"guest-{number}-{k}.jpg", each * number + k, answers) for k in range(each)]
        for number in range(visitors)
    ]
    names = [photo.path.name for photos in own for photo in photos]
    public = Guest(url, ())
    handlers = find_handlers(public.ask("GET", f"{url}config").json())
    for address in ("", "gradio_api/info"):
        public.ask("GET", f"{url}{address}")
    guests, until = [Guest(url, photos, names) for photos in own], monotonic() + seconds
    with ThreadPoolExecutor(visitors) as pool:
        guests = list(pool.map(lambda guest: guest.stay(until, handlers), guests))
    shared = set().union(*((one.told & other.told) - public.told for one, other in combinations(guests, 2)))
    took = [one for guest in guests for one in guest.seconds]
    return {
        "visitors": visitors,
        "visits": len(took),
        "fewest": min(len(guest.seconds) for guest in guests),
        "busy": sum(guest.busy for guest in guests),
        "statuses": dict(sum((guest.statuses for guest in guests), Counter[int]())),
        "p50": float(np.percentile(took, 50)),
        "p95": float(np.percentile(took, 95)),
        "faults": sorted({fault for guest in guests for fault in guest.faults}),
        "shared": sorted(shared),
    }


def by_petseg(photo: Path, click: tuple[int, int] | None) -> Mask:
    """The mask that petseg itself gives."""
    return petseg.segment(photo, click).mask


def main() -> int:
    """Do as the command line says; 1 if something was wrong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.crowd", description=__doc__)
    parser.add_argument("--visitors", type=int, default=50, help="who come at once; default: 50")
    parser.add_argument("--seconds", type=float, default=300, help="how long; default: 300")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="petseg-crowd-") as name:
        folder = Path(name)
        try:
            with running(Path(sys.executable), ROOT, folder) as url:
                report = crowd(url, folder, options.visitors, options.seconds, by_petseg)
        except SpaceError as error:
            print(f"cannot try it: {error}", file=sys.stderr)
            return 1
    print(saving.to_json(report))
    return int(bool(report["faults"] or report["shared"]))


if __name__ == "__main__":
    sys.exit(main())
