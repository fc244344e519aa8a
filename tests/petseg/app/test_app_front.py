"""What a link preview and a browser get before Gradio's scripts run."""

import gzip
import io
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.request import Request, urlopen

import gradio as gr
import pytest
from PIL import Image

from petseg import Segmenter
from petseg.app import front, launch, page, preload


class Head(HTMLParser):
    """The properties of a page, and its links by what they are."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.said: dict[str, list[str]] = {}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        name = values.get("property") or values.get("name") or values.get("rel")
        if name and tag in ("meta", "link"):
            self.said.setdefault(name, []).append(values.get("content") or values.get("href") or "")


@pytest.fixture(scope="module")
def url(model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("gradio")))
        page: gr.Blocks = launch(
            {"tiny": Segmenter(model_path, device="cpu", threads=1)}, host="127.0.0.1", block=False
        )
        yield str(page.local_url)
        page.close()


def get(url: str, **headers: str) -> tuple[bytes, dict[str, str]]:
    asked = Request(url, headers={name.replace("_", "-"): value for name, value in headers.items()})
    with urlopen(asked) as answer:
        return answer.read(), {name.lower(): value for name, value in answer.headers.items()}


def test_a_preview_shows_our_card_and_nothing_of_gradio(url: str) -> None:
    said = Head(get(url)[0].decode()).said
    for name, value in (("og:title", front.TITLE), ("og:description", front.DESCRIPTION), ("og:url", url)):
        assert said[name] == [value]
    assert said["twitter:card"] == ["summary_large_image"]
    assert "twitter:creator" not in said
    assert said["og:image"] == said["twitter:image"]
    (address,) = said["og:image"]
    with Image.open(io.BytesIO(get(address)[0])) as card:
        assert card.size == front.CARD_SIZE


def test_a_preview_is_told_the_address_that_the_visitor_has(url: str) -> None:
    text = get(url, X_Forwarded_Host="pets.example", X_Forwarded_Proto="https")[0].decode()
    assert Head(text).said["og:image"] == ["https://pets.example/petseg/card.jpg"]
    text = get(url, X_Forwarded_Host='"><script>alert(1)</script>')[0].decode()
    assert "<script>alert" not in text.split("</head>")[0]


def test_the_icons_are_ours(url: str) -> None:
    said = Head(get(url)[0].decode()).said
    svg, headers = get(url + said["icon"][0])
    assert b"<svg" in svg
    assert headers["content-type"].startswith("image/svg")
    for address in (url + said["apple-touch-icon"][0], f"{url}favicon.ico"):
        with Image.open(io.BytesIO(get(address)[0])) as icon:
            assert icon.size == (180, 180)


@pytest.mark.parametrize("path", ["", "config", "gradio_api/info"])
def test_texts_come_compressed(url: str, path: str) -> None:
    plain, headers = get(url + path)
    assert "content-encoding" not in headers
    packed, headers = get(url + path, Accept_Encoding="gzip")
    assert headers["content-encoding"] == "gzip"
    assert len(packed) < len(plain) / 2
    assert gzip.decompress(packed)[:100] == plain[:100]


def test_scripts_are_kept_by_the_browser(url: str) -> None:
    found = re.search(r"assets/[\w.-]+\.js", get(url)[0].decode())
    assert found is not None
    _, headers = get(url + found[0], Accept_Encoding="br")
    assert "immutable" in headers["cache-control"]
    assert headers["content-encoding"] == "br"


@pytest.mark.parametrize(
    ("address", "linked"),
    [
        ("https://pets-own.example/?a=1&b", 'href="https://pets-own.example/?a=1&amp;b"'),
        ("javascript:1", ""),
        ("", ""),
    ],
)
def test_the_page_in_ones_own_browser_is_linked(
    address: str, linked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(page.ELSEWHERE, address)
    assert linked in page.header()
    assert ("href" in page.header()) == bool(linked)


def test_the_first_views_scripts_are_asked_for_at_once(url: str) -> None:
    said = Head(get(url)[0].decode()).said
    hinted = said["modulepreload"]
    assert len(hinted) == len(set(hinted)) > 10
    for address in hinted:
        assert "javascript" in get(url + address)[1]["content-type"]


def test_only_the_first_tab_is_drawn_at_first() -> None:
    with gr.Blocks() as blocks, gr.Tabs():
        with gr.Tab("first"):
            gr.Slider()
            gr.Textbox(visible=False)
        with gr.Tab("second"):
            gr.Audio()
    kinds = set(preload.rendered(blocks))
    assert {"blocks", "tabs", "tabitem", "slider"} <= kinds
    assert kinds.isdisjoint({"textbox", "audio"})


def test_scripts_that_are_bundled_in_another_way_are_found_step_by_step() -> None:
    assert preload.scripts(frozenset({"slider"}), "index-of-another-version.js") == ()
    assert preload.scripts(frozenset({"slider"}), "../../../../secret.js") == ()
