"""The page in a process of its own, and browsers to visit it."""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from PIL import Image

pytest.importorskip("gradio", reason='the page needs Gradio: pip install "petseg[app]"')
pytest.importorskip("playwright", reason="browser tests need Playwright: pip install playwright")

from playwright.sync_api import Browser, expect

from benchmarks.visitor import PATIENCE, Visitor, browsing, find_chromium
from export.space.trial import running
from tests.support.tiny_models import build_model, manifest

expect.set_options(timeout=1000 * PATIENCE)

TINY_APP = """
import time
from pathlib import Path

from petseg import Segmenter
from petseg.app import launch
from petseg.app.page import Limits
from petseg.models import catalog

# What tells animals apart in the package would find many in a red square: here each region is one.
catalog.WEIGHTS = Path("no-weights")


class Slow(Segmenter):
    def segment(self, *arguments, **prompt):
        time.sleep({delay})
        return super().segment(*arguments, **prompt)


if __name__ == "__main__":
    models = {{name: Slow(Path(path), device="cpu") for name, path in {models}.items()}}
    launch(models, limits=Limits({limits}))
"""


FIGURES = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session")
def figures(pytestconfig: pytest.Config) -> list[str]:
    """Lines to be printed when all is done."""
    return pytestconfig.stash.setdefault(FIGURES, [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if lines := config.stash.get(FIGURES, []):
        terminalreporter.section("speed of the page")
        for line in lines:
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    program = find_chromium()
    if program is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    with browsing(program) as browser:
        yield browser


@pytest.fixture(scope="session")
def model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model without doubt: in the page's first photo, Chelsea, it sees a cat here and there."""
    path = tmp_path_factory.mktemp("models") / "tiny.onnx"
    onnx.save(build_model(document=manifest(doubt=False)), path)
    return path


@pytest.fixture(scope="session")
def tiny_page(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory, model_path: Path, prompt_model_path: Path
) -> Iterator[str]:
    """The address of a page with the tiny models `tiny` and `tiny-prompt`."""
    models = {"tiny": str(model_path), "tiny-prompt": str(prompt_model_path)}
    with tiny_server(tmp_path_factory.mktemp("tiny-page"), models) as url:
        yield url


def tiny_server(
    folder: Path, models: dict[str, str], *, delay: float = 0, limits: str = ""
) -> AbstractContextManager[str]:
    """A page in a process of its own: its address.

    Args:
        folder: for what it prints and leaves; empty.
        models: name -> path.
        delay: seconds that each answer takes at least.
        limits: what is given to `petseg.app.page.Limits`, in Python.
    """
    (folder / "app.py").write_text(TINY_APP.format(delay=delay, models=models, limits=limits))
    return running(Path(sys.executable), folder, folder)


@pytest.fixture
def tiny_pages(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory, model_path: Path, prompt_model_path: Path
) -> Iterator[Callable[..., tuple[str, Path]]]:
    """Makes pages with the tiny models that end with the test; options of `tiny_server`.

    Gives a page's address, and the folder of its temporary files.
    """
    with ExitStack() as pages:

        def make(**options: Any) -> tuple[str, Path]:
            folder = tmp_path_factory.mktemp("own-page")
            models = {"tiny": str(model_path), "tiny-prompt": str(prompt_model_path)}
            url = pages.enter_context(tiny_server(folder, models, **options))
            return url, folder / "gradio"

        yield make


@pytest.fixture
def arrive(browser: Browser, tiny_page: str) -> Iterator[Callable[..., Visitor]]:
    """Makes visitors, who see the page; for none may a script fail, or anything come from elsewhere.

    Arguments: `url`, by default of the page with tiny models; `query`; and options of `Visitor`.
    """
    with ExitStack() as visits:
        visitors: list[Visitor] = []

        def make(url: str = tiny_page, query: str = "", **options: Any) -> Visitor:
            visitors.append(visits.enter_context(Visitor(browser, url, **options)))
            return visitors[-1].arrive(query)

        yield make
        for visitor in visitors:
            assert visitor.faults == []
            assert {address.hostname for address in map(urlsplit, visitor.requested) if address.netloc} == {
                "127.0.0.1"
            }


@pytest.fixture
def visitor(arrive: Callable[..., Visitor]) -> Visitor:
    return arrive()


@pytest.fixture
def two_pets(photo: NDArray[np.uint8], tmp_path: Path) -> Path:
    """The red cat and the blue dog as a file, 2000 x 1200 pixels."""
    path = tmp_path / "two pets.png"
    Image.fromarray(photo.repeat(20, 0).repeat(20, 1)).save(path, compress_level=1)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """For files that are given and got."""
    path = tmp_path / "downloads"
    path.mkdir()
    return path
