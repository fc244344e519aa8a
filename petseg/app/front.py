"""What a browser and a link preview get before Gradio's scripts run: head, first view, compression."""

import html
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import gradio as gr
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from petseg.app import preload
from petseg.app.parts import address
from petseg.app.theme import SCRIPT

TITLE = "petseg: cut your cat or dog out of any photo"
DESCRIPTION = (
    "Finds the cats and dogs in a photo, pixel by pixel: tap one, and keep it as a sticker. Free, no account."
)
PUBLIC = files("petseg.app") / "public"
"""Pictures that everybody may have; `python docs/figures.py` draws them."""
CARD, ICON, TOUCH_ICON, FIRST = "card.jpg", "icon.svg", "icon.png", "first.jpg"
CARD_SIZE = (1200, 630)
CARD_ALT = "A tabby cat, cut out of her photo like a sticker"
PACKED = re.compile(r"^/(config|gradio_api/(info|config))?/?$")
"""Texts that Gradio sends as they are, since it looks at the end of an address for what to compress."""
LASTING = "/assets/"
"""Where Gradio's scripts lie, each with a hash of its content in its name."""

_INDEX = re.compile(r"assets/(index-[\w-]+\.js)")
"""The script that loads all others."""
_OWN_TAGS = re.compile(
    r'\s*<meta\s+(?:property="og:|name="twitter:|name="description")[^>]*>|\s*<link\s+rel="manifest"[^>]*>'
)


def app_options(page: gr.Blocks) -> dict[str, Any]:
    """For Gradio's `app_kwargs`, where that page is launched."""
    shelf = Mount("/petseg", StaticFiles(directory=str(PUBLIC)), name="petseg")
    return {"routes": [shelf], "middleware": [Middleware(FrontDoor, page=page)]}


def favicon() -> Path:
    """What is sent for /favicon.ico, a PNG."""
    return Path(str(PUBLIC / TOUCH_ICON))


def head(url: str) -> str:
    """What link previews and browsers read, as HTML.

    Args:
        url: of the page, as the visitor has it; previews want whole addresses.
    """
    card = f"{url}petseg/{CARD}"
    said = {
        "og:type": "website",
        "og:site_name": "petseg",
        "og:title": TITLE,
        "og:description": DESCRIPTION,
        "og:url": url,
        "og:image": card,
        "og:image:width": str(CARD_SIZE[0]),
        "og:image:height": str(CARD_SIZE[1]),
        "og:image:alt": CARD_ALT,
    }
    tweeted = {
        "description": DESCRIPTION,
        "twitter:card": "summary_large_image",
        "twitter:title": TITLE,
        "twitter:description": DESCRIPTION,
        "twitter:image": card,
        "twitter:image:alt": CARD_ALT,
    }
    tags = [
        f'<meta {kind}="{name}" content="{html.escape(value)}">'
        for kind, values in (("property", said), ("name", tweeted))
        for name, value in values.items()
    ]
    icons = (
        f'<link rel="icon" href="petseg/{ICON}" type="image/svg+xml">'
        f'<link rel="apple-touch-icon" href="petseg/{TOUCH_ICON}">'
    )
    return f"<title>{html.escape(TITLE)}</title>{''.join(tags)}{icons}"


class FrontDoor:
    """Middleware: puts our head, script and first view into Gradio's page, and compresses what it does not.

    Args:
        app: Gradio's.
        page: the one that it serves.
    """

    def __init__(self, app: ASGIApp, page: gr.Blocks) -> None:
        self._app, self._blocks = app, page
        # Gradio would run the script once it has drawn the page; photos are taken before that.
        self._first = SCRIPT + (files("petseg.app") / "first.html").read_text(encoding="utf-8")
        self._packed = GZipMiddleware(self._dress, minimum_size=500, compresslevel=6)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        path = scope.get("path", "")
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif PACKED.match(path):
            await self._packed(scope, receive, send)
        elif path.startswith(LASTING):
            await self._app(scope, receive, _lasting(send))
        else:
            await self._app(scope, receive, send)

    async def _dress(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, and where that is the page, with what is ours in it."""
        begun: list[Message] = []
        body = bytearray()

        async def keep(message: Message) -> None:
            if message["type"] == "http.response.start":
                begun.append(message)
                return
            body.extend(message.get("body", b""))
            if message.get("more_body"):
                return
            (start,) = begun
            text = bytes(body)
            if _kind(start).startswith(b"text/html") and scope["method"] == "GET":
                text = self._page(text.decode(), address(Request(scope))).encode()
                lengths = [(b"content-length", str(len(text)).encode())]
                others = [pair for pair in start["headers"] if pair[0].lower() != b"content-length"]
                start["headers"] = [*others, *lengths]
            await send(start)
            await send({"type": "http.response.body", "body": text})

        await self._app(scope, receive, keep)

    def _page(self, page: str, url: str) -> str:
        index = _INDEX.search(page)
        hints = preload.links(self._blocks, index[1]) if index else ""
        ours = _OWN_TAGS.sub("", page).replace("<head>", f"<head>{head(url)}{hints}", 1)
        # A function, so that nothing in the text is taken for a group of the pattern.
        return re.sub(r"<gradio-app", lambda found: f"{self._first}{found[0]}", ours, count=1)


def _kind(start: Message) -> bytes:
    return next((value for name, value in start["headers"] if name.lower() == b"content-type"), b"")


def _lasting(send: Send) -> Send:
    """Lets a browser keep what was found, which never changes under its name."""

    async def told(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] == 200:
            message["headers"] = [
                *(pair for pair in message["headers"] if pair[0].lower() != b"cache-control"),
                (b"cache-control", b"public, max-age=31536000, immutable"),
            ]
        await send(message)

    return told
