"""What is kept of photos and answers, so that a further tap, undo and files cost little."""

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

from petseg import ImageError, Segmentation, Segmenter
from petseg.app import handlers, photos
from petseg.app.handlers import Studio
from petseg.app.models import AUTO, Models
from petseg.app.photos import Photos
from petseg.app.state import Key, Step
from tests.petseg.app.test_app_handlers import CAT, CAT_STEP, DOG_STEP, visit


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


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What segmenters were asked: "segment" about all that is given, "refine" about what is new."""
    calls: list[str] = []
    for name in ("segment", "refine"):
        method = getattr(Segmenter, name)

        def noted(
            self: Segmenter, *given: Any, name: str = name, method: Any = method, **options: Any
        ) -> Segmentation:
            calls.append(name)
            return cast(Segmentation, method(self, *given, **options))

        monkeypatch.setattr(Segmenter, name, noted)
    return calls


def test_one_more_tap_asks_about_its_animal_alone_and_says_what_all_at_once_would(
    studio: Studio, upload: Path, asked: list[str]
) -> None:
    both = (replace(CAT_STEP, seed=True), replace(DOG_STEP, seed=True))
    first = handlers.ask(studio, visit(studio, upload), both, AUTO)
    assert asked == ["segment"]
    less = handlers.ask(studio, first, (*both, Step("not pet", 520, 600)), AUTO)
    assert asked == ["segment", "refine"]
    assert less.key is not None
    assert less.answer is not None
    at_once = studio.models.get("tiny-prompt").segment(upload, **less.key.prompt)
    np.testing.assert_array_equal(less.answer.mask, at_once.thumbnail(less.preview).mask)
    del asked[:]
    undone = handlers.ask(studio, less, both, AUTO)
    assert undone.key == first.key
    kept = handlers.download(studio, less, "mask")
    with Image.open(kept) as image:
        np.testing.assert_array_equal(np.asarray(image), at_once.mask)
    assert asked == [], "undo and files need no model"


def test_animals_that_were_told_of_each_other_are_asked_about_together(
    studio: Studio, upload: Path, asked: list[str]
) -> None:
    """To go on from what they were told would say something else than the code on the page does."""
    near = Step("pet", CAT[0] + 15, CAT[1], animal=1, seed=True)
    beside = (replace(CAT_STEP, seed=True), near)
    first = handlers.ask(studio, visit(studio, upload), beside, AUTO)
    del asked[:]
    more = handlers.ask(studio, first, (*beside, Step("not pet", 480, 560)), AUTO)
    assert asked == ["segment"]
    assert more.key is not None
    assert more.answer is not None
    at_once = studio.models.get("tiny-prompt").segment(upload, **more.key.prompt)
    np.testing.assert_array_equal(more.answer.mask, at_once.thumbnail(more.preview).mask)


def test_what_does_not_go_on_from_a_question() -> None:
    key = Key("prompt", ((1, 1), (5, 5)), (1, 1), (), (0, 1))
    more = replace(key, points=(*key.points, (2, 2)), labels=(1, 1, 0), objects=(0, 1, 0))
    assert more.beyond(key) == {"points": [(2, 2)], "labels": [0], "objects": [0]}
    for other in (
        Key("prompt"),
        key,
        replace(more, model="other"),
        replace(more, boxes=((0, 0, 9, 9),)),
        replace(more, labels=(0, 1, 0)),
        replace(more, points=((1, 2), (5, 5), (2, 2))),
        replace(more, objects=(1, 0, 1)),
    ):
        assert other.beyond(key) == {}
    assert key.beyond(Key("prompt")) == {}, "a model that takes clicks gave no answer without one"
    many = Key("prompt", ((1, 1),) * 22, (1,) * 22, (), (0,) * 22)
    assert many.beyond(replace(many, points=many.points[:21], labels=many.labels[:21])) == {}


def test_answers_are_kept_with_their_photos_and_up_to_a_weight(
    segmenters: dict[str, Segmenter], upload: Path, tmp_path: Path
) -> None:
    weight = 2000 * 1200 * 3
    other = tmp_path / "other.png"
    other.write_bytes(upload.read_bytes())
    studio = Studio(Models(segmenters), Photos(max_bytes=2 * weight), tmp_path / "files")

    def kept(source: Path) -> int:
        with studio.photos.answers(source) as answers:
            return len(answers)

    first = handlers.ask(studio, visit(studio, upload), (), AUTO)
    handlers.ask(studio, first, (CAT_STEP,), AUTO)
    assert kept(upload) == 2
    handlers.ask(studio, visit(studio, other), (), AUTO)
    assert (kept(upload), kept(other)) == (1, 1), "the oldest is dropped"
    upload.unlink()
    studio.photos.get(other)
    assert (kept(upload), kept(other)) == (0, 1), "what a visitor has put away is not kept"


def test_there_is_a_number_of_answers_that_are_kept_in_all(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "KEPT_IN_ALL", 3)
    drawn = [np.full((60, 100, 3), shade, np.uint8) for shade in (1, 2, 3)]
    for number, photo in enumerate(drawn):
        first = handlers.ask(studio, handlers.open_example(f"{number}.png", photo), (), AUTO)
        handlers.ask(studio, first, (Step("pet", 5, 5, seed=True),), AUTO)
    kept = []
    for photo in drawn:
        with studio.photos.answers(photo) as answers:
            kept.append(len(answers))
    assert kept == [0, 1, 2], "the oldest are dropped"
