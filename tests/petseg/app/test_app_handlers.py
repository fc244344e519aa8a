import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import petseg
from petseg import (
    ImageError,
    ImageTooLargeError,
    ModelError,
    OutputError,
    PromptError,
)
from petseg.app import handlers, state, texts
from petseg.app.handlers import Studio
from petseg.app.models import AUTO, Models
from petseg.app.state import PREVIEW, Step, Visit

CAT, DOG, GROUND = (500, 600), (1400, 600), (1000, 100)
"""Pixels of the upload."""
CAT_STEP, DOG_STEP = Step("pet", *CAT), Step("pet", *DOG, animal=1)


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


def test_a_box_goes_between_any_two_corners(studio: Studio, upload: Path) -> None:
    boxed = replace(visit(studio, upload), steps=(Step("box", 820, 920, (180, 280)),))
    assert boxed.box == (180, 280, 821, 921)
    answered = handlers.answer(studio, boxed, AUTO)
    assert answered.answer is not None
    assert answered.answer.label == "cat"


def test_fewer_clicks_give_the_answer_before(studio: Studio, upload: Path) -> None:
    first = handlers.ask(studio, visit(studio, upload), (CAT_STEP,), AUTO)
    second = handlers.ask(studio, first, (CAT_STEP, DOG_STEP), AUTO)
    assert second.key != first.key
    undone = handlers.ask(studio, second, (CAT_STEP,), AUTO)
    assert undone.key == first.key
    assert first.answer is not None
    assert undone.answer is not None
    np.testing.assert_array_equal(undone.answer.mask, first.answer.mask)
    cleared = handlers.ask(studio, second, (), AUTO)
    assert cleared.key is not None
    assert cleared.key.model == "tiny"


def test_a_click_on_nothing_is_missed_and_changes_nothing(studio: Studio, upload: Path) -> None:
    first = handlers.ask(studio, visit(studio, upload), (CAT_STEP,), AUTO)
    stray = Step("pet", *GROUND, animal=1)
    after = handlers.ask(studio, first, (CAT_STEP, stray), AUTO)
    assert (after.missed, after.steps) == ((stray,), (CAT_STEP,))
    assert after.answer is first.answer
    alone = handlers.ask(studio, visit(studio, upload), (replace(stray, animal=0),), AUTO)
    assert alone.key is not None
    assert (alone.key.model, alone.steps) == ("tiny", ()), "all pets are shown instead"
    seeds = (replace(CAT_STEP, seed=True), replace(DOG_STEP, seed=True))
    found = handlers.ask(studio, visit(studio, upload), (*seeds, replace(stray, animal=2)), AUTO)
    assert found.steps == (), "what was found by itself is shown as before"


def test_clicks_belong_to_their_animals(studio: Studio, upload: Path) -> None:
    """Animals with a box come first when the model is asked, and keep their numbers all the same."""
    boxed = Step("box", 1100, 200, (1800, 1000), animal=7)
    steps = (CAT_STEP, boxed, Step("not pet", 1300, 500, animal=7))
    answered = handlers.ask(studio, visit(studio, upload), steps, AUTO)
    assert answered.key is not None
    assert answered.key.boxes == ((1100, 200, 1801, 1001),)
    assert answered.key.objects == (1, 0)
    assert answered.answer is not None
    found = handlers.numbered(answered, answered.answer)
    assert [(number, pet.label) for number, pet in found] == [(7, "dog"), (0, "cat")]


@pytest.mark.parametrize("outside", [(2000, 5), (5, 1200), (-1, 5)])
def test_a_click_outside_the_photo_is_refused(studio: Studio, upload: Path, outside: tuple[int, int]) -> None:
    with pytest.raises(PromptError, match="x from 0 to 1999 and y from 0 to 1199"):
        handlers.ask(studio, visit(studio, upload), (Step("pet", *outside),), AUTO)


def test_looser_and_tighter_are_monotone(studio: Studio, upload: Path) -> None:
    answered = handlers.answer(studio, visit(studio, upload), AUTO)
    assert answered.answer is not None
    pets = [handlers.at_level(answered.answer, level).mask != 0 for level in range(-5, 6)]
    for looser, tighter in pairwise(pets):
        assert not (tighter & ~looser).any()
    assert pets[0].sum() > pets[-1].sum() > 0


def test_an_example_is_answered_once_for_everybody(studio: Studio) -> None:
    photo = np.full((60, 100, 3), (255, 0, 0), np.uint8)
    first = handlers.example(studio, "red.png", photo, AUTO)
    assert handlers.example(studio, "red.png", photo, AUTO) is first


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
    assert "tap the pet" in answered.note
    assert answered.answer is None
    with pytest.raises(PromptError, match="no answer to keep"):
        handlers.download(studio, answered, "mask")


def test_only_negative_clicks_ask_for_a_positive_one(studio: Studio, upload: Path) -> None:
    answered = handlers.answer(studio, visit(studio, upload, ("not pet", DOG)), AUTO)
    assert answered.note == handlers.ALL_NEGATIVE
    assert answered.key is not None
    assert answered.key.model == "tiny"


def test_files_have_the_full_size_and_the_level(studio: Studio, upload: Path) -> None:
    answered = handlers.answer(studio, visit(studio, upload, ("pet", CAT)), AUTO)
    path = handlers.download(studio, answered, "mask", level=3)
    assert path.name == "two pets.mask.png"
    expected = studio.models.get("tiny-prompt").segment(upload, CAT)
    with Image.open(path) as image:
        np.testing.assert_array_equal(np.asarray(image), expected.with_threshold(handlers.LEVELS[3]).mask)
    with Image.open(handlers.download(studio, answered, "cutout")) as image:
        assert (image.mode, image.size) == ("RGBA", (2000, 1200))
        pixels = np.asarray(image)
    assert not pixels[pixels[..., 3] == 0].any(), "nothing of the photo is hidden in what is clear"
    with Image.open(handlers.download(studio, answered, "sticker")) as image:
        assert image.size == (512, 512)
    document = json.loads(handlers.download(studio, answered, "json").read_text())
    assert document["label"] == "cat"
    assert document["polygons"]
    coco = json.loads(handlers.download(studio, answered, "coco").read_text())
    assert [image["file_name"] for image in coco["images"]] == ["two pets.png"]
    assert len(coco["annotations"]) == 1


@pytest.mark.usefixtures("no_catalogue")
def test_one_animal_is_kept_by_itself(studio: Studio, upload: Path) -> None:
    answered = handlers.answer(studio, visit(studio, upload), AUTO)
    assert answered.answer is not None
    numbers = {pet.label: number for number, pet in handlers.numbered(answered, answered.answer)}
    with Image.open(handlers.download(studio, answered, "mask", animal=numbers["dog"])) as image:
        assert set(np.unique(np.asarray(image))) == {0, 2}
    with pytest.raises(OutputError, match="not in the answer"):
        handlers.download(studio, answered, "mask", animal=9)


def test_a_pet_is_laid_on_another_ground(studio: Studio, upload: Path, tmp_path: Path) -> None:
    answered = handlers.answer(studio, visit(studio, upload), AUTO)
    beach = tmp_path / "beach.png"
    Image.new("RGB", (30, 30), "#ffee00").save(beach)
    for background, colour in (("#00ff00", (0, 255, 0)), (beach, (255, 238, 0))):
        path = handlers.download(studio, answered, "on", background=background)
        with Image.open(path) as image:
            assert image.size == (2000, 1200)
            assert np.abs(np.array(image.getpixel(GROUND)) - colour).max() < 8
            assert np.abs(np.array(image.getpixel(CAT)) - (255, 0, 0)).max() < 8


def test_the_python_on_the_page_gives_the_answer_on_the_page(
    studio: Studio, upload: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = Step("box", 0, 0, (900, 1100))
    steps = (Step("pet", *CAT), Step("not pet", *DOG), box, Step("pet", *DOG, animal=1))
    answered = handlers.answer(studio, replace(visit(studio, upload), steps=steps), AUTO)
    monkeypatch.chdir(upload.parent)
    monkeypatch.setattr(
        petseg, "segment", lambda photo, model, **prompt: studio.models.get(model).segment(photo, **prompt)
    )
    exec(texts.python_code(answered, handlers.LEVELS[2]), {})
    with Image.open("mask.png") as image:
        np.testing.assert_array_equal(np.asarray(image), handlers.full(studio, answered, 2).mask)


def test_what_visitors_give_is_escaped() -> None:
    assert "<script>" not in texts.notice("<script>alert(1)</script>")


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


def test_automatic_says_who_answers(studio: Studio, plain_studio: Studio) -> None:
    both = "Automatic: tiny finds all pets, tiny-prompt answers for what you tap."
    assert texts.model_info(studio.models).startswith(both)
    assert texts.model_info(plain_studio.models).startswith("Automatic: tiny finds all pets. ")


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
