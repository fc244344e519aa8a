import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import petseg
from petseg import ImageError, ImageTooLargeError, ModelError, PromptError
from petseg.app import handlers, state, texts
from petseg.app.handlers import Studio
from petseg.app.models import AUTO, Models
from petseg.app.state import PREVIEW, Photos, Visit

CAT, DOG, GROUND = (500, 600), (1400, 600), (1000, 100)
"""Pixels of the upload."""


def visit(studio: Studio, upload: Path, *clicks: tuple[str, tuple[int, int]]) -> Visit:
    opened = handlers.open_photo(studio, upload)
    for kind, (x, y) in clicks:
        opened = opened.with_step(kind, x, y)  # type: ignore[arg-type]
    return opened


def test_a_photo_without_clicks_shows_all_pets(studio: Studio, upload: Path) -> None:
    answered = handlers.answer(studio, visit(studio, upload), AUTO)
    assert answered.key is not None
    assert answered.key.model == "tiny"
    assert answered.answer is not None
    assert set(np.unique(answered.answer.mask)) == {0, 1, 2}
    assert answered.size == (2000, 1200)
    assert max(answered.answer.size) == PREVIEW
    assert answered.milliseconds > 0
    assert answered.note == ""


@pytest.mark.parametrize(("clicked", "label"), [(CAT, "cat"), (DOG, "dog"), (GROUND, "background")])
def test_a_click_is_answered_by_the_model_that_takes_it(
    studio: Studio, upload: Path, clicked: tuple[int, int], label: str
) -> None:
    answered = handlers.answer(studio, visit(studio, upload, ("pet", clicked)), AUTO)
    assert answered.key is not None
    assert answered.key.model == "tiny-prompt"
    assert answered.answer is not None
    assert answered.answer.label == label


def test_two_corners_are_a_box_in_any_order(studio: Studio, upload: Path) -> None:
    corners = visit(studio, upload, ("corner", (820, 920)), ("corner", (180, 280)))
    assert corners.box == (180, 280, 821, 921)
    assert corners.corner is None
    answered = handlers.answer(studio, corners, AUTO)
    assert answered.answer is not None
    assert answered.answer.label == "cat"
    third = corners.with_step("corner", 5, 5)
    assert third.box == corners.box
    assert third.corner is not None
    dragged = third.with_box((10, 20), (30, 5))
    assert (dragged.box, dragged.corner) == ((10, 5, 31, 21), None), (
        "a drag takes the place of a waiting corner"
    )
    assert dragged.undone().box == corners.box, "one undo takes back a whole box"
    assert dragged.undone().undone().box is None


def test_undo_and_clear_give_the_answers_before(studio: Studio, upload: Path) -> None:
    first = handlers.answer(studio, visit(studio, upload, ("pet", CAT)), AUTO)
    second = handlers.answer(studio, first.with_step("pet", *DOG), AUTO)
    assert second.key != first.key
    undone = handlers.answer(studio, second.undone(), AUTO)
    assert undone.key == first.key
    assert first.answer is not None
    assert undone.answer is not None
    np.testing.assert_array_equal(undone.answer.mask, first.answer.mask)
    cleared = handlers.answer(studio, second.cleared(), AUTO)
    assert cleared.key is not None
    assert cleared.key.model == "tiny"


def test_the_same_question_is_not_asked_again(studio: Studio, upload: Path) -> None:
    answered = handlers.answer(studio, visit(studio, upload), AUTO)
    assert handlers.answer(studio, answered, "tiny").answer is answered.answer


def test_a_model_without_clicks_keeps_them_and_says_so(studio: Studio, upload: Path) -> None:
    answered = handlers.answer(studio, visit(studio, upload, ("pet", CAT)), "tiny")
    assert "tiny takes no point" in answered.note
    assert answered.answer is not None
    assert set(np.unique(answered.answer.mask)) == {0, 1, 2}
    assert answered.points == [CAT]


def test_no_model_takes_clicks(plain_studio: Studio, upload: Path) -> None:
    answered = handlers.answer(plain_studio, visit(plain_studio, upload, ("pet", CAT)), AUTO)
    assert "No model here takes a point" in answered.note
    assert answered.key is not None
    assert answered.key.points == ()


def test_a_model_that_needs_a_click_asks_for_one(studio: Studio, upload: Path) -> None:
    answered = handlers.answer(studio, visit(studio, upload), "tiny-prompt")
    assert "click on the pet" in answered.note
    assert answered.answer is None
    with pytest.raises(PromptError, match="no answer to keep"):
        handlers.download(studio, answered, 0, "mask")


def test_only_negative_clicks_ask_for_a_positive_one(studio: Studio, upload: Path) -> None:
    answered = handlers.answer(studio, visit(studio, upload, ("not pet", DOG)), AUTO)
    assert answered.note == handlers.ALL_NEGATIVE
    assert answered.key is not None
    assert answered.key.model == "tiny"


@pytest.mark.parametrize(
    ("size", "shown", "place", "pixel"),
    [
        ((2000, 1200), (1024, 614), (0, 0), (0, 0)),
        ((2000, 1200), (1024, 614), (512, 307), (1000, 600)),
        ((2000, 1200), (1024, 614), (1023, 613), (1998, 1198)),
        ((2000, 1200), (1024, 614), (1024, 614), (1999, 1199)),
        ((512, 384), (1024, 768), (1023, 767), (511, 383)),
        ((512, 384), (1024, 768), (2, 3), (1, 1)),
        ((1, 5000), (1, 1024), (0, 1023), (0, 4995)),
    ],
)
def test_a_place_of_the_picture_is_a_pixel_of_the_photo(
    size: tuple[int, int], shown: tuple[int, int], place: tuple[int, int], pixel: tuple[int, int]
) -> None:
    opened = handlers.open_example("grey.png", np.full((*size[::-1], 3), 128, np.uint8))
    assert opened.shown == shown
    assert handlers.picture(opened, "Overlay", 0.5, 0).shape == (*shown[::-1], 3)
    assert opened.at(*place) == pixel


@pytest.mark.parametrize("view", handlers.VIEWS)
def test_every_view_shows_the_answer_and_the_clicks(studio: Studio, upload: Path, view: str) -> None:
    answered = handlers.answer(studio, visit(studio, upload, ("pet", CAT)), AUTO)
    picture = handlers.picture(answered, view, 0.5, 0)
    without = handlers.picture(answered.cleared(), view, 0.5, 0)
    assert picture.shape == (614, 1024, 3)
    x, y = CAT[0] * 1024 // 2000, CAT[1] * 614 // 1200
    differs = (picture != without).any(2)
    assert differs[y - 6 : y + 6, x - 6 : x + 6].all()
    assert differs.mean() < 0.01


def test_files_have_the_full_size_and_the_threshold(studio: Studio, upload: Path) -> None:
    answered = handlers.answer(studio, visit(studio, upload, ("pet", CAT)), AUTO)
    path = handlers.download(studio, answered, 0.9, "mask")
    assert path.name == "two pets.mask.png"
    expected = studio.models.get("tiny-prompt").segment(upload, CAT).with_threshold(0.9)
    with Image.open(path) as image:
        np.testing.assert_array_equal(np.asarray(image), expected.mask)
    with Image.open(handlers.download(studio, answered, 0, "cutout")) as image:
        assert (image.mode, image.size) == ("RGBA", (2000, 1200))
    document = json.loads(handlers.download(studio, answered, 0, "json").read_text())
    assert document["label"] == "cat"
    assert document["polygons"]


def test_the_python_on_the_page_gives_the_answer_on_the_page(
    studio: Studio, upload: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clicks = visit(
        studio, upload, ("pet", CAT), ("not pet", DOG), ("corner", (0, 0)), ("corner", (900, 1100))
    )
    answered = handlers.answer(studio, clicks, AUTO)
    monkeypatch.chdir(upload.parent)
    monkeypatch.setattr(
        petseg, "segment", lambda photo, model, **prompt: studio.models.get(model).segment(photo, **prompt)
    )
    exec(texts.python_code(answered, 0.8), {})
    with Image.open("mask.png") as image:
        np.testing.assert_array_equal(np.asarray(image), handlers.full(studio, answered, 0.8).mask)


def test_what_visitors_give_is_escaped(studio: Studio, upload: Path) -> None:
    assert "<script>" not in texts.notice("<script>alert(1)</script>")
    named = upload.rename(upload.with_name("<script>.png"))
    answered = handlers.answer(studio, handlers.open_photo(studio, named), AUTO)
    for code in texts.code_blocks(answered, 0, "http://<script>/"):
        assert "&lt;script&gt;.png" in code
        assert "<script>" not in code


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (b"hello", ImageError, "is a text, not a photo"),
        (b"", ImageError, "empty"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), ImageError, "photo"),
        (None, ImageError, "put away"),
    ],
)
def test_what_is_no_photo_is_refused_in_words(
    studio: Studio, tmp_path: Path, content: bytes | None, error: type[Exception], message: str
) -> None:
    path = tmp_path / "secret folder" / "notes.txt"
    path.parent.mkdir()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(error, match=message) as caught:
        handlers.open_photo(studio, path)
    assert "secret folder" not in str(caught.value)


def test_large_photos_are_refused(studio: Studio, upload: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "MAX_PIXELS", 1000)
    with pytest.raises(ImageTooLargeError, match="2000 x 1200"):
        handlers.open_photo(studio, upload)
    monkeypatch.setattr(state, "MAX_BYTES", 10)
    with pytest.raises(ImageTooLargeError, match="larger than"):
        handlers.open_photo(studio, upload)


def test_decoded_photos_are_kept_up_to_a_limit(upload: Path, tmp_path: Path) -> None:
    second = tmp_path / "second.png"
    second.write_bytes(upload.read_bytes())
    photos = Photos(max_bytes=2000 * 1200 * 3)
    first = photos.get(upload)
    assert photos.get(upload) is first
    photos.get(second)
    again = photos.get(upload)
    assert again is not first
    upload.unlink()
    with pytest.raises(ImageError, match="put away"):
        photos.get(upload)


@pytest.mark.usefixtures("no_catalogue")
def test_models_say_what_they_take_and_who_is_missing(
    studio: Studio, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [model.name for model in studio.models.here] == ["tiny", "tiny-prompt"]
    assert studio.models.first(["box"]) == "tiny-prompt"
    with pytest.raises(ModelError, match="choose one of tiny, tiny-prompt"):
        studio.models.get("/etc/passwd")
    far = petseg.ModelInfo("far", "can be pulled", weights, 1, ("point",), 1, {}, "")
    monkeypatch.setattr(petseg, "list_models", lambda: [far])
    models = Models({"tiny": studio.models.get("tiny")})
    assert [model.name for model in models.missing] == ["far"]
    assert "petseg pull far" in models.advice(["point"])
    assert "petseg pull far" in texts.missing_models(models)
    with pytest.raises(ModelError, match="petseg pull far"):
        models.get("far")


def test_the_catalogue_is_loaded_when_first_asked(weights: Path) -> None:
    models = Models(device="cpu", threads=1)
    assert [model.name for model in models.here] == ["tiny", "tiny-prompt"]
    assert models.get("tiny") is models.get("tiny")


def test_models_are_warmed_before_anybody_asks(
    studio: Studio, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[tuple[str, object]] = []
    segment = petseg.Segmenter.segment

    def spy(self: petseg.Segmenter, image: object, **prompt: object) -> object:
        asked.append((self.name, prompt))
        return segment(self, image, **prompt)  # type: ignore[arg-type]

    monkeypatch.setattr(petseg.Segmenter, "segment", spy)
    studio.models.warm()
    assert [name for name, _ in asked] == ["tiny", "tiny-prompt"]
    assert not caplog.records

    def damaged(*_: object, **__: object) -> None:
        raise ModelError("it is damaged")

    monkeypatch.setattr(petseg.Segmenter, "segment", damaged)
    studio.models.warm()
    assert len(caplog.records) == 2, "the second is tried all the same"
