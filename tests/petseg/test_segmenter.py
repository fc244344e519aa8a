import io
import itertools
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from PIL import Image

import petseg
from petseg.engine import second_look
from petseg.engine import session as runtime
from petseg.errors import DeviceError, ImageError, ImageTooLargeError, ModelError, OutputError, PromptError
from petseg.segmenter import Segmenter, segment
from tests.support.tiny_models import BLUE, GREY, RED, SIZE, build_model, manifest

Pixels = NDArray[np.uint8]
CAT, DOG = (slice(15, 45), slice(10, 40)), (slice(15, 45), slice(60, 80))


pytestmark = pytest.mark.usefixtures("fresh_engine", "weights")


def iou(found: Any, expected: tuple[slice, slice], shape: tuple[int, ...]) -> float:
    truth = np.zeros(shape[:2], bool)
    truth[expected] = True
    return float((found & truth).sum() / (found | truth).sum())


# -- one photo ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("resize", ["smooth", "nearest"])
def test_cat_and_dog_are_found_where_they_are(photo: Pixels, resize: Any) -> None:
    answer = Segmenter(resize=resize)(photo)
    assert answer.mask.shape == photo.shape[:2]
    assert answer.label == "cat"
    assert answer.score > 0.5
    assert answer.model == "tiny"
    assert iou(answer.mask == 1, CAT, photo.shape) > 0.85
    assert iou(answer.mask == 2, DOG, photo.shape) > 0.85


def test_padding_takes_no_part(photo: Pixels) -> None:
    answer = Segmenter()(np.full((4, 100, 3), RED, np.uint8))
    assert (answer.mask == 1).all()


def test_orientation_goes_before_everything(photo: Pixels, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its left side
    Image.fromarray(np.ascontiguousarray(np.rot90(photo))).save(tmp_path / "photo.png", exif=exif)
    answer = Segmenter()(tmp_path / "photo.png")
    assert answer.size == (100, 60)
    np.testing.assert_array_equal(answer.mask, Segmenter()(photo).mask)


def test_one_pixel() -> None:
    answer = Segmenter()(np.full((1, 1, 3), BLUE, np.uint8))
    assert answer.mask.tolist() == [[2]]
    assert answer.label == "dog"


def test_properties() -> None:
    segmenter = Segmenter("tiny", device="cpu")
    assert (segmenter.name, segmenter.device, segmenter.manifest.size) == ("tiny", "cpu", SIZE)
    assert repr(segmenter) == "<Segmenter 'tiny' on cpu in float32>"


def test_files_and_folders_are_models_too(model_path: Path, prompt_model_path: Path, photo: Pixels) -> None:
    for path in (model_path, prompt_model_path):
        assert Segmenter(path).name == Segmenter(str(path)).name == path.stem


def test_embedded_weights_are_verified(weights: Path) -> None:
    with (weights / "tiny.onnx").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(ModelError, match=r"wrong sha256.*reinstall petseg"):
        Segmenter("tiny")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"model": "unett"}, ModelError, r"no model 'unett'; give one of tiny, tiny-prompt"),
        ({"model": "missing.onnx"}, ModelError, r"missing.onnx.*check the path"),
        ({"device": "gpu"}, DeviceError, "give 'auto', 'cpu', 'cuda'"),
        ({"threads": -1}, DeviceError, "give 0"),
        ({"resize": "cubic"}, OutputError, "give 'smooth' or 'nearest'"),
    ],
)
def test_bad_options(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Segmenter(**options)


def test_limit_of_pixels(photo: Pixels) -> None:
    with pytest.raises(ImageTooLargeError, match="limit of 5,999"):
        Segmenter(max_pixels=5999)(photo)
    assert Segmenter(max_pixels=6000)(photo).size == (100, 60)


# -- prompts --------------------------------------------------------------------------------------------


def test_a_click_answers_for_what_is_clicked(photo: Pixels) -> None:
    segmenter = Segmenter("tiny-prompt")
    cat, dog = segmenter(photo, (25, 30)), segmenter(photo, point=(70, 30))
    assert (cat.label, dog.label) == ("cat", "dog")
    assert not (cat.mask == 2).any()
    assert not (dog.mask == 1).any()
    assert cat.mask[30, 25] == 1
    assert segmenter(photo, (50, 5)).label == "background"


def test_negative_clicks_and_boxes_reach_the_network(photo: Pixels) -> None:
    segmenter = Segmenter("tiny-prompt")
    both = segmenter(photo, points=[(25, 30), (70, 30)])
    assert {1, 2} <= set(np.unique(both.mask))
    one = segmenter(photo, points=[(25, 30), (70, 30)], labels=[1, 0])
    assert set(np.unique(one.mask)) == {0, 1}
    boxed = segmenter(photo, box=(8, 12, 44, 48))
    assert iou(boxed.mask == 1, CAT, photo.shape) > 0.85
    assert not (boxed.mask == 2).any()


def test_a_promptable_model_in_one_graph(photo: Pixels, tmp_path: Path) -> None:
    onnx.save(build_model(prompts=True), tmp_path / "one.onnx")
    one, two = Segmenter(tmp_path / "one.onnx"), Segmenter("tiny-prompt")
    np.testing.assert_array_equal(one(photo, (25, 30)).probabilities, two(photo, (25, 30)).probabilities)


@pytest.mark.parametrize(
    ("model", "prompt", "message"),
    [
        ("tiny", {"point": (5, 5)}, "'tiny' takes no point; leave it out, or use the model 'tiny-prompt'"),
        ("tiny", {"box": (5, 5, 9, 9)}, "'tiny' takes no box; .* the model 'tiny-prompt'"),
        ("tiny", {"point": (500, 5)}, "outside the photo of 100 x 60"),
        ("tiny-prompt", {}, "'tiny-prompt' answers for what is pointed at; give a point or a box"),
        ("tiny-prompt", {"point": (100, 5)}, "outside the photo of 100 x 60"),
    ],
)
def test_prompts_that_do_not_fit(photo: Pixels, model: str, prompt: dict[str, Any], message: str) -> None:
    with pytest.raises(PromptError, match=message):
        Segmenter(model)(photo, **prompt)


def test_no_model_takes_a_point(photo: Pixels, weights: Path, model_path: Path) -> None:
    (weights / "index.json").unlink()
    with pytest.raises(PromptError, match="no installed model takes one"):
        Segmenter(model_path)(photo, (5, 5))


# -- many photos ----------------------------------------------------------------------------------------


def photos(count: int) -> list[Pixels]:
    """Of different sizes and colours."""
    made = []
    for i, colour in zip(range(count), itertools.cycle([RED, BLUE, GREY]), strict=False):
        made.append(np.full((20 + 7 * i, 90 - 5 * i, 3), colour, np.uint8))
    return made


@pytest.mark.parametrize("batch_size", [1, 3, 7, 100])
def test_map_gives_what_single_calls_give_in_order(batch_size: int) -> None:
    segmenter, given = Segmenter(threads=1), photos(7)
    results = list(segmenter.map(given, batch_size))
    assert [result.label for result in results] == [
        "cat",
        "dog",
        "background",
        "cat",
        "dog",
        "background",
        "cat",
    ]
    for result, image in zip(results, given, strict=True):
        np.testing.assert_array_equal(result.mask, segmenter(image).mask)


def test_map_really_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    batches, run = [], runtime.Session.run

    def spy(self: Any, inputs: Any) -> Any:
        batches.append(len(inputs["image"]))
        return run(self, inputs)

    monkeypatch.setattr(runtime.Session, "run", spy)
    monkeypatch.setattr(second_look, "worth", lambda first: [])
    assert len(list(Segmenter().map(photos(7), batch_size=3))) == 7
    assert batches == [3, 3, 1]


def test_map_reads_no_more_than_a_batch_ahead() -> None:
    taken = 0

    def endless() -> Iterator[Pixels]:
        nonlocal taken
        for image in itertools.cycle(photos(3)):
            taken += 1
            yield image

    results = Segmenter().map(endless(), batch_size=4)
    assert taken == 0
    next(results)
    assert taken == 4
    for _ in range(4):
        next(results)
    assert taken == 8


def test_map_of_nothing() -> None:
    assert list(Segmenter().map([])) == []


def test_map_answers_for_those_before_a_bad_photo() -> None:
    first, second, *_ = photos(2)
    results = Segmenter().map([first, second, b"no photo", first], batch_size=4)
    assert [next(results).label, next(results).label] == ["cat", "dog"]
    with pytest.raises(ImageError, match="convert it to JPEG"):
        next(results)


def test_map_can_return_errors_in_place() -> None:
    given: list[Any] = [b"no photo", *photos(2), Path("missing.jpg"), photos(1)[0], b""]
    results = list(Segmenter().map(given, batch_size=2, return_errors=True))
    assert [isinstance(result, ImageError) for result in results] == [True, False, False, True, False, True]
    assert "missing.jpg" in str(results[3])


@pytest.mark.parametrize("batch_size", [0, -1, 1.5, True])
def test_bad_batch_size(batch_size: Any) -> None:
    with pytest.raises(DeviceError, match="at least 1"):
        Segmenter().map([], batch_size)


@pytest.mark.parametrize(
    "given",
    [
        "photo.jpg",
        Path("photo.jpg"),
        b"bytes",
        bytearray(b"bytes"),
        np.zeros((5, 5, 3), np.uint8),
        np.zeros((5, 5)),
        Image.new("RGB", (5, 5)),
        io.BytesIO(b"bytes"),
    ],
)
def test_map_takes_no_single_photo(given: Any) -> None:
    with pytest.raises(ImageError, match="put it into a list"):
        Segmenter().map(given)


@pytest.mark.parametrize("given", [None, 5, object()])
def test_map_takes_what_is_iterable(given: Any) -> None:
    with pytest.raises(ImageError, match="give a list"):
        Segmenter().map(given)


@pytest.mark.parametrize("keep_photos", [True, False])
def test_a_result_knows_where_its_photo_came_from(photo: Pixels, tmp_path: Path, keep_photos: bool) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(photo).save(path)
    data = path.read_bytes()
    with path.open("rb") as file, Image.open(path) as image:
        given = [path, str(path), file, image, data, io.BytesIO(data), photo]
        expected = [str(path)] * 4 + [None] * 3
        segmenter = Segmenter()
        assert [segmenter(each).source for each in given] == expected
        found = list(segmenter.map(given, 2, keep_photos=keep_photos))
    assert [result.source for result in found] == expected
    assert found[0].with_threshold(0.4).source == found[0].thumbnail(20).source == str(path)


def test_an_answer_to_a_further_click_has_the_source_of_the_first(photo: Pixels, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(photo).save(path)
    segmenter = Segmenter("tiny-prompt")
    assert segmenter.refine(segmenter(path, (25, 30)), (30, 30)).source == str(path)


def test_map_needs_a_model_without_prompts() -> None:
    with pytest.raises(PromptError, match="give a point or a box"):
        Segmenter("tiny-prompt").map([])


# -- sharing --------------------------------------------------------------------------------------------


def test_threads_share_one_session_and_get_what_one_would() -> None:
    given = photos(8)
    alone = [Segmenter(threads=1)(image) for image in given]
    runtime.forget()
    opened, barrier, lock = [], threading.Barrier(16), threading.Lock()
    answers: dict[int, list[Any]] = {}

    def work(number: int) -> None:
        barrier.wait()
        segmenter = Segmenter(threads=1)
        found = [segmenter(image) for image in given]
        with lock:
            opened.append(segmenter._network.decoder)
            answers[number] = found

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 16
    assert len({id(session) for session in opened}) == 1
    for found in answers.values():
        for one, expected in zip(found, alone, strict=True):
            np.testing.assert_array_equal(one.probabilities, expected.probabilities)


def test_segment_keeps_the_model_loaded(photo: Pixels, monkeypatch: pytest.MonkeyPatch) -> None:
    starts, start = [], runtime._start

    def spy(*args: Any) -> Any:
        starts.append(args)
        return start(*args)

    monkeypatch.setattr(runtime, "_start", spy)
    answers = [segment(photo), petseg.segment(photo, threads=0), segment(photo, model="tiny")]
    assert len(starts) == 1
    assert [answer.label for answer in answers] == ["cat"] * 3


def test_segment_passes_everything_on(photo: Pixels, prompt_model_path: Path) -> None:
    clicked = segment(photo, (70, 30), model=prompt_model_path, device="cpu", threads=1)
    assert (clicked.label, clicked.model) == ("dog", "tiny-prompt")
    boxed = segment(photo, points=[(25, 30)], labels=[1], box=(8, 12, 44, 48), model="tiny-prompt")
    assert boxed.label == "cat"


def test_segment_chooses_the_model_by_what_is_asked(photo: Pixels) -> None:
    assert segment(photo).model == "tiny"
    for asked in ({"point": (25, 30)}, {"points": [(25, 30)]}, {"box": (8, 12, 44, 48)}):
        answer = segment(photo, **asked)
        assert (answer.model, answer.label) == ("tiny-prompt", "cat")
    with pytest.raises(
        PromptError, match="'tiny' takes no point; leave it out, or use the model 'tiny-prompt'"
    ):
        segment(photo, (25, 30), model="tiny")
    with pytest.raises(PromptError, match="labels are given without points"):
        segment(photo, labels=[1])


def test_segment_without_a_promptable_model(photo: Pixels, weights: Path) -> None:
    index = json.loads((weights / "index.json").read_text())
    del index["models"]["tiny-prompt"]
    (weights / "index.json").write_text(json.dumps(index))
    assert segment(photo).label == "cat"
    with pytest.raises(PromptError, match="no installed model takes a point; leave it out, or give the path"):
        segment(photo, (25, 30))
    (weights / "index.json").unlink()
    with pytest.raises(ModelError, match="holds no weights"):
        segment(photo, (25, 30))


@pytest.mark.parametrize("sure", [0.95, 0.7])
def test_a_model_says_how_sure_of_a_pet_it_has_to_be(sure: float, tmp_path: Path) -> None:
    """In a batch, in a smaller copy and with a threshold of one's own, too."""
    onnx.save(build_model(document=manifest(doubt=False, sure=sure)), path := tmp_path / "model.onnx")
    photo = np.full((100, 120, 3), GREY, np.uint8)
    photo[20:80, 30:90] = (190, 130, 130)  # a cat with a probability of 0.8
    segmenter = Segmenter(path, device="cpu", threads=1)
    for result in (segmenter(photo), segmenter(photo).thumbnail(60), *segmenter.map([photo])):
        assert result.label == ("background" if sure > 0.8 else "cat")
        assert result.with_threshold(0.6).label == "cat"


@pytest.mark.parametrize("doubt", [True, False])
def test_what_a_model_is_little_sure_of_is_no_pet_unless_it_says_so(doubt: bool, tmp_path: Path) -> None:
    """In a batch of photos, too. By its colour the cat is one with a probability of 0.8."""
    onnx.save(build_model(document=manifest(doubt=doubt)), path := tmp_path / "model.onnx")
    photo = np.full((100, 120, 3), GREY, np.uint8)
    photo[20:80, 30:90] = (190, 130, 130)
    photo[20:24, 30:90] = RED  # a strip of it is sure: enough of the photo, not of the cat
    segmenter = Segmenter(path, device="cpu", threads=1)
    for result in (segmenter(photo), *segmenter.map([photo])):
        assert result.label == ("background" if doubt else "cat")
