"""Going on from an answer: `Segmenter.refine`, and what is kept of the photo in between."""

import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from PIL import Image

from petseg.engine import network
from petseg.errors import PromptError
from petseg.pixels.geometry import Letterbox
from petseg.segmentation import Segmentation
from petseg.segmenter import Segmenter, segment
from tests.support.tiny_models import BLUE, GREY, PROMPTABLE, RED, build_model, manifest, save_parts

Pixels = NDArray[np.uint8]
CAT, DOG, NOTHING = (25, 30), (70, 30), (50, 5)
COUNT = network.KEPT + 4
"""Photos, of which some must be put away."""


pytestmark = pytest.mark.usefixtures("fresh_engine", "weights")


@pytest.fixture
def segmenter() -> Segmenter:
    return Segmenter("tiny-prompt", device="cpu", threads=1)


def assert_same(one: Segmentation, other: Segmentation) -> None:
    assert (one.label, one.score, one.size, one.model) == (other.label, other.score, other.size, other.model)
    np.testing.assert_array_equal(one.probabilities, other.probabilities)


@pytest.mark.parametrize(
    ("first", "more", "whole"),
    [
        ({"point": CAT}, [{"point": DOG}], {"points": [CAT, DOG]}),
        ({"point": CAT}, [{"point": DOG, "label": 0}], {"points": [CAT, DOG], "labels": [1, 0]}),
        (
            {"points": [CAT, NOTHING], "labels": [1, 0]},
            [{"point": DOG}, {"points": [(30, 40), (5, 5)], "labels": [True, False]}],
            {"points": [CAT, NOTHING, DOG, (30, 40), (5, 5)], "labels": [1, 0, 1, 1, 0]},
        ),
        ({"box": (8, 12, 44, 48)}, [{"point": DOG}], {"points": [DOG], "box": (8, 12, 44, 48)}),
        (
            {"box": (8, 12, 44, 48)},
            [{"point": CAT, "label": 0}],
            {"points": [CAT], "labels": [0], "box": (8, 12, 44, 48)},
        ),
        ({"point": CAT}, [{"box": (8, 12, 44, 48)}], {"points": [CAT], "box": (8, 12, 44, 48)}),
        (
            {"point": CAT, "box": (8, 12, 44, 48)},
            [{"point": NOTHING, "label": 0, "box": (55, 10, 85, 50)}],
            {"points": [CAT, NOTHING], "labels": [1, 0], "box": (55, 10, 85, 50)},
        ),
    ],
)
def test_refining_answers_like_asking_at_once(
    segmenter: Segmenter, photo: Pixels, first: Any, more: list[Any], whole: Any, runs: list[str]
) -> None:
    answer = segmenter(photo, **first)
    for clicks in more:
        answer = segmenter.refine(answer, **clicks)
    assert runs.count("encoder") == 1
    network.forget()  # so that the whole is worked out from the photo
    assert_same(answer, segmenter(photo, **whole))


def test_the_answer_before_stays_as_it_was(segmenter: Segmenter, photo: Pixels) -> None:
    cat = segmenter(photo, CAT)
    both = segmenter.refine(cat, DOG)
    assert set(np.unique(both.mask)) == {0, 1, 2}
    assert set(np.unique(cat.mask)) == {0, 1}
    assert cat.prompt is not None
    assert cat.prompt.points.tolist() == [[*CAT]]
    assert set(np.unique(segmenter.refine(cat, NOTHING).mask)) == {0, 1}


def test_the_photo_may_change_or_go(segmenter: Segmenter, photo: Pixels, tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    Image.fromarray(photo).save(path)
    pixels = photo.copy()
    answers = [segmenter(path, CAT), segmenter(pixels, CAT)]
    path.unlink()
    pixels[:] = GREY
    network.forget()
    for answer in answers:
        assert_same(segmenter.refine(answer, DOG), segmenter(photo, points=[CAT, DOG]))


def test_the_network_looks_once_at_each_photo(photo: Pixels, tmp_path: Path, runs: list[str]) -> None:
    Image.fromarray(photo).save(tmp_path / "photo.png")
    for image in (photo, tmp_path / "photo.png", photo.copy()):
        for point in (CAT, DOG):
            assert segment(image, point).prompt is not None
    assert runs.count("encoder") == 1
    assert runs.count("decoder") == 6


def test_refining_shrinks_the_photo_no_second_time(
    segmenter: Segmenter, photo: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    shrunk, apply = [], Letterbox.apply

    def spy(self: Letterbox, image: Pixels, fill: int) -> Pixels:
        shrunk.append(image.shape)
        return apply(self, image, fill)

    monkeypatch.setattr(Letterbox, "apply", spy)
    answer = segmenter(photo, CAT)
    for point in (DOG, NOTHING):
        answer = segmenter.refine(answer, point)
    assert shrunk == [photo.shape]


def test_what_is_kept_is_bounded(segmenter: Segmenter, runs: list[str]) -> None:
    photos = [np.full((20, 20 + i, 3), RED, np.uint8) for i in range(network.KEPT + 4)]
    answers = [segmenter(photo, (10, 10)) for photo in photos]
    assert network.kept() == network.KEPT
    segmenter.refine(answers[-1], (5, 5))
    assert runs.count("encoder") == len(photos)
    oldest = segmenter.refine(answers[0], (5, 5))  # works all the same, from the photo
    assert runs.count("encoder") == len(photos) + 1
    assert_same(oldest, segmenter(photos[0], points=[(10, 10), (5, 5)]))


def test_another_model_goes_on_too(segmenter: Segmenter, photo: Pixels, tmp_path: Path) -> None:
    other = Segmenter(save_parts(tmp_path / "small", PROMPTABLE | {"name": "small", "size": 32}), threads=1)
    answer = other.refine(segmenter(photo, CAT), DOG)
    assert answer.model == "small"
    assert_same(answer, other(photo, points=[CAT, DOG]))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({}, "nothing is added; give a point, points or a box"),
        ({"point": (100, 5)}, r"\(100, 5\) is outside the photo of 100 x 60"),
        ({"point": (float("nan"), 5)}, "point holds NaN"),
        ({"point": (5, 5, 5)}, r"shape \(1, 3\)"),
        ({"point": (5, 5), "label": 2}, "labels hold 2; give 1 for wanted"),
        ({"point": (5, 5), "labels": [0]}, "give label with point, or labels with points"),
        ({"points": [(5, 5)], "label": 0}, "label is given without point"),
        ({"label": 0}, "label is given without point"),
        ({"points": [(5, 5)], "labels": [1, 0]}, "one label per point"),
        ({"point": (5, 5), "points": [(5, 5)]}, "give all clicks in points"),
        ({"labels": [1]}, "give points too"),
        ({"box": (9, 9, 5, 5)}, "does not fit"),
    ],
)
def test_bad_refinements(segmenter: Segmenter, photo: Pixels, more: dict[str, Any], message: str) -> None:
    with pytest.raises(PromptError, match=message):
        segmenter.refine(segmenter(photo, CAT), **more)


def test_only_answers_to_prompts_are_refined(segmenter: Segmenter, photo: Pixels) -> None:
    plain = Segmenter("tiny")
    with pytest.raises(PromptError, match="'tiny' gave this answer without a point or a box; call segment"):
        segmenter.refine(plain(photo), CAT)
    with pytest.raises(PromptError, match=r"'tiny' takes no point; .*use the model 'tiny-prompt'"):
        plain.refine(segmenter(photo, CAT), DOG)
    with pytest.raises(PromptError, match="previous is of type ndarray; give the Segmentation"):
        segmenter.refine(photo, CAT)  # type: ignore[arg-type]


def test_a_model_that_takes_points_only(photo: Pixels, tmp_path: Path) -> None:
    document = manifest(name="points", prompts=["point"])
    onnx.save(build_model(True, document), tmp_path / "points.onnx")
    points = Segmenter(tmp_path / "points.onnx", threads=1)
    with pytest.raises(PromptError, match="'points' takes no box"):
        points.refine(points(photo, CAT), box=(8, 12, 44, 48))
    with pytest.raises(PromptError, match="'points' takes no box"):
        points.refine(segment(photo, box=(8, 12, 44, 48)), CAT)


def test_one_animal_is_of_one_species(segmenter: Segmenter) -> None:
    photo = np.full((60, 100, 3), GREY, np.uint8)
    photo[20:40, 40:54], photo[20:40, 54:60] = RED, BLUE
    one = segmenter(photo, (52, 30))
    assert set(np.unique(one.mask)) == {0, 1}
    assert one.mask[30, 56] == 1
    assert one.probabilities[2].max() == 0
    np.testing.assert_allclose(one.probabilities.sum(0), 1, atol=1e-5)
    two = segmenter.refine(one, (58, 30))  # two wanted clicks may mean two animals
    assert set(np.unique(two.mask)) == {0, 1, 2}
    np.testing.assert_array_equal(one.mask > 0, one.alpha > 0.5)


def test_crumbs_are_no_part_of_one_animal(segmenter: Segmenter) -> None:
    photo = np.full((64, 64, 3), GREY, np.uint8)
    photo[20:40, 20:40] = photo[20:26, 44:50] = photo[42:44, 30:32] = RED
    one = segmenter(photo, box=(18, 18, 52, 46))
    assert one.mask[30, 30] == one.mask[23, 47] == 1
    assert one.mask[42:44, 30:32].max() == 0
    assert segmenter.refine(one, points=[(30, 30), (31, 43)]).mask[42:44, 30:32].min() == 1


def test_a_click_on_the_background(segmenter: Segmenter, photo: Pixels) -> None:
    answer = segmenter(photo, NOTHING)
    assert answer.label == "background"
    assert not answer.mask.any()
    assert answer.score == pytest.approx(answer.probabilities[0].mean(), abs=0.002)
    assert answer.score > 0.9
    assert answer.polygons() == []
    assert np.asarray(answer.cutout())[..., 3].max() == 0
    refined = segmenter.refine(answer, CAT)
    assert refined.label == "cat"


@pytest.mark.parametrize("orientation", [1, 2, 3, 4, 5, 6, 7, 8])
def test_points_are_those_of_the_upright_photo(
    orientation: int, segmenter: Segmenter, tmp_path: Path
) -> None:
    upright = np.full((60, 100, 3), GREY, np.uint8)
    upright[5:25, 70:95] = RED
    back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # the transposition that undoes each orientation
    stored = Image.fromarray(upright)
    if orientation in back:
        stored = stored.transpose(Image.Transpose(back[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "photo.png", exif=exif)
    answer = segmenter(tmp_path / "photo.png", (80, 15))
    assert answer.size == (100, 60)
    assert answer.label == "cat"
    assert answer.mask[15, 80] == 1
    assert_same(answer, segmenter(upright, (80, 15)))
    assert segmenter.refine(segmenter(tmp_path / "photo.png", (20, 50)), (30, 50)).label == "background"
    with pytest.raises(PromptError, match="photo of 100 x 60"):
        segmenter(tmp_path / "photo.png", (20, 80))


def test_threads_with_photos_of_their_own() -> None:
    generator = np.random.default_rng(0)
    photos = [generator.integers(0, 256, (30 + i, 50 - i, 3), np.uint8) for i in range(COUNT)]
    points = [(20, 15), (5, 25), (25, 3)]

    def ask(photo: Pixels) -> list[Pixels]:
        answers = [Segmenter("tiny-prompt", device="cpu", threads=1)(photo, points[0])]
        for label, point in enumerate(points[1:]):
            answers.append(segmenter.refine(answers[-1], point, label))
        return [answer.probabilities for answer in answers]

    segmenter = Segmenter("tiny-prompt", device="cpu", threads=1)
    alone = [ask(photo) for photo in photos]
    found: dict[int, list[list[Pixels]]] = {}
    barrier = threading.Barrier(16)

    def work(number: int) -> None:
        barrier.wait()
        found[number] = [ask(photos[(number + step) % COUNT]) for step in range(5)]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 16
    for number, answers in found.items():
        for step, answer in enumerate(answers):
            np.testing.assert_array_equal(answer, alone[(number + step) % COUNT])
    assert network.kept() == network.KEPT


def test_ten_thousand_points(segmenter: Segmenter, photo: Pixels) -> None:
    generator = np.random.default_rng(0)
    points = generator.random((10_000, 2)) * (100, 60)
    labels = generator.integers(0, 2, 10_000)
    start = os.times()
    answer = segmenter(photo, points=points, labels=labels)
    assert answer.mask.shape == (60, 100)
    spent = os.times()
    assert spent.user + spent.system - start.user - start.system < 2  # of the CPU, however busy it is
    with pytest.raises(PromptError) as error:
        segmenter(photo, points=points, labels=labels + 1)
    assert len(str(error.value)) < 200
