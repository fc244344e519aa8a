"""Load a model once, ask it many times, from many threads."""

import os
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Literal, overload

import numpy as np
from numpy.typing import NDArray

from petseg import catalog, prompts, runtime
from petseg.errors import DeviceError, ImageError, PetsegError, PromptError
from petseg.geometry import Letterbox
from petseg.image import DEFAULT_MAX_PIXELS, ImageInput, load
from petseg.manifest import Manifest
from petseg.prompts import Box, Labels, Point, Points, Prompt
from petseg.segmentation import Resize, Segmentation, check_resize


class Segmenter:
    """A model, ready to run; one may be shared by any number of threads.

    Segmenters of the same model, device and number of threads share one session, so making another one
    is cheap.

    Example:
        >>> segmenter = petseg.Segmenter()
        >>> for result in segmenter.map(["cat.jpg", "dog.jpg"]):
        ...     print(result.label, result.score)
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        device: str = "auto",
        threads: int = 0,
        max_pixels: int = DEFAULT_MAX_PIXELS,
        resize: Resize = "smooth",
    ) -> None:
        """Find and load the model.

        Args:
            model: name of an embedded model or path of an .onnx file; None is the default model.
            device: "cpu", "cuda", "cuda:N", or "auto": the GPU if there is one that works, else the CPU.
            threads: for the CPU; 0 is the runtime's own choice, all cores.
            max_pixels: photos with more are refused before they are decoded.
            resize: "smooth" or "nearest" (cheaper): how masks get the photo's size.

        Raises:
            ModelError: no such model, or it is damaged or keeps no contract.
            DeviceError: unknown device, or CUDA was asked for and did not start, with the cause.
        """
        check_resize(resize)
        location = catalog.resolve(model)
        self._session = runtime.open_session(location.path, device, threads, sha256=location.sha256)
        self._max_pixels = max_pixels
        self._resize = resize

    def __repr__(self) -> str:
        """Model and device on one line."""
        return f"<Segmenter {self.name!r} on {self.device}>"

    @property
    def manifest(self) -> Manifest:
        """What the model says about itself."""
        return self._session.manifest

    @property
    def name(self) -> str:
        """The model's own name."""
        return self.manifest.name

    @property
    def device(self) -> str:
        """Where the model really runs: "cpu" or "cuda:N"."""
        return self._session.device

    def __call__(
        self,
        image: ImageInput,
        point: Point | None = None,
        *,
        points: Points | None = None,
        labels: Labels | None = None,
        box: Box | None = None,
    ) -> Segmentation:
        """The same as `segment`."""
        return self.segment(image, point, points=points, labels=labels, box=box)

    def segment(
        self,
        image: ImageInput,
        point: Point | None = None,
        *,
        points: Points | None = None,
        labels: Labels | None = None,
        box: Box | None = None,
    ) -> Segmentation:
        """Find the pets of one photo, or the one that is pointed at.

        Args:
            image: path, bytes, binary file, PIL image or array; see `petseg.image.load`.
            point: one click `(x, y)` in pixels of the upright photo, for promptable models.
            points: several clicks, (N, 2).
            labels: for each of them 1 (wanted, the default) or 0 (not wanted).
            box: `(x0, y0, x1, y1)` around the pet.

        Raises:
            ImageError: the photo cannot be read.
            PromptError: a malformed prompt, one outside the photo, one for a model that takes none, or
                none for a model that needs one.
            DeviceError: the device gave up.
        """
        photo = load(image, max_pixels=self._max_pixels)
        height, width = photo.shape[:2]
        prompt = prompts.check(width, height, point=point, points=points, labels=labels, box=box)
        self._check_taken(prompt)
        letterbox = Letterbox.fit(width, height, self.manifest.size)
        fed = None if prompt is None else prompts.encode(prompt, letterbox)[None]
        return self._run([photo], [letterbox], fed)[0]

    @overload
    def map(
        self, images: Iterable[ImageInput], batch_size: int = 8, *, return_errors: Literal[False] = False
    ) -> Iterator[Segmentation]: ...

    @overload
    def map(
        self, images: Iterable[ImageInput], batch_size: int = 8, *, return_errors: bool
    ) -> Iterator[Segmentation | PetsegError]: ...

    def map(
        self, images: Iterable[ImageInput], batch_size: int = 8, *, return_errors: bool = False
    ) -> Iterator[Segmentation | PetsegError]:
        """Find the pets of many photos, several at a time, lazily and in order.

        Args:
            images: anything `segment` takes, as many as there are; at most `batch_size` are read ahead.
            batch_size: how many go through the network together.
            return_errors: put the error in the place of a photo that cannot be read, and go on, instead
                of raising it once the photos before it are answered.

        Raises:
            DeviceError: a batch size below 1, or the device gave up.
            PromptError: the model needs a point or a box.
            ImageError: a photo cannot be read.
        """
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise DeviceError(f"batch_size is {batch_size!r}; give a whole number of at least 1")
        one_array = isinstance(images, np.ndarray) and images.ndim < 4
        if one_array or isinstance(images, str | bytes | os.PathLike):
            raise ImageError("map takes many photos and got one; put it into a list, or use segment")
        self._check_taken(None)
        return self._batches(iter(images), batch_size, return_errors)

    def _batches(
        self, images: Iterator[ImageInput], batch_size: int, return_errors: bool
    ) -> Iterator[Segmentation | PetsegError]:
        while batch := [self._load_or_error(image) for image in islice(images, batch_size)]:
            photos = [loaded for loaded in batch if not isinstance(loaded, PetsegError)]
            boxes = [Letterbox.fit(photo.shape[1], photo.shape[0], self.manifest.size) for photo in photos]
            results = deque(self._run(photos, boxes) if photos else [])
            errors = deque(loaded if isinstance(loaded, PetsegError) else None for loaded in batch)
            # Only what is still to come stays in memory: full-size results are large.
            del batch, photos
            while errors:
                if (error := errors.popleft()) is None:
                    yield results.popleft()
                elif return_errors:
                    yield error
                else:
                    raise error

    def _load_or_error(self, image: ImageInput) -> NDArray[np.uint8] | PetsegError:
        try:
            return load(image, max_pixels=self._max_pixels)
        except PetsegError as error:
            return error

    def _run(
        self,
        photos: list[NDArray[np.uint8]],
        letterboxes: list[Letterbox],
        fed: NDArray[np.float32] | None = None,
    ) -> list[Segmentation]:
        squares = [
            box.apply(photo, self.manifest.fill) for photo, box in zip(photos, letterboxes, strict=True)
        ]
        images = np.ascontiguousarray(np.stack(squares).transpose(0, 3, 1, 2))
        logits = self._session.run(images, fed)
        return [
            Segmentation(answer, box, photo, self.name, resize=self._resize)
            for answer, box, photo in zip(logits, letterboxes, photos, strict=True)
        ]

    def _check_taken(self, prompt: Prompt | None) -> None:
        """Raise `PromptError` unless the model takes this prompt, or needs none."""
        takes = self.manifest.prompts
        if prompt is None:
            if takes:
                raise PromptError(
                    f"model {self.name!r} answers for what is pointed at; give a {' or a '.join(takes)}"
                )
            return
        given = (["point"] if len(prompt.points) else []) + (["box"] if prompt.box is not None else [])
        for kind in given:
            if kind not in takes:
                able = [info.name for info in catalog.list_models() if kind in info.prompts]
                fix = f"use model={' or '.join(map(repr, able))}" if able else "no installed model takes one"
                raise PromptError(f"model {self.name!r} takes no {kind}; leave it out, or {fix}")


def segment(
    image: ImageInput,
    point: Point | None = None,
    *,
    points: Points | None = None,
    labels: Labels | None = None,
    box: Box | None = None,
    model: str | os.PathLike[str] | None = None,
    device: str = "auto",
    threads: int = 0,
) -> Segmentation:
    """Find the pets of one photo, or the one that is pointed at.

    The model stays loaded for the next call. See `Segmenter` for `model`, `device` and `threads`, and
    `Segmenter.segment` for the rest.

    Example:
        >>> result = petseg.segment("dog.jpg")
        >>> result.save("mask.png")
    """
    segmenter = Segmenter(model, device=device, threads=threads)
    return segmenter.segment(image, point, points=points, labels=labels, box=box)
