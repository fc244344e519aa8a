"""One model in many threads: the answers are the serial ones, bit by bit, and it is opened once."""

import hashlib
import json
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from PIL import Image

import petseg
from petseg import Segmentation, Segmenter
from petseg.engine import network, session
from petseg.engine.network import KEPT

T = TypeVar("T")
Pixels = NDArray[np.uint8]
THREADS = 64


pytestmark = pytest.mark.usefixtures("fresh_engine")


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The sessions that ONNX Runtime was asked for."""
    sessions: list[object] = []
    start = onnxruntime.InferenceSession

    def count(*arguments: Any, **options: Any) -> Any:
        sessions.append(start(*arguments, **options))
        return sessions[-1]

    monkeypatch.setattr(onnxruntime, "InferenceSession", count)
    return sessions


def draw(seed: int, longest: int = 300) -> Pixels:
    """(H, W, 3) uint8: coloured patches with grain; another seed gives another photo, and size."""
    chance = np.random.default_rng(seed)
    width, height = (int(side) for side in chance.integers(16, longest, 2))
    patches = Image.fromarray(chance.integers(0, 256, (5, 5, 3), np.uint8))
    grain = chance.integers(0, 32, (height, width, 3), np.uint8)
    return np.asarray(patches.resize((width, height), Image.Resampling.NEAREST)) // 8 * 7 + grain


def fingerprint(result: Segmentation) -> str:
    """A hash of every bit of an answer."""
    hashed = hashlib.sha256(result.mask.tobytes() + result.probabilities.tobytes())
    hashed.update(json.dumps([result.label, result.scores, result.size]).encode())
    return hashed.hexdigest()


def in_threads(work: Callable[[int], T], count: int, threads: int = THREADS) -> list[T]:
    """What comes of `work` on 0 .. count - 1; all threads begin at the same moment."""
    together = threading.Barrier(threads)
    with ThreadPoolExecutor(threads, initializer=together.wait, initargs=(60,)) as pool:
        # Fewer items would start fewer threads, and those would wait for the others.
        waiting = [pool.submit(work, number % count) for number in range(max(count, threads))]
        return [future.result() for future in waiting][:count]


# -- answers ------------------------------------------------------------------------------------------------


def test_64_threads_answer_as_one_does(model_path: Path) -> None:
    segmenter = Segmenter(model_path, device="cpu")

    def answer(seed: int) -> str:
        return fingerprint(segmenter(draw(seed)))

    count = 2 * THREADS
    serial = [answer(seed) for seed in range(count)]
    assert len(set(serial)) == count, "the photos are all different, so a mix-up shows"
    assert in_threads(answer, count) == serial


def test_maps_beside_each_other_answer_as_one_does(model_path: Path) -> None:
    segmenter = Segmenter(model_path, device="cpu")
    photos = [draw(seed) for seed in range(40)]
    serial = [fingerprint(segmenter(photo)) for photo in photos]

    def mapped(batch_size: int) -> list[str]:
        return list(segmenter.each(photos, fingerprint, batch_size + 1, workers=4))

    assert in_threads(mapped, 8, threads=8) == [serial] * 8


def click_twice(segmenter: Segmenter, seed: int) -> list[str]:
    """A click, another one on the same photo, perhaps on another animal, and a box."""
    photo = draw(seed)
    height, width = photo.shape[:2]
    first = segmenter.segment(photo, (width // 3, height // 3))
    second = segmenter.refine(first, (width * 2 // 3, height * 2 // 3), label=seed % 2)
    box = width // 4, height // 4, width - 2, height - 2
    several = len(second.prompts) > 1
    third = segmenter.refine(second, boxes=[box]) if several else segmenter.refine(second, box=box)
    return [fingerprint(answer) for answer in (first, second, third)]


def check_clicks(segmenter: Segmenter, photos: int, threads: int) -> None:
    """Clicks in threads are answered as without threads and with nothing kept of other photos."""
    serial = []
    for seed in range(photos):
        network.forget()
        serial.append(click_twice(segmenter, seed))
    # Twice each photo, so that some are found among those kept, and others have just been put away.
    answers = in_threads(lambda number: click_twice(segmenter, number % photos), 2 * photos, threads)
    assert answers == serial * 2
    assert network.kept() == KEPT


def test_clicks_in_threads(prompt_model_path: Path) -> None:
    check_clicks(Segmenter(prompt_model_path, device="cpu"), photos=3 * KEPT, threads=16)


@pytest.mark.slow
def test_clicks_in_threads_with_the_embedded_model() -> None:
    check_clicks(Segmenter("prompt", device="cpu"), photos=5 * KEPT, threads=16)


@pytest.mark.slow
def test_5000_photos_with_the_embedded_model() -> None:
    segmenter = Segmenter(device="cpu")

    def answer(seed: int) -> str:
        return fingerprint(segmenter(draw(seed, 420)))

    count = 5000
    serial = [answer(seed) for seed in range(count)]
    assert len(set(serial)) == count
    assert in_threads(answer, count) == serial


# -- what several threads ask of one answer ------------------------------------------------------------------


def test_threads_share_an_answer(model_path: Path) -> None:
    segmenter, photo = Segmenter(model_path, device="cpu"), draw(1)
    expected, shared = segmenter(photo), segmenter(photo)
    views: tuple[Callable[[Segmentation], Any], ...] = (
        fingerprint,
        lambda answer: answer.overlay().tobytes(),
        lambda answer: answer.cutout().tobytes(),
        Segmentation.polygons,
        lambda answer: fingerprint(answer.with_threshold(0.7)),
    )

    def look(number: int) -> Any:
        return views[number % len(views)](shared)

    assert in_threads(look, THREADS) == [views[number % len(views)](expected) for number in range(THREADS)]


def test_a_photo_that_another_thread_reads_meanwhile(model_path: Path, tmp_path: Path) -> None:
    """Between the look whether the photo was read, and the reading, another thread may be done."""
    Image.fromarray(draw(2)).save(tmp_path / "photo.png")
    segmenter = Segmenter(model_path, device="cpu")
    (answer,) = segmenter.map([tmp_path / "photo.png"], keep_photos=False)
    assert isinstance(answer, Segmentation)
    read = answer._photo
    assert callable(read)

    class Overtaken:
        """What reads the photo; when it is looked at, the other thread puts the pixels in its place."""

        def __call__(self) -> Pixels:
            return read()

        @property
        def __class__(self) -> type:  # what isinstance looks at
            answer._photo = read()
            return Overtaken

    answer._photo = Overtaken()
    np.testing.assert_array_equal(answer.photo, draw(2))


# -- creation ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("model", "sessions"), [("tiny", 1), ("tiny-prompt", 2), (None, 1)])
def test_a_race_makes_one_session(
    weights: Path, started: list[object], model: str | None, sessions: int
) -> None:
    made = in_threads(lambda _: Segmenter(model, device="cpu")._network, THREADS)
    assert len(started) == sessions
    assert len({id(network.decoder) for network in made}) == 1
    assert len({id(network.encoder) for network in made}) == 1


def test_a_race_for_different_models_makes_one_session_each(weights: Path, started: list[object]) -> None:
    asked = [("tiny", 1), ("tiny", 2), ("tiny-prompt", 1)]

    def make(number: int) -> tuple[str, int]:
        name, threads = asked[number % len(asked)]
        segmenter = Segmenter(name, device="cpu", threads=threads)
        return segmenter.name, id(segmenter._network.decoder)

    assert len(set(in_threads(make, THREADS))) == 3
    assert len(started) == 4, "the promptable one has two"


def test_a_session_that_is_open_is_had_while_another_one_is_opened(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Segmenter("tiny", device="cpu")
    start, begun, go_on = session._start, threading.Event(), threading.Event()

    def slow(*arguments: Any) -> Any:
        begun.set()
        assert go_on.wait(60)
        return start(*arguments)

    monkeypatch.setattr(session, "_start", slow)
    with ThreadPoolExecutor(2) as pool:
        other = pool.submit(Segmenter, "tiny-prompt", device="cpu")
        assert begun.wait(60)
        assert pool.submit(Segmenter, "tiny", device="cpu").result(60).name == "tiny"
        assert not other.done()
        go_on.set()
        assert other.result(60).name == "tiny-prompt"


def test_a_failed_race_fails_for_all_and_is_not_kept(tmp_path: Path, model_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(model_path.read_bytes()[:-9])

    def attempt(_: int) -> str:
        try:
            return Segmenter(path, device="cpu").name
        except petseg.ModelError as error:
            return type(error).__name__

    assert in_threads(attempt, THREADS) == ["ModelError"] * THREADS
    path.write_bytes(model_path.read_bytes())
    assert in_threads(attempt, THREADS) == ["tiny"] * THREADS


FIRST_USE = """
import sys, threading
from concurrent.futures import ThreadPoolExecutor
import petseg
together = threading.Barrier(64)
asks = [
    lambda: petseg.segment(sys.argv[1], model=sys.argv[2], device="cpu").label,
    lambda: petseg.Segmenter(sys.argv[2], device="cpu")(sys.argv[1]).label,
    lambda: petseg.list_models()[0].name and "cat",
    lambda: issubclass(petseg.ModelError, petseg.PetsegError) and "cat",
]
with ThreadPoolExecutor(64, initializer=together.wait, initargs=(60,)) as pool:
    print({future.result() for future in [pool.submit(asks[k % 4]) for k in range(64)]})
from petseg.engine import session
print(len(session._alive))
"""


def test_threads_that_are_the_first_to_use_petseg(
    put: Callable[[Path], Path], folder: Path, model_path: Path
) -> None:
    words = [sys.executable, "-c", FIRST_USE, str(put(folder / "photo.png")), str(model_path)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.split("\n")[:2] == ["{'cat'}", "1"], done.stderr[-3000:]
