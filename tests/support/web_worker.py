"""The worker of the page for browsers, asked as the page asks it."""

import base64
from typing import Any

import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import Page

_ASK = """async ([question, photo]) => {
  const worker = (self.asked ??= new Worker("worker.js", { type: "module" }));
  const id = (self.count = (self.count ?? 0) + 1);
  if (photo) question.file = new Blob([Uint8Array.from(atob(photo), (c) => c.charCodeAt(0))]);
  const answer = await new Promise((resolve, reject) => {
    worker.addEventListener("message", ({ data }) => {
      if (data.id === id) data.error === undefined ? resolve(data.answer) : reject(new Error(data.error));
    });
    worker.postMessage({ id, question });
  });
  if (!(answer instanceof Uint8Array)) return { ...answer, picture: null, alpha: null };
  let text = "";
  for (let at = 0; at < answer.length; at += 8192) {
    text += String.fromCharCode(...answer.subarray(at, at + 8192));
  }
  return btoa(text);
}"""


class WebWorker:
    """A worker of a page that was opened."""

    def __init__(self, page: Page) -> None:
        self._page = page

    def ask(self, question: dict[str, Any], photo: bytes | None = None) -> Any:
        """What it answers, without pictures; the mask of all classes as base64."""
        encoded = None if photo is None else base64.b64encode(photo).decode()
        return self._page.evaluate(_ASK, [{"shown": 320} | question, encoded])

    def mask(self, width: int, height: int) -> NDArray[np.uint8]:
        """(H, W) of what it answered last."""
        data = base64.b64decode(self.ask({"kind": "mask"}))
        return np.frombuffer(data, np.uint8).reshape(height, width)
