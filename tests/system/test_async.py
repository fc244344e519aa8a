"""petseg under asyncio, as docs/concurrency.md says."""

import asyncio
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from petseg import ImageError, Segmentation, Segmenter
from petseg.engine import session

Pixels = NDArray[np.uint8]
PATIENCE = 60
DOCUMENT = Path(__file__).parents[2] / "docs" / "concurrency.md"


@pytest.fixture
def segmenter(model_path: Path) -> Segmenter:
    return Segmenter(model_path, device="cpu", threads=1)


@pytest.fixture
def photos(photo: Pixels) -> list[Pixels]:
    """Thirty, all different."""
    return [np.roll(photo, 3 * shift, 1) for shift in range(30)]


def masks(results: list[Segmentation]) -> list[bytes]:
    return [result.mask.tobytes() for result in results]


def test_many_at_once(segmenter: Segmenter, photos: list[Pixels]) -> None:
    async def together() -> list[Segmentation]:
        return await asyncio.gather(*(asyncio.to_thread(segmenter.segment, photo) for photo in photos))

    serial = masks([segmenter.segment(photo) for photo in photos])
    assert len(set(serial)) > 1
    assert masks(asyncio.run(together())) == serial


class Held:
    """The network waits until `go_on`."""

    def __init__(self) -> None:
        self.begun, self.go_on = threading.Event(), threading.Event()

    async def begun_in_loop(self) -> None:
        """Until a photo is at the network."""
        while not self.begun.is_set():
            await asyncio.sleep(0)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Held:
    held, run = Held(), session.Session.run

    def wait(self: session.Session, inputs: Any) -> Any:
        held.begun.set()
        assert held.go_on.wait(PATIENCE)
        return run(self, inputs)

    monkeypatch.setattr(session.Session, "run", wait)
    return held


def test_the_loop_goes_on_meanwhile(segmenter: Segmenter, photo: Pixels, held: Held) -> None:
    async def both() -> Segmentation:
        answer = asyncio.create_task(asyncio.to_thread(segmenter.segment, photo))
        await held.begun_in_loop()
        held.go_on.set()
        return await answer

    assert asyncio.run(both()).label == "cat"


def test_who_is_cancelled_leaves_the_segmenter_as_it_was(
    segmenter: Segmenter, photo: Pixels, held: Held
) -> None:
    async def cancel() -> str:
        answer = asyncio.create_task(asyncio.to_thread(segmenter.segment, photo))
        await held.begun_in_loop()
        answer.cancel()
        with pytest.raises(asyncio.CancelledError):
            await answer
        held.go_on.set()
        return (await asyncio.to_thread(segmenter.segment, photo)).label

    assert asyncio.run(cancel()) == "cat"


def test_errors_arrive(segmenter: Segmenter) -> None:
    async def one() -> None:
        await asyncio.to_thread(segmenter.segment, b"no photo")

    with pytest.raises(ImageError):
        asyncio.run(one())


@pytest.fixture
def documented(segmenter: Segmenter) -> dict[str, Any]:
    """The functions of the document's examples about asyncio, as they stand there."""
    section = DOCUMENT.read_text(encoding="utf-8").partition("## asyncio")[2].partition("\n## ")[0]
    blocks = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    names: dict[str, Any] = {"segmenter": segmenter}
    exec(compile("\n".join(blocks), str(DOCUMENT), "exec"), names)
    return names


@pytest.fixture
def all_threads_end() -> Iterator[None]:
    """Those that a test starts end with it."""
    before = set(threading.enumerate())
    yield
    left = set(threading.enumerate()) - before
    for thread in left:
        thread.join(PATIENCE)
    assert not [thread for thread in left if thread.is_alive()]


def test_the_documented_examples(
    documented: dict[str, Any], segmenter: Segmenter, photos: list[Pixels], all_threads_end: None
) -> None:
    async def stream() -> list[Segmentation]:
        return [result async for result in documented["stream"](photos)]

    expected = masks([segmenter.segment(photo) for photo in photos])
    assert masks([asyncio.run(documented["answer"](photo)) for photo in photos]) == expected
    assert masks(asyncio.run(stream())) == expected


def test_a_documented_stream_that_nobody_reads_to_its_end(
    documented: dict[str, Any], photos: list[Pixels], all_threads_end: None
) -> None:
    async def the_first() -> str:
        async for result in documented["stream"](photos):
            return str(result.label)
        return "nothing"

    assert asyncio.run(the_first()) == "cat"


def test_a_documented_stream_that_is_cancelled_at_a_photo(
    documented: dict[str, Any], photos: list[Pixels], held: Held, all_threads_end: None
) -> None:
    async def cancel() -> None:
        first = asyncio.create_task(anext(documented["stream"](photos)))
        await held.begun_in_loop()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        held.go_on.set()

    asyncio.run(cancel())
