"""A page, and a stranger who asks it for what is not theirs; `test_app_strangers` runs this in a process.

Arguments: report (of the watcher), model, folder of a promptable model, photo, canary, folder for downloads,
and "every" to try all handlers of the page, not only its endpoints. Prints what came back as JSON.
"""

import json
import os
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
from gradio_client import Client, handle_file

from petseg import Segmenter
from petseg.app import launch

MODEL, PARTS, PHOTO, CANARY, DOWNLOADS = sys.argv[2:7]
INSIDE = os.environ["GRADIO_TEMP_DIR"]
OUTSIDE = "http://elsewhere.invalid/photo.png"
ASCENT = f"{INSIDE}/../{Path(CANARY).name}"


def upload(path: str, url: str | None = None) -> dict[str, Any]:
    """What a browser sends in the place of an uploaded file."""
    return {"path": path, "url": url, "meta": {"_type": "gradio.FileData"}}


PHOTOS: tuple[Any, ...] = (
    CANARY,
    f"file://{CANARY}",
    OUTSIDE,
    {"path": CANARY},
    {"path": CANARY, "url": None, "meta": {"_type": "another"}},
    {"path": ASCENT},
    {"path": OUTSIDE},
    {"url": OUTSIDE},
    [upload(CANARY)],
    {"image": upload(CANARY)},
    *map(upload, (CANARY, f"file://{CANARY}", f"//{CANARY}", ASCENT, os.path.relpath(CANARY), INSIDE)),
    *map(upload, (f"../../../../../..{CANARY}", "/proc/self/environ", "/dev/stdin", "/etc/passwd")),
    *map(
        upload, (OUTSIDE, "https://8.8.8.8/x.png", "https://huggingface.co/x.png", "http://127.0.0.1:1/x.png")
    ),
    upload("", OUTSIDE),
    upload("x.png", f"file://{CANARY}"),
)
TEXTS = (CANARY, f"{CANARY}.onnx", f"file://{CANARY}", OUTSIDE, f"../..{CANARY}", "elsewhere.invalid/x")
NAMES = (
    "../../evil.png",
    "/evil.png",
    "..",
    "...",
    "a/../../evil.png",
    "evil\0.png",
    "%2e%2e%2fevil.png",
    "x" * 300,
)


class Stranger:
    """Speaks HTTP with the page, as no browser would."""

    def __init__(self, url: str) -> None:
        self.page, self.root = url, f"{url}gradio_api/"
        self.web = httpx.Client(timeout=120, trust_env=False)

    def ask(self, endpoint: str, *data: Any) -> str:
        """What becomes of a call: "complete", "error" or "refused"."""
        sent = self.web.post(f"{self.root}call/{endpoint}", json={"data": data})
        if sent.status_code != 200:
            return "refused"
        answer = self.web.get(f"{self.root}call/{endpoint}/{sent.json()['event_id']}").text
        return "complete" if "event: complete" in answer else "error"

    def send(self, name: str, data: bytes) -> list[str]:
        """Upload a file; where the server put it."""
        answer = self.web.post(f"{self.root}upload", files={"files": (name, data, "image/png")})
        return list(answer.json()) if answer.status_code == 200 else []

    def answers(self, sound: dict[str, Any]) -> Iterator[tuple[str, list[str]]]:
        """(what was asked for, outcomes) of calls of which none may be answered."""
        for given in PHOTOS:
            yield (
                str(given),
                [self.ask("segment", given, "", "", "", 0), self.ask("perturb", given, "occlusion", 2, 0)],
            )
        for text in TEXTS:
            arguments = ([text, "", "", 0], ["", text, "", 0], ["", "", text, 0])
            yield text, [self.ask("segment", sound, *some) for some in arguments]
            yield text, [self.ask("perturb", sound, text, 2, 0)]

    def files(self) -> Iterator[tuple[str, int]]:
        """(path, status) of files that the server is asked for."""
        wanted = (CANARY, f"file://{CANARY}", ASCENT, INSIDE, "/proc/self/environ", OUTSIDE)
        for path in (*wanted, "https://8.8.8.8/x", "https://huggingface.co/x"):
            yield path, self.web.get(f"{self.root}file={path}").status_code
        yield "proxy", self.web.get(f"{self.root}proxy={OUTSIDE}").status_code

    def every_handler(self) -> int:
        """Send what is not theirs to all handlers, as argument and as event; how many took it."""
        taken = 0
        for number, handler in enumerate(self.web.get(f"{self.page}config").json()["dependencies"]):
            for given in (upload(OUTSIDE), upload(CANARY), {"path": CANARY}, CANARY, OUTSIDE):
                session, data = uuid.uuid4().hex, [given] * len(handler["inputs"])
                event = {"number": 1, "photo": given, "background": given, "kind": "on", "needsPhoto": True}
                body = {"data": data, "fn_index": handler.get("id", number), "session_hash": session}
                body |= {"event_data": event}
                if (
                    handler.get("backend_fn") is False
                    or self.web.post(f"{self.root}queue/join", json=body).status_code != 200
                ):
                    continue
                taken += 1
                asked = {"session_hash": session}
                with self.web.stream("GET", f"{self.root}queue/data", params=asked) as stream:
                    for line in stream.iter_lines():
                        if "process_completed" in line or "close_stream" in line:
                            break
        return taken


def main() -> None:
    """Open the page, use it as it is meant, then otherwise."""
    models = {"tiny": Segmenter(MODEL, device="cpu"), "tiny-prompt": Segmenter(PARTS, device="cpu")}
    page = launch(models, host="127.0.0.1", block=False)
    patient = {"timeout": 120}
    client = Client(page.local_url, download_files=DOWNLOADS, verbose=False, httpx_kwargs=patient)
    photo, click = handle_file(PHOTO), {"points": "[[20, 20, 1]]", "box": "", "model": ""}
    *_, info = client.predict(photo, **click, api_name="/segment")
    client.predict(photo, kind="occlusion", level=3, seed=1, api_name="/perturb")

    stranger = Stranger(page.local_url)
    sound = upload(stranger.send("photo.jpg", Path(PHOTO).read_bytes())[0])
    said: dict[str, Any] = {"label": info["label"], "sound": stranger.ask("segment", sound, "", "", "", 0)}
    said["uploads"] = [os.path.realpath(path) for name in NAMES for path in stranger.send(name, b"evil")]
    said["answers"] = list(stranger.answers(sound))
    said["files"] = list(stranger.files())
    if "every" in sys.argv:
        said["taken"] = stranger.every_handler()
    print("SAID", json.dumps(said), flush=True)
    page.close()


main()
