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
from petseg.app.handlers import Studio
from petseg.app.models import AUTO, Models
from petseg.app.parts import address
from petseg.app.photos import Photos
from petseg.app.state import Visit
from petseg.app.tab_segment import SegmentTab

REQUEST: Any = SimpleNamespace(headers={"host": "localhost:7860"})


@pytest.fixture
def tab(studio: Studio, no_catalogue: None) -> SegmentTab:
    with gr.Blocks():
        return SegmentTab(studio, gr.State())


def sent(**data: Any) -> Any:
    """What the browser sends."""
    return gr.EventData(None, {"number": 1} | data)


def ask(tab: SegmentTab, visit: Visit | None, **data: Any) -> tuple[Visit, dict[str, Any]]:
    after, said = tab.ask(visit, sent(**data), REQUEST)
    return after, json.loads(said)


@pytest.fixture
def given(studio: Studio, upload: Path) -> str:
    """The photo among the uploads."""
    path = studio.new_folder() / upload.name
    path.write_bytes(upload.read_bytes())
    return str(path)


def click(kind: str, x: int, y: int, animal: int = 0, **more: Any) -> dict[str, Any]:
    return {"kind": kind, "x": x, "y": y, "animal": animal} | more


# -- Segment --------------------------------------------------------------------------------------------


def test_from_a_photo_to_a_file(tab: SegmentTab, given: str, segmenters: dict[str, Segmenter]) -> None:
    visit, said = ask(tab, None, photo=given, needsPhoto=True)
    assert (said["number"], said["name"], said["size"]) == (1, "two pets.png", [2000, 1200])
    assert said["photo"].startswith("data:image/jpeg;base64,")
    assert sorted(pet["label"] for pet in said["pets"]) == ["cat", "dog"]
    for pet in said["pets"]:
        answer = segmenters["tiny"].segment(given)
        x, y = pet["at"]
        assert answer.mask[y, x] == {"cat": 1, "dog": 2}[pet["label"]], "a click there means this one"
        assert len(pet["rings"][0]) >= 8
    assert "petseg.segment" in said["code"]["python"]
    assert "http://localhost:7860/" in said["code"]["client"]

    visit, said = ask(tab, visit, photo=given, steps=[click("pet", 1406, 605)])
    assert "photo" not in said, "it is sent once"
    assert visit.points == [(1406, 605)]
    assert [pet["label"] for pet in said["pets"]] == ["dog"]
    assert "tiny-prompt" in said["facts"]
    assert "points=[(1406, 605)]" in said["code"]["python"]

    kept = json.loads(
        tab.keep(visit, sent(number=5, photo=given, steps=[click("pet", 1406, 605)], kind="mask"))
    )
    assert (kept["number"], kept["name"]) == (5, "two pets.mask.png")
    with Image.open(kept["file"]) as mask:
        np.testing.assert_array_equal(
            np.asarray(mask), segmenters["tiny-prompt"].segment(given, (1406, 605)).mask
        )


def test_a_box_and_its_code(tab: SegmentTab, given: str) -> None:
    box = click("box", 175, 273, opposite=[830, 928])
    visit, said = ask(tab, None, photo=given, steps=[box])
    assert visit.box == (175, 273, 831, 929)
    assert [pet["label"] for pet in said["pets"]] == ["cat"]
    assert "box=(175, 273, 831, 929)" in said["code"]["python"]
    assert 'box="[175, 273, 831, 929]"' in said["code"]["client"]


def test_any_question_is_answered_without_what_was_asked_before(tab: SegmentTab, given: str) -> None:
    steps = [click("pet", 500, 600), click("pet", 1400, 600, 1)]
    visit, _ = ask(tab, None, photo=given, steps=steps[:1])
    _, after = ask(tab, visit, photo=given, steps=steps)
    _, anew = ask(tab, None, photo=given, steps=steps)
    assert after["pets"] == anew["pets"]


def test_clicks_on_nothing_are_told(tab: SegmentTab, given: str) -> None:
    stray = click("pet", 1000, 100)
    visit, said = ask(tab, None, photo=given, steps=[stray])
    assert said["missed"] == [stray | {"seed": False}]
    assert visit.steps == ()
    assert len(said["pets"]) == 2


def test_an_example(tab: SegmentTab) -> None:
    visit, said = ask(tab, None, example=1)
    assert visit.name == said["name"] == "twins.png"
    assert visit.key is not None
    assert visit.key.model == "tiny"
    small = json.loads(tab.peek(sent(number=-2, example=1), REQUEST))
    assert small["number"] == -2
    assert small["photo"]


def test_errors_are_told_with_the_question_and_keep_the_visit(
    tab: SegmentTab, given: str, studio: Studio, upload: Path
) -> None:
    visit, _ = ask(tab, None, photo=given)
    notes = studio.new_folder() / "notes.jpg"
    notes.write_text("hello")
    for wrong, message in (
        ({"photo": str(notes)}, "is a text, not a photo"),
        ({"photo": str(studio.folder / "gone.png")}, "put away"),
        ({"photo": str(upload)}, "no upload"),
        ({"photo": "/etc/passwd"}, "no upload"),
        ({"photo": f"{studio.folder}/../{upload.name}"}, "no upload"),
        ({"photo": {"path": given}}, "load it again"),
        ({"photo": None, "example": 99}, "no such example"),
        ({"steps": "all"}, "load it again"),
        ({"steps": [click("pet", 1, 2, -1)]}, "load it again"),
        ({"steps": [click("circle", 1, 2)]}, "load it again"),
        ({"steps": [click("pet", 1, 2)] * 201}, "load it again"),
        ({"model": "/etc/passwd"}, "There is no model"),
        ({"level": 7}, "load it again"),
    ):
        after, said = ask(tab, visit, **({"photo": given} | wrong))  # type: ignore[arg-type]
        assert message in said["error"], wrong
        assert said["number"] == 1
        assert after == gr.skip()
    for background in ("/etc/passwd", str(upload), "red", 5, None):
        kept = tab.keep(visit, sent(photo=given, kind="on", background=background))
        assert "file" not in json.loads(kept), background
    assert "error" in json.loads(tab.ask(visit, gr.EventData(None, None), REQUEST)[1])


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
    assert texts.python_code(visit, 0) == texts.NO_ANSWER
    with pytest.raises(PromptError, match="tap the pet first"):
        handlers.full(demanding, visit, 0)
    demanding.models.warm()  # the model for no clicks is skipped
    with pytest.raises(PromptError, match=r"click on the pet$"):
        api.segment(demanding, str(upload), "", "", "", 0)
    with pytest.raises(petseg.PetsegError, match="seed is -1"):
        api.damage(str(upload), "occlusion", 1, -1)
