"""Many things through a few threads: in order, lazily, with bounded memory.

Decoding, resizing and the network release Python's lock, so threads use all cores; each takes a batch all the
way through, because one network per core does more work than one network on all of them.
"""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Generic, NamedTuple, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from petseg.engine.network import Network, planes
from petseg.engine.second_look import Look, look_again
from petseg.errors import DeviceError, ImageError, PetsegError
from petseg.pixels.geometry import Letterbox
from petseg.pixels.image import ImageInput, load_reduced
from petseg.pixels.taken import Item, PhotoFile, Taken
from petseg.segmentation import Pixels, Segmentation

T = TypeVar("T")
R = TypeVar("R")

MAX_WORKERS = 256
GPU_BATCH = 16
"""Photos that go through a network on a GPU together, if nobody says how many."""
GPU_WORKERS = 8
"""Threads that feed a GPU, at most, if nobody says how many."""


@dataclass(frozen=True)
class Plan:
    """How work is shared out.

    Attributes:
        batch_size: photos that go through the network together.
        workers: batches that are worked on at the same time, each by one thread.
        threads: of the network in each of them; 0 is all cores.
    """

    batch_size: int
    workers: int
    threads: int


def plan(device: str, threads: int = 0, batch_size: int | None = None, workers: int | None = None) -> Plan:
    """Share out the cores of this machine.

    Args:
        device: where the network runs, as `Segmenter.device` says.
        threads: of one network; 0 leaves each worker its share of the cores.
        batch_size: None is 1 on the CPU, whose caches larger batches overflow, else `GPU_BATCH`.
        workers: None is as many as keep all cores busy, for a GPU at most `GPU_WORKERS`.

    Raises:
        DeviceError: a batch size or a number of workers that is no whole number of at least 1, or too many.
    """
    on_cpu = device == "cpu"
    if batch_size is None:
        batch_size = 1 if on_cpu else GPU_BATCH
    if workers is None:
        workers = max(1, cores() // max(1, threads)) if on_cpu else min(cores(), GPU_WORKERS)
    for name, value in (("batch_size", batch_size), ("workers", workers)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
            raise DeviceError(f"{name} is {value!r}; give a whole number of at least 1")
    if workers > MAX_WORKERS:
        raise DeviceError(f"workers is {workers}; give at most {MAX_WORKERS}")
    if threads == 0 and on_cpu and workers > 1:
        threads = max(1, cores() // workers)
    return Plan(int(batch_size), int(workers), threads)


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run(
    work: Callable[[list[T]], list[R | PetsegError]],
    items: Iterable[T],
    batch_size: int,
    workers: int,
    *,
    return_errors: bool,
) -> Generator[R | PetsegError, None, None]:
    """Do work in threads, and give what comes of it, in order.

    At most `workers + 1` batches are under way, and never more than were answered before (but one): whoever
    takes a few results only has few items read. The threads end with the iterator, however that ends.

    Args:
        work: a batch -> a result, or an error in its place, for each item; runs in a thread.
        items: taken in the caller's thread.
        batch_size, workers: see `Plan`.
        return_errors: give errors in their place instead of raising the first.

    Raises:
        PetsegError: see `return_errors`.
        DeviceError: this process was forked from the one that began, whose threads are not here.
        Exception: what `work` or `items` raised, once the results before it were given.
    """
    source, more, failure = iter(items), True, None
    under_way: deque[Future[list[R | PetsegError]]] = deque()
    answered, pool = 0, ThreadPoolExecutor(workers, thread_name_prefix="petseg")
    process = os.getpid()
    try:
        while True:
            if os.getpid() != process:
                raise DeviceError("these results come from threads of another process; call map in this one")
            while more and len(under_way) < min(workers + 1, max(1, answered)):
                batch, failure = _take(source, batch_size)
                more = len(batch) == batch_size
                if batch:
                    under_way.append(pool.submit(work, batch))
            if not under_way:
                break
            results = deque(under_way.popleft().result())
            while results:  # what was given stays in nobody's memory but the receiver's
                if not return_errors and isinstance(results[0], PetsegError):
                    raise cast(PetsegError, results.popleft())
                yield results.popleft()
            answered += 1
        if failure is not None:
            raise failure
    finally:
        pool.shutdown(cancel_futures=True)


def _take(source: Iterator[T], count: int) -> tuple[list[T], Exception | None]:
    """The next items, and what kept the source from giving more of them."""
    taken: list[T] = []
    try:
        for item in islice(source, count):
            taken.append(item)
    except Exception as error:
        return taken, error
    return taken, None


class _Fitted(NamedTuple):
    """A photo as the network sees it.

    Attributes:
        square: (S, S, 3) uint8.
        letterbox: how the photo was fitted.
        pixels: (h, w, 3) uint8, the photo or a smaller copy of it.
        photo: what the result keeps.
    """

    square: NDArray[np.uint8]
    letterbox: Letterbox
    pixels: NDArray[np.uint8]
    photo: Pixels


@dataclass(frozen=True, eq=False)
class Work(Generic[R]):
    """From a batch of photos to what is wanted of their results; any number of threads may share it.

    Attributes:
        network: finds all pets.
        result: makes a result of logits (3, S, S), letterbox and photo.
        finish: makes what is wanted of a result.
        keep_photos: whether a result holds the photo of a file or of bytes, or reads it again if need be.
        max_pixels: see `petseg.pixels.image.load`.
    """

    network: Network
    result: Callable[[NDArray[np.float32], Letterbox, Pixels], Segmentation]
    finish: Callable[[Segmentation], R]
    keep_photos: bool
    max_pixels: int

    def __call__(self, items: list[Item]) -> list[R | PetsegError]:
        """What is wanted, or an error, for each photo."""
        run, fill, doubt = self.network.run, self.network.manifest.fill, self.network.manifest.doubt
        photos = [self._fit(item.taken) for item in items]
        squares = [photo.square for photo in photos if not isinstance(photo, PetsegError)]
        answers = iter(run(planes(squares)) if squares else ())
        results: list[R | PetsegError] = []
        for item, photo in zip(items, photos, strict=True):
            try:
                if isinstance(photo, PetsegError):
                    raise photo
                first = Look(next(answers), photo.letterbox)
                look = look_again(first, photo.pixels, fill, run, doubt=doubt)
                result = self.result(*look, photo.photo)
                result.source = item.source
                results.append(self.finish(result))
            except PetsegError as error:
                results.append(error)
        return results

    def _fit(self, taken: Taken) -> _Fitted | PetsegError:
        if isinstance(taken, PetsegError):
            return taken
        size, fill = self.network.manifest.size, self.network.manifest.fill
        again = not self.keep_photos and isinstance(taken, PhotoFile | bytes)
        try:
            # Thrice what the network needs: the rest of the way is resized as well as ever.
            pixels, sides = _read(taken, 3 * size if again else 0, self.max_pixels)
        except PetsegError as error:
            return error
        letterbox = Letterbox.fit(*sides, size)
        photo = partial(_read_again, taken, sides, self.max_pixels) if again else pixels
        return _Fitted(letterbox.apply(pixels, fill), letterbox, pixels, photo)


def _read(taken: Taken, least: int, max_pixels: int) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """As `load_reduced`; pixels are there already."""
    if isinstance(taken, PetsegError):
        raise taken
    if isinstance(taken, np.ndarray):
        return taken, (taken.shape[1], taken.shape[0])
    if isinstance(taken, PhotoFile):
        taken.check()
        taken_from: ImageInput = taken.path
    else:
        taken_from = taken
    return load_reduced(taken_from, least, max_pixels=max_pixels)


def _read_again(taken: Taken, sides: tuple[int, int], max_pixels: int) -> NDArray[np.uint8]:
    photo, now = _read(taken, 0, max_pixels)
    if now != sides:
        raise ImageError(
            f"the photo of {sides[0]} x {sides[1]} pixels has another size now; segment it again, "
            "or let map keep the photos"
        )
    return photo
