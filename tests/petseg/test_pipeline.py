"""Many photos through a few threads: order, laziness, errors in their place, and threads that end."""

import gc
import io
import os
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageSequence

from petseg import pipeline
from petseg.errors import DeviceError, ImageError, OutputError
from petseg.pipeline import Plan, plan, run
from petseg.segmentation import Segmentation
from petseg.segmenter import Segmenter
from tests.support.tiny_models import RED

CHELSEA = Path(__file__).parents[2] / "docs/chelsea.jpg"


def crew() -> list[threading.Thread]:
    """The pipeline's threads that are alive."""
    return [thread for thread in threading.enumerate() if thread.name.startswith("petseg")]


def double(batch: list[int]) -> list[Any]:
    time.sleep(0.003 * (batch[0] % 3))
    return [2 * item for item in batch]


# -- how work is shared out -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("device", "asked", "expected"),
    [
        ("cpu", {}, Plan(1, 4, 1)),
        ("cpu", {"threads": 2}, Plan(1, 2, 2)),
        ("cpu", {"threads": 9}, Plan(1, 1, 9)),
        ("cpu", {"workers": 1}, Plan(1, 1, 0)),
        ("cpu", {"workers": 2, "batch_size": 8}, Plan(8, 2, 2)),
        ("cpu", {"workers": 9, "threads": 3}, Plan(1, 9, 3)),
        ("cuda:0", {}, Plan(pipeline.GPU_BATCH, 4, 0)),
        ("cuda:1", {"batch_size": 64, "workers": 2}, Plan(64, 2, 0)),
    ],
)
def test_cores_are_shared_out(
    device: str, asked: dict[str, int], expected: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "cores", lambda: 4)
    assert plan(device, **asked) == expected


@pytest.mark.parametrize("name", ["batch_size", "workers"])
@pytest.mark.parametrize("value", [0, -1, 1.5, True, "2"])
def test_bad_plans(name: str, value: Any) -> None:
    with pytest.raises(DeviceError, match=f"{name} is .*at least 1"):
        plan("cpu", **{name: value})


def test_too_many_workers() -> None:
    with pytest.raises(DeviceError, match="at most 256"):
        plan("cpu", workers=257)


# -- the threads ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("batch_size", "workers"), [(1, 1), (1, 4), (3, 2), (7, 3), (100, 2)])
def test_everything_once_and_in_order(batch_size: int, workers: int) -> None:
    found = run(double, range(50), batch_size, workers, return_errors=False)
    assert list(found) == list(range(0, 100, 2))
    assert crew() == []


def test_workers_work_at_the_same_time() -> None:
    together = threading.Barrier(3)

    def meet(batch: list[int]) -> list[int]:
        if batch[0] >= 3:  # the first ones come one by one
            together.wait(timeout=20)
        return batch

    assert list(run(meet, range(9), 1, 3, return_errors=False)) == list(range(9))


@pytest.mark.parametrize(("batch_size", "workers"), [(1, 2), (4, 2), (2, 5)])
def test_nothing_is_read_without_need(batch_size: int, workers: int) -> None:
    taken = 0

    def endless() -> Iterator[int]:
        nonlocal taken
        while True:
            taken += 1
            yield taken

    found = run(double, endless(), batch_size, workers, return_errors=False)
    assert taken == 0
    for given in range(1, 60):
        assert next(found) == 2 * given
        answered = (given - 1) // batch_size
        assert taken <= batch_size * (answered + min(workers + 1, max(1, answered)))
    assert taken > 60
    found.close()


def test_a_source_is_not_asked_again_after_its_end() -> None:
    class Source:
        left = 3

        def __iter__(self) -> "Source":
            return self

        def __next__(self) -> int:
            assert self.left >= 0, "asked after its end"
            self.left -= 1
            if self.left < 0:
                raise StopIteration
            return self.left

    assert list(run(double, Source(), 1, 2, return_errors=False)) == [4, 2, 0]


@pytest.mark.parametrize("ending", ["close", "drop", "error", "source", "work"])
def test_threads_end_with_the_iterator(ending: str) -> None:
    def source() -> Iterator[int]:
        yield from range(10)
        if ending == "source":
            raise OSError("the disk is gone")
        yield from range(10, 40)

    def work(batch: list[int]) -> list[Any]:
        if ending == "work" and batch[0] == 10:
            raise DeviceError("the device gave up")
        return [ImageError("damaged") if ending == "error" and item == 10 else item for item in batch]

    found = run(work, source(), 1, 3, return_errors=False)
    assert [next(found) for _ in range(10)] == list(range(10))  # all before the fault are given
    assert crew()
    if ending == "close":
        found.close()
    elif ending == "drop":
        del found
        gc.collect()
    else:
        error, message = {
            "error": (ImageError, "damaged"),
            "source": (OSError, "disk is gone"),
            "work": (DeviceError, "gave up"),
        }[ending]
        with pytest.raises(error, match=message):
            next(found)
    assert crew() == []


def test_what_was_given_is_not_kept() -> None:
    class Large:
        pass

    found = run(lambda batch: [Large() for _ in batch], range(6), 3, 1, return_errors=False)
    first = weakref.ref(next(found))
    gc.collect()
    assert first() is None
    found.close()


# -- photos ---------------------------------------------------------------------------------------------


@pytest.fixture
def segmenter(model_path: Path) -> Segmenter:
    return Segmenter(model_path, device="cpu")


@pytest.mark.parametrize(("workers", "threads"), [(1, 0), (3, 0), (2, 2)])
def test_map_answers_like_single_calls(model_path: Path, workers: int, threads: int) -> None:
    segmenter = Segmenter(model_path, device="cpu", threads=threads)
    given = [np.full((30 + i, 50, 3), RED, np.uint8) for i in range(12)]
    results = list(segmenter.map(given, workers=workers))
    assert [result.size for result in results] == [(50, 30 + i) for i in range(12)]
    for result, photo in zip(results, given, strict=True):
        np.testing.assert_array_equal(result.mask, segmenter(photo).mask)
        np.testing.assert_array_equal(result.photo, photo)


def test_each_finishes_in_the_threads_and_reports_its_errors(segmenter: Segmenter) -> None:
    def finish(result: Segmentation) -> str:
        assert threading.current_thread() in crew()
        if result.size[0] == 2:
            raise OutputError("no room")
        return result.label

    given = [np.full((2, width, 3), RED, np.uint8) for width in (1, 2, 3)]
    first, error, last = segmenter.each(given, finish, return_errors=True)
    assert (first, last) == ("cat", "cat")
    assert isinstance(error, OutputError)
    with pytest.raises(OutputError, match="no room"):
        list(segmenter.each(given, finish))


def test_photos_that_are_not_kept_are_read_again(
    segmenter: Segmenter, photo: NDArray[np.uint8], tmp_path: Path
) -> None:
    paths = [tmp_path / f"{name}.png" for name in ("stays", "goes", "changes")]
    for path in paths:
        Image.fromarray(photo).save(path)
    given = [*paths, paths[0].read_bytes(), paths[0].open("rb"), photo]
    stays, goes, changes, *others = segmenter.map(given, keep_photos=False)
    given[-2].close()
    paths[1].unlink()
    Image.fromarray(photo[1:]).save(paths[2])
    for result in (stays, *others):
        np.testing.assert_array_equal(result.photo, photo)
        assert result.cutout().size == (100, 60)
    assert goes.with_threshold(0.3).label == "cat"  # which needs no photo
    with pytest.raises(ImageError, match="does not exist"):
        goes.overlay()
    with pytest.raises(ImageError, match=r"changes.png' was changed after it was taken"):
        changes.overlay()


def frames(folder: Path, kind: str, count: int = 6) -> Iterator[Any]:
    """Frames of growing size or changing colour, each in the place of the one before."""
    colours = [RED if i % 2 == 0 else (90, 110, 90) for i in range(count)]
    if kind == "array":
        buffer = np.empty((20, 30, 3), np.uint8)
        for colour in colours:
            buffer[...] = colour
            yield buffer
    elif kind == "image":
        canvas = Image.new("RGB", (30, 20))
        for colour in colours:
            canvas.paste(colour, (0, 0, 30, 20))
            yield canvas
    elif kind == "animation":
        images = [Image.new("RGB", (30, 20), colour) for colour in colours]
        file = io.BytesIO()
        images[0].save(file, "TIFF", save_all=True, append_images=images[1:])
        yield from ImageSequence.Iterator(Image.open(file))
    else:
        stream = io.BytesIO()
        encoded = bytearray()
        for colour in colours:
            stream.seek(0)
            stream.truncate()
            Image.new("RGB", (30, 20), colour).save(stream, "PNG")
            encoded[:] = stream.getvalue()
            yield stream if kind == "stream" else encoded


@pytest.mark.parametrize("kind", ["array", "image", "animation", "stream", "bytearray"])
@pytest.mark.parametrize("keep_photos", [True, False])
def test_a_source_may_give_one_object_for_every_frame(
    segmenter: Segmenter, tmp_path: Path, kind: str, keep_photos: bool
) -> None:
    found = list(segmenter.map(frames(tmp_path, kind), 2, workers=2, keep_photos=keep_photos))
    expected = [RED, (90, 110, 90)] * 3
    assert [tuple(result.photo[0, 0]) for result in found] == expected
    for result, colour in zip(found, expected, strict=True):
        assert result.label == segmenter(np.full((20, 30, 3), colour, np.uint8)).label


def test_one_file_for_every_frame_is_an_error_and_no_wrong_answer(
    segmenter: Segmenter, tmp_path: Path
) -> None:
    def source() -> Iterator[Path]:
        for side in range(10, 16):
            Image.new("RGB", (side, side), RED).save(tmp_path / "frame.png")
            yield tmp_path / "frame.png"

    results = list(segmenter.map(source(), 2, workers=2, return_errors=True))
    assert len(results) == 6
    for side, result in zip(range(10, 16), results, strict=True):
        if isinstance(result, ImageError):
            assert "was changed after it was taken; give each photo a file of its own" in str(result)
        else:
            assert result.size == (side, side)
    assert any(isinstance(result, ImageError) for result in results)


def test_a_path_means_the_folder_it_was_given_in(
    segmenter: Segmenter, photo: NDArray[np.uint8], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.fromarray(photo).save(tmp_path / "x.png")
    monkeypatch.chdir(tmp_path)
    results = segmenter.map(["x.png", "x.png", "x.png"], 3, keep_photos=False)
    first = next(results)
    monkeypatch.chdir("/")
    assert [result.size for result in results] == [(100, 60)] * 2
    np.testing.assert_array_equal(first.photo, photo)


def test_a_photo_that_was_exchanged_is_not_read_again(
    segmenter: Segmenter, photo: NDArray[np.uint8], tmp_path: Path
) -> None:
    path = tmp_path / "x.png"
    Image.fromarray(photo).save(path)
    (result,) = segmenter.map([path], keep_photos=False)
    Image.fromarray(photo[::-1]).save(path)
    os.utime(path, ns=(1, 1))
    with pytest.raises(ImageError, match=r"x.png' was changed after it was taken.*segment it again"):
        result.overlay()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "got None; give a list"),
        (7, "got 7; give a list"),
        ("x.jpg", "got one; put it into a list"),
        (Path("x.jpg"), "got one"),
        (b"x", "got one"),
        (bytearray(b"x"), "got one"),
        (memoryview(b"x"), "got one"),
        (io.BytesIO(b"x"), "got one"),
        (Image.new("RGB", (3, 3)), "got one"),
        (np.zeros((5, 5, 3), np.uint8), "got one"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_not_many_photos(segmenter: Segmenter, given: Any, said: str) -> None:
    with pytest.raises(ImageError, match=said):
        list(segmenter.map(given))


def test_an_array_of_photos_is_many(segmenter: Segmenter) -> None:
    assert len(list(segmenter.map(np.zeros((3, 5, 5, 3), np.uint8)))) == 3


def test_so_is_a_column_of_paths(segmenter: Segmenter, tmp_path: Path) -> None:
    """As a table of pandas has it, which also becomes an array of one axis."""
    paths = [str(tmp_path / name) for name in ("a.png", "b.png")]
    for path in paths:
        Image.new("RGB", (5, 4)).save(path)
    for dtype in (None, object):
        column = np.array(paths, dtype)
        assert [result.source for result in segmenter.map(column)] == paths


@pytest.fixture(scope="module")
def real() -> Segmenter:
    """The embedded default model, as it answers most evenly."""
    return Segmenter(device="cpu", precision="float32")


@pytest.mark.parametrize(
    ("size", "reduced", "orientation"),
    [((4800, 3600), 1200, 6), ((2600, 1950), 1300, 1), ((1300, 975), 1300, 8)],
)
def test_a_reduced_decode_gives_the_same_mask(
    real: Segmenter, size: tuple[int, int], reduced: int, orientation: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = []
    load_reduced = pipeline.load_reduced

    def spy(*arguments: Any, **options: Any) -> Any:
        decoded.append(load_reduced(*arguments, **options))
        return decoded[-1]

    monkeypatch.setattr(pipeline, "load_reduced", spy)
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    stored_as = {6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    with Image.open(CHELSEA) as image:
        upright = image.resize(size, Image.Resampling.BICUBIC)
    stored = upright.transpose(stored_as[orientation]) if orientation in stored_as else upright
    stored.save(file, "JPEG", quality=92, exif=exif)
    (whole,) = real.map([file.getvalue()])
    (quick,) = real.map([file.getvalue()], keep_photos=False)
    assert max(decoded[1][0].shape) == reduced
    assert quick.size == whole.size == size
    assert quick.mask.shape == whole.mask.shape == whole.photo.shape[:2]
    assert (quick.mask == whole.mask).mean() >= 0.99
    assert quick.label == whole.label
    assert quick.score == pytest.approx(whole.score, abs=0.005)


def test_numbers_of_numpy_are_numbers() -> None:
    assert plan("cpu", 2, np.int64(3), np.uint8(4)) == Plan(3, 4, 2)  # type: ignore[arg-type]
