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
from petseg.app.tab_compare import CompareTab
from petseg.app.tab_robustness import ALL, RobustnessTab, slider_label
from petseg.app.tab_segment import SegmentTab
from petseg.measure.perturbations import LEVELS, PERTURBATIONS

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


# -- Compare --------------------------------------------------------------------------------------------


def test_all_models_side_by_side(studio: Studio, upload: Path) -> None:
    with gr.Blocks(), gr.Tab() as holder:
        compare = CompareTab(studio, gr.State(), holder)
    assert compare.show(None) == [texts.notice(texts.NO_PHOTO), None, "", None, ""]
    notice, first, first_figures, second, second_figures = compare.show(handlers.open_photo(studio, upload))
    assert notice == ""
    assert first.shape == second.shape
    assert "<b>1.000</b>" in first_figures
    assert "cat" in second_figures

    grey = handlers.open_example("grey.png", np.full((60, 100, 3), 128, np.uint8))
    *_, second, why = compare.show(grey)
    np.testing.assert_array_equal(second, grey.preview)
    assert "nothing to click on" in why


# -- Robustness -----------------------------------------------------------------------------------------


@pytest.fixture
def robustness(studio: Studio) -> RobustnessTab:
    with gr.Blocks(), gr.Tab() as holder:
        return RobustnessTab(studio, gr.State(), holder)


def half() -> Visit:
    """An example whose left half is a cat."""
    photo = np.full((60, 100, 3), 128, np.uint8)
    photo[:, :50] = (255, 0, 0)
    return handlers.open_example("half.png", photo)


def test_damage_is_shown_beside_the_clean_photo(robustness: RobustnessTab) -> None:
    levels = [LEVELS if kind == "contrast_down" else 1 for kind in PERTURBATIONS]
    count = len(PERTURBATIONS)
    nothing = robustness.show(None, "tiny", 0, *levels)
    assert nothing[0] == texts.notice(texts.NO_PHOTO)
    _, *updates = robustness.show(half(), "tiny", None, *levels)
    labels = dict(zip(PERTURBATIONS, (update.label for update in updates), strict=False))
    assert labels["contrast_down"] == slider_label("contrast_down", LEVELS)
    assert ": 0.1 (" in labels["contrast_down"]
    shown, before, after, difference, figures = updates[count : count + 5]
    hidden = updates[count + 5]
    assert (shown.visible, hidden.visible) == (True, False)
    assert before.shape == after.shape == difference.shape == (60, 100, 3)
    assert before.mean() > after.mean()
    assert "agreement with the clean answer" in figures
    everyone = robustness.show(half(), ALL, 0, *levels)[1 + count :: 5]
    assert [column.visible for column in everyone] == [True, True]


def test_after_an_error_no_rows_of_another_model_stay(robustness: RobustnessTab) -> None:
    levels = [1] * len(PERTURBATIONS)
    grey = handlers.open_example("grey.png", np.full((60, 100, 3), 128, np.uint8))
    notice, *updates = robustness.show(grey, "tiny-prompt", 0, *levels)
    assert "nothing to click on" in notice.lower()
    rows = updates[len(PERTURBATIONS) :: 5]
    assert [column.visible for column in rows] == [False, False]


def test_a_sweep_draws_curves(robustness: RobustnessTab) -> None:
    told: list[float] = []
    plot, legend = robustness.draw_sweep(
        half(), "tiny", 0, "contrast_down", lambda done, desc: told.append(done)
    )
    assert told[-1] == 1
    assert plot.x_title.endswith(", level")
    assert set(plot.color_map) == {"tiny: agreement"}
    assert all(series in legend for series in plot.color_map)
    with pytest.raises(gr.Error, match="Choose a photo"):
        robustness.draw_sweep(None, "tiny", 0, "contrast_down")


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
