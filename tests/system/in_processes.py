"""petseg in several processes; `test_fork_spawn` runs one of these functions in a process of its own.

Arguments: function, model, photo. What a child found goes back as the bytes of its mask.
"""

import multiprocessing
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import petseg
from petseg import PetsegError, Segmentation, Segmenter
from petseg.engine import session

CLICK = 25, 30
MODEL, PHOTO = sys.argv[2:4]
PATIENCE = 60


def prompt() -> dict[str, Any]:
    """What the model takes besides the photo."""
    return {"point": CLICK} if Path(MODEL).is_dir() else {}


def pools() -> None:
    """A segmenter goes to the processes of a pool, however they are started, results come back."""
    segmenter = Segmenter(MODEL, device="cpu", threads=2)
    expected = segmenter.segment(PHOTO, **prompt())
    for method in multiprocessing.get_all_start_methods():
        print(method, file=sys.stderr, flush=True)
        in_pool(method, segmenter, expected)


def in_pool(method: str, segmenter: Segmenter, expected: Segmentation) -> None:
    """The same with one way to start them."""
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(2, mp_context=context) as processes:
        answers = list(processes.map(partial(segmenter.segment, **prompt()), [PHOTO] * 6))
    for answer in answers:
        assert answer.mask.tobytes() == expected.mask.tobytes()
        assert answer.scores == expected.scores
        assert (answer.photo == expected.photo).all()
    assert repr(answers[0]) == repr(expected)


def in_child(work: Callable[[], bytes], expected: bytes) -> None:
    """Fork, work, and end as scripts do; the parent waits for it, and for its status."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        os.write(writer, work())
        sys.exit(7)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        assert pipe.read() == expected, "the child's answer"
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7, "the child's end"


def inherited() -> None:
    """What a child inherits, and what it makes itself, work while the parent's threads go on."""
    segmenter, stop = Segmenter(MODEL, device="cpu", threads=2), threading.Event()
    answer = segmenter.segment(PHOTO, **prompt())
    expected = answer.mask.tobytes()

    def go_on() -> None:
        while not stop.is_set():
            assert segmenter.segment(PHOTO, **prompt()).mask.tobytes() == expected

    def again() -> bytes:
        return Segmenter(MODEL, device="cpu", threads=2).segment(PHOTO, **prompt()).mask.tobytes()

    def in_threads() -> bytes:
        workers = [threading.Thread(target=again) for _ in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return again()

    def in_grandchild() -> bytes:
        in_child(lambda: segmenter.segment(PHOTO, **prompt()).mask.tobytes(), expected)
        return expected

    works: list[Callable[[], bytes]] = [
        lambda: segmenter.segment(PHOTO, **prompt()).mask.tobytes(),
        lambda: petseg.segment(PHOTO, model=MODEL, device="cpu", **prompt()).mask.tobytes(),
        lambda: answer.with_threshold(None).mask.tobytes(),
        lambda: b"",  # and ends at once
        again,
        in_threads,
        in_grandchild,
    ]
    busy = [threading.Thread(target=go_on) for _ in range(3)]
    for thread in busy:
        thread.start()
    try:
        for work in works:
            in_child(work, b"" if work is works[3] else expected)
    finally:
        stop.set()
    for thread in busy:
        thread.join(PATIENCE)
    assert again() == expected, "the parent is as before"


def while_opening() -> None:
    """A process that is forked while another thread opens a model opens it itself."""

    def ask() -> bytes:
        return petseg.segment(PHOTO, model=MODEL, device="cpu", **prompt()).mask.tobytes()

    def open_again_and_again() -> None:
        while not stop.is_set():
            session.forget()
            Segmenter(MODEL, device="cpu", threads=2)

    expected, stop, opener = ask(), threading.Event(), threading.Thread(target=open_again_and_again)
    opener.start()
    try:
        for _ in range(10):
            in_child(ask, expected)
    finally:
        stop.set()
        opener.join(PATIENCE)


def map_goes_on() -> None:
    """The results of a map stay with the process that began it."""
    results = Segmenter(MODEL, device="cpu").map([PHOTO] * 9)
    next(results)

    def refused() -> bytes:
        try:
            next(results)
        except PetsegError as error:
            return f"{type(error).__name__}: {error}".encode()
        return b"an answer"

    in_child(
        refused, b"DeviceError: these results come from threads of another process; call map in this one"
    )
    assert len(list(results)) == 8


if __name__ == "__main__":
    globals()[sys.argv[1]]()
    print("done")
