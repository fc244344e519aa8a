"""The tabs' handlers, called as Gradio calls them: what a visitor does, step by step, without a browser."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import numpy as np
import pytest
from PIL import Image

import petseg
from petseg import PromptError, Segmenter
from petseg.app import api, handlers, texts
from petseg.app.handlers import VIEWS, Studio
from petseg.app.models import AUTO, Models
from petseg.app.parts import address
from petseg.app.state import Photos, Visit
from petseg.app.tab_segment import SegmentTab

REQUEST: Any = SimpleNamespace(headers={"host": "localhost:7860"})
LOOK = (AUTO, "Overlay", 0.5, 0)
"""Model, view, opacity and threshold, as the page begins."""


@pytest.fixture
def tab(studio: Studio) -> SegmentTab:
    with gr.Blocks():
        return SegmentTab(studio, gr.State())


def begin(tab: SegmentTab, upload: Path) -> Visit:
    visit: Visit = tab.begin(str(upload), *LOOK, REQUEST)[0]
    return visit


def picked(x: int, y: int) -> Any:
    """A click on the picture."""
    return SimpleNamespace(index=(x, y))


# -- Segment --------------------------------------------------------------------------------------------


def test_from_a_photo_to_a_file(tab: SegmentTab, upload: Path, segmenters: dict[str, Segmenter]) -> None:
    visit, photo, stage, _, image, legend, python, client = tab.begin(str(upload), *LOOK, REQUEST)
    assert photo is None, "the input is ready for the next photo"
    assert stage.elem_classes == ["put-away"]
    assert "Cat" in legend
    assert image.alt_text == "Overlay of your photo; found: cat"
    assert "petseg.segment" in python
    assert "http://localhost:7860/" in client

    visit, image, legend, python, _ = tab.click(visit, *LOOK, "pet", picked(720, 310), REQUEST)
    assert visit.points == [(1406, 605)]
    assert image.alt_text == "Overlay of your photo; found: dog"
    assert "tiny-prompt" in legend
    assert "points=[(1406, 605)]" in python

    with Image.open(tab.keeper("mask")(visit, 0)) as mask:
        np.testing.assert_array_equal(
            np.asarray(mask), segmenters["tiny-prompt"].segment(upload, (1406, 605)).mask
        )
    assert json.loads(Path(tab.keeper("json")(visit, 0.5)).read_text())["threshold"] == 0.5

    *rest, image, legend, _, _ = tab.start_over()
    assert (rest[0], image) == (None, None)
    assert "Choose a photo" in legend


def test_clicks_in_numbers_and_boxes(tab: SegmentTab, upload: Path) -> None:
    visit = begin(tab, upload)
    typed, *_ = tab.type_click(visit, *LOOK, "pet", 1999, 1199, REQUEST)
    assert typed.points == [(1999, 1199)]
    for x, y in ((2000, 5), (5, 1200), (-1, 5), (None, 5)):
        with pytest.raises(gr.Error, match="x from 0 to 1999 and y from 0 to 1199"):
            tab.type_click(visit, *LOOK, "pet", x, y, REQUEST)
    drawn: Any = SimpleNamespace(one=(90, 140), other=(425, 475))
    boxed, _, legend, python, client = tab.draw_box(visit, *LOOK, drawn, REQUEST)
    assert boxed.box == (175, 273, 831, 929)
    assert "Cat" in legend
    assert "box=(175, 273, 831, 929)" in python
    assert "box=&quot;[175, 273, 831, 929]&quot;" in client
    undone, *_ = tab.asking(Visit.undone)(boxed, *LOOK, REQUEST)
    assert undone.box is None


def test_what_is_asked_for_is_drawn(studio: Studio, upload: Path) -> None:
    visit = handlers.answer(studio, handlers.open_photo(studio, upload), AUTO)
    clean = handlers.picture(visit, "Overlay", 0.5, 0)
    boxed = handlers.picture(visit.with_box((1100, 300), (1300, 900)), "Overlay", 0.5, 0)
    rows, columns = np.nonzero((boxed != clean).any(-1))
    scale = clean.shape[1] / 2000
    found = np.array([columns.min(), rows.min(), columns.max(), rows.max()]) / scale
    assert np.abs(found - (1100, 300, 1301, 901)).max() < 3 / scale
    corner = handlers.picture(visit.with_step("corner", 1000, 100), "Overlay", 0.5, 0)
    rows, columns = np.nonzero((corner != clean).any(-1))
    assert np.abs(np.array([columns.mean(), rows.mean()]) / scale - (1000.5, 100.5)).max() < 2 / scale


@pytest.mark.parametrize("view", VIEWS)
def test_the_same_answer_in_another_view(tab: SegmentTab, upload: Path, view: str) -> None:
    visit = begin(tab, upload)
    image, legend, *_ = tab.redraw(visit, AUTO, view, 0.5, 0.4, REQUEST)
    assert image.alt_text == f"{view} of your photo; found: cat"
    assert "Cat" in legend


def test_an_example(tab: SegmentTab) -> None:
    chosen: Any = SimpleNamespace(index=1)
    visit, *_ = tab.begin_example(*LOOK, chosen, REQUEST)
    assert visit.name == "twins.png"
    assert visit.key is not None
    assert visit.key.model == "tiny"


def test_nothing_happens_without_a_photo(tab: SegmentTab) -> None:
    skip = gr.skip()
    assert tab.begin(None, *LOOK, REQUEST) == skip
    assert tab.click(None, *LOOK, "pet", picked(1, 1), REQUEST) == skip
    assert tab.type_click(None, *LOOK, "pet", 1, 1, REQUEST) == skip
    assert tab.redraw(None, *LOOK, REQUEST) == skip
    with pytest.raises(gr.Error, match="choose a photo first"):
        tab.keeper("mask")(None, 0)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, "http://localhost/"),
        ({"host": "here:7860"}, "http://here:7860/"),
        (
            {"host": "inner", "x-forwarded-host": "pets.example", "x-forwarded-proto": "https,http"},
            "https://pets.example/",
        ),
    ],
)
def test_the_address_is_the_one_the_visitor_sees(headers: dict[str, str], expected: str) -> None:
    request: Any = SimpleNamespace(headers=headers)
    assert address(request) == expected


# -- only models that need a click ----------------------------------------------------------------------


@pytest.fixture
def demanding(segmenters: dict[str, Segmenter], tmp_path: Path) -> Studio:
    return Studio(Models({"tiny-prompt": segmenters["tiny-prompt"]}), Photos(), tmp_path / "files")


def test_where_every_model_needs_a_click(demanding: Studio, upload: Path) -> None:
    visit = handlers.answer(demanding, handlers.open_photo(demanding, upload), AUTO)
    assert visit.answer is None
    assert visit.note == "Every model here answers for what you point at: click on the pet."
    assert visit.note in texts.legend(visit, None)
    assert texts.python_code(visit, 0) == texts.NO_ANSWER
    with pytest.raises(PromptError, match="click on the pet first"):
        handlers.full(demanding, visit, 0)
    demanding.models.warm()  # the model for no clicks is skipped
    with pytest.raises(PromptError, match=r"click on the pet$"):
        api.segment(demanding, str(upload), "", "", "", 0)
    with pytest.raises(petseg.PetsegError, match="seed is -1"):
        api.damage(str(upload), "occlusion", 1, -1)
