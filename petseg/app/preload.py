"""Which of Gradio's scripts and styles the first view needs, so that a browser fetches all of them at once.

By itself it learns of them step by step: each script names the next ones when it runs, and on a phone each
step waits for the last one. The lists are those that Gradio's bundler (Vite) wrote into the scripts; where a
version of Gradio is bundled in another way, nothing is found, and the browser asks step by step as before.
"""

import re
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.resources import files
from typing import Any

import gradio as gr

ASSETS = files("gradio") / "templates" / "frontend" / "assets"
_HINTS = {"js": 'modulepreload"', "css": 'preload" as="style"'}
_LIST = re.compile(r"m\.f=\[([^\]]*)\]")
"""Names of files, which the script's imports number."""
_IMPORT = re.compile(r"import\(`\./([\w-]+\.js)`\)[^\[\]]*?__vite__mapDeps\(\[([\d,]*)\]\)")
_KIND = re.compile(rf"(\w+):\{{|component:\(\)=>\w+\(\(\)=>{_IMPORT.pattern}")
"""A kind of component, or what is imported for the one that was named last."""


def links(page: gr.Blocks, index: str) -> str:
    """Tags for the head of a page.

    Args:
        page: whose first view is meant.
        index: name of the script that the page itself names.
    """
    return "".join(
        f'<link rel="{_HINTS[name.rpartition(".")[2]]} href="assets/{name}" crossorigin>'
        for name in scripts(frozenset(rendered(page)), index)
    )


def rendered(block: Any) -> Iterator[str]:
    """What Gradio calls the kinds of what is seen first: of tabs, only the first one is drawn."""
    if getattr(block, "visible", True) is False:
        return
    yield block.get_block_name()
    children = getattr(block, "children", [])
    for child in children[:1] if isinstance(block, gr.Tabs) else children:
        yield from rendered(child)


@cache
def scripts(kinds: Iterable[str], index: str) -> tuple[str, ...]:
    """Names of the files in `ASSETS` that are needed to draw these kinds of components."""
    start = _read(index)
    listed = _list(start)
    found = [*listed]
    for script in listed:  # those that it imports by itself draw the page's frame
        found += [name for name, _ in _imports(_read(script)) if name.startswith("Blocks-")]
        found += _components(_read(script), kinds)
    return tuple(name for name in dict.fromkeys(found) if name.endswith((".js", ".css")))


def _components(text: str, kinds: Iterable[str]) -> Iterator[str]:
    listed, kind = _list(text), ""
    for match in _KIND.finditer(text):
        if match[1]:
            kind = match[1]
        elif kind in kinds:
            yield from (listed[int(number)] for number in match[3].split(",") if int(number) < len(listed))


def _imports(text: str) -> Iterator[tuple[str, str]]:
    return ((match[1], match[2]) for match in _IMPORT.finditer(text))


def _list(text: str) -> list[str]:
    found = _LIST.search(text)
    return re.findall(r'"\./([^"]+)"', found[1]) if found else []


def _read(name: str) -> str:
    path = ASSETS / name
    return path.read_text(encoding="utf-8") if name.endswith(".js") and path.is_file() else ""
