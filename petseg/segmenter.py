"""Load a model once, ask it many times, from many threads."""

import os
from collections.abc import Callable, Collection, Generator, Iterable
from dataclasses import replace
from typing import Any, Literal, Self, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from petseg import pipeline
from petseg.clicks import closeup, corrections, prompts
from petseg.clicks.animal import Pets, one_animal
from petseg.clicks.closeup import Asked
from petseg.clicks.prompts import Box, Labels, Point, Points, Prompt
from petseg.engine import network
from petseg.engine.network import open_model, open_network
from petseg.engine.precision import Precision
from petseg.errors import ImageError, PetsegError, PromptError
from petseg.models import catalog
from petseg.models.manifest import Manifest
from petseg.pixels.geometry import Letterbox
from petseg.pixels.image import DEFAULT_MAX_PIXELS, ImageInput, load
from petseg.segmentation import Pixels, Resize, Segmentation, check_resize

R = TypeVar("R")


class Segmenter:
    """A model, ready to run; one may be shared by any number of threads.

    Segmenters of the same model, device and number of threads share one session, so making another one
    is cheap. What a promptable model saw in the last photos is kept, so that another click costs little.

    Example:
        >>> segmenter = petseg.Segmenter()
        >>> for result in segmenter.map(["cat.jpg", "dog.jpg"]):
        ...     print(result.label, result.score)
        >>> segmenter = petseg.Segmenter("prompt")
        >>> result = segmenter.segment("both.jpg", (120, 80))
        >>> result = segmenter.refine(result, (300, 90), label=0)
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        device: str = "auto",
        threads: int = 0,
        max_pixels: int = DEFAULT_MAX_PIXELS,
        resize: Resize = "smooth",
        precision: Precision = "auto",
    ) -> None:
        """Find and load the model.

        Args:
            model: name of a model, ORG/NAME or ORG/NAME@REVISION on the Hugging Face Hub, or path of an
                .onnx file or of the folder of a promptable model; None is the default model, which finds
                all pets.
            device: "cpu", "cuda", "cuda:N", "auto": the GPU if there is one that works, else the CPU; or
                "tensorrt", "tensorrt:N": in fp16, after minutes for the first photo of each batch size.
            threads: for the CPU; 0 is the runtime's own choice, all cores.
            max_pixels: photos with more are refused before they are decoded.
            resize: "smooth" or "nearest" (cheaper): how masks get the photo's size.
            precision: "float32"; "int8", for the CPU and for models with such weights; or "auto":
                int8 on a CPU that has instructions for it if the model has such weights, else float32.

        Raises:
            ModelError: no such model, or not in this precision, or it is damaged or keeps no contract.
            HubError: it is to come from the Hub, and does not.
            DeviceError: unknown device or precision, int8 on a GPU, or CUDA was asked for and did not start,
                with the cause.
        """
        check_resize(resize)
        self._network, self._threads = open_model(model, device, threads, precision), threads
        self._max_pixels = max_pixels
        self._resize = resize

    @classmethod
    def from_pretrained(cls, model: str, revision: str | None = None, **options: Any) -> Self:
        """A model from the Hugging Face Hub, from the cache if it was pulled before.

        Args:
            model: ORG/NAME; a name alone is one of petseg's own.
            revision: branch, tag or commit; None is the newest that was pulled, or else the newest.
            **options: as for `Segmenter`.

        Raises:
            HubError: what was wrong, and what to do about it.
            ModelError, DeviceError: as for `Segmenter`.
        """
        return cls(model if revision is None else f"{model}@{revision}", **options)

    def __repr__(self) -> str:
        """Model, device and precision on one line."""
        return f"<Segmenter {self.name!r} on {self.device} in {self.precision}>"

    @property
    def manifest(self) -> Manifest:
        """What the model says about itself."""
        return self._network.manifest

    @property
    def name(self) -> str:
        """The model's own name."""
        return self.manifest.name

    @property
    def device(self) -> str:
        """Where the model really runs: "cpu", "cuda:N" or "tensorrt:N"."""
        return self._network.device

    @property
    def precision(self) -> str:
        """What the model really runs in: "float32" or "int8"."""
        return self.manifest.precision

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
            image: path, bytes, binary file, PIL image or array; see `petseg.pixels.image.load`.
            point: one click `(x, y)` in pixels of the upright photo, for promptable models.
            points: several clicks, (N, 2), each of which corrects the answer to those before it.
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
        return self._answer(photo, prompt)

    __call__ = segment

    def refine(
        self,
        previous: Segmentation,
        point: Point | None = None,
        label: int = 1,
        *,
        points: Points | None = None,
        labels: Labels | None = None,
        box: Box | None = None,
    ) -> Segmentation:
        """Go on from an answer: the same photo, and clicks besides those it was given for.

        The photo is not read again, nor looked at again by the network if it is one of the last that it
        saw (`petseg.engine.network.KEPT`). Each click corrects the answer where it is and nowhere else (see
        `petseg.clicks.corrections`). The answer is the one that `segment` gives for all clicks in this order,
        as long as there are no more than `petseg.clicks.corrections.STEPS`.

        Args:
            previous: an answer to a point or a box, of this model or of another one.
            point: one more click `(x, y)` in pixels of the upright photo.
            label: of `point`: 1 (wanted) or 0 (not wanted).
            points: several more clicks, (N, 2).
            labels: for each of them 1 (the default) or 0.
            box: `(x0, y0, x1, y1)`, in the place of the box before.

        Raises:
            PromptError: nothing to add, malformed, outside the photo, or for a model that takes none; or
                `previous` is no answer to a point or a box.
            DeviceError: the device gave up.
        """
        if not isinstance(previous, Segmentation):
            raise PromptError(
                f"previous is of type {type(previous).__name__}; give the Segmentation to go on from"
            )
        if previous.asked is None:
            raise PromptError(
                f"model {previous.model!r} gave this answer without a point or a box; call segment with one"
            )
        prompt = prompts.extend(
            previous.asked.prompt,
            *previous.size,
            point=point,
            label=label,
            points=points,
            labels=labels,
            box=box,
        )
        return self._answer(previous.photo, prompt, previous)

    @overload
    def map(
        self,
        images: Iterable[ImageInput],
        batch_size: int | None = None,
        *,
        workers: int | None = None,
        keep_photos: bool = True,
        return_errors: Literal[False] = False,
    ) -> Generator[Segmentation, None, None]: ...

    @overload
    def map(
        self,
        images: Iterable[ImageInput],
        batch_size: int | None = None,
        *,
        workers: int | None = None,
        keep_photos: bool = True,
        return_errors: bool,
    ) -> Generator[Segmentation | PetsegError, None, None]: ...

    def map(
        self,
        images: Iterable[ImageInput],
        batch_size: int | None = None,
        *,
        workers: int | None = None,
        keep_photos: bool = True,
        return_errors: bool = False,
    ) -> Generator[Segmentation | PetsegError, None, None]:
        """Find the pets of many photos, several at a time, lazily and in order.

        Args:
            images: anything `segment` takes, as many as there are. Read ahead are at most `workers + 1`
                batches, and no more than were answered so far (but one).
            batch_size: how many go through the network together; None: chosen for the device.
            workers: threads, each of which reads a batch and runs the network on it; None: as many as keep
                the machine busy. Unless the segmenter has `threads` of its own, they share the cores.
            keep_photos: False decodes large JPEGs at a reduced size, several times as fast, and keeps no
                pixels of files and bytes: `Segmentation.photo`, overlay and cutout then read them again.
            return_errors: put the error in the place of a photo that cannot be read, and go on, instead
                of raising it once the photos before it are answered.

        Raises:
            DeviceError: a batch size or a number of workers below 1, or the device gave up.
            PromptError: the model needs a point or a box.
            ImageError: a photo cannot be read.
        """
        return self.each(
            images,
            lambda result: result,
            batch_size,
            workers,
            keep_photos=keep_photos,
            return_errors=return_errors,
        )

    def each(
        self,
        images: Iterable[ImageInput],
        finish: Callable[[Segmentation], R],
        batch_size: int | None = None,
        workers: int | None = None,
        *,
        keep_photos: bool = True,
        return_errors: bool = False,
    ) -> Generator[R | PetsegError, None, None]:
        """Like `map`, but gives what `finish` makes of each result, in the thread that worked on it.

        What `finish` leaves out, the full-size mask say, is gone by then. A `PetsegError` that it raises
        counts as the photo's.
        """
        plan = pipeline.plan(self.device, self._threads, batch_size, workers)
        one_array = isinstance(images, np.ndarray) and images.ndim < 4
        if one_array or isinstance(images, str | bytes | os.PathLike):
            raise ImageError("map takes many photos and got one; put it into a list, or use segment")
        self.check_takes(())
        network = self._network
        if plan.threads != self._threads:
            network = open_network(self._network.files, self.device, plan.threads)
        work = pipeline.Work(network, self._result, finish, keep_photos, self._max_pixels)
        return pipeline.run(work, images, plan.batch_size, plan.workers, return_errors=return_errors)

    def _answer(
        self, photo: NDArray[np.uint8], prompt: Prompt | None, previous: Segmentation | None = None
    ) -> Segmentation:
        self.check_takes(prompt.kinds if prompt else ())
        if prompt is None:
            height, width = photo.shape[:2]
            whole = Letterbox.fit(width, height, self.manifest.size)
            logits = self._network.run(pipeline.planes([whole.apply(photo, self.manifest.fill)]))[0]
            return self._result(logits, whole, photo)
        before = None if previous is None else self._usable(previous, prompt)
        for step in corrections.steps(prompt, before.prompt if before else None):
            before = self._first(photo, step) if before is None else self._next(photo, step, before)
        assert before is not None
        return self._result(before.logits, before.letterbox, photo, before)

    def _usable(self, previous: Segmentation, prompt: Prompt) -> Asked | None:
        """What was asked before, if its answer is this model's and the way to that to the prompt."""
        asked = previous.asked
        if asked is None or (previous.model, len(asked.square)) != (self.name, self.manifest.size):
            return None
        return asked if corrections.leads_to(asked.prompt, prompt) else None

    def _first(self, photo: NDArray[np.uint8], prompt: Prompt) -> Asked:
        """The answer to a question that no answer precedes."""
        wanted = closeup.wanted(prompt)
        closer = self._close_up(photo, prompt, wanted) if prompt.box is not None else None
        asked, alone = self._ask(closer or self._see_all(photo, prompt))
        if asked.letterbox.whole:
            if asked.doubted and len(prompt.points):
                asked = self._look_again(photo, asked)
            asked = self._look_closer(photo, asked, wanted, alone=alone)
        if asked.letterbox.whole:
            asked = self._look_twice(photo, asked, wanted, alone=alone)
        return _tidied(asked)

    def _next(self, photo: NDArray[np.uint8], prompt: Prompt, before: Asked) -> Asked:
        """The answer to a question with one more click than `before`, which is corrected."""
        wanted = closeup.wanted(prompt)
        # Where the click is in sight: to shrink a photo again costs more than the network.
        near = before.letterbox.contains(wanted)
        asked, _ = self._ask(replace(before, prompt=prompt) if near else self._see_all(photo, prompt))
        ((x, y),) = asked.letterbox.to_model(prompt.points[-1:])
        positive = bool(prompt.positive[-1])
        logits = corrections.corrected(
            before.seen_by(asked.letterbox), asked.logits, (x, y), positive=positive
        )
        asked = replace(asked, logits=logits)
        if asked.letterbox.whole:
            asked = self._look_closer(photo, asked, wanted)
        return _tidied(asked)

    def _look_closer(
        self, photo: NDArray[np.uint8], asked: Asked, corners: NDArray[np.float64], *, alone: bool = False
    ) -> Asked:
        """The last answer of close-ups of what was found each time before, and of these points."""
        for _ in range(closeup.LOOKS):
            found = asked.found
            if not len(found):
                break
            closer = self._close_up(photo, asked.prompt, np.concatenate([corners, found]))
            if (
                closer is None
                or closeup.overlap(closer.letterbox.region, asked.letterbox.region) > closeup.SAME
            ):
                break
            asked, _ = self._ask(closer, alone=alone)
        return asked

    def _look_twice(
        self, photo: NDArray[np.uint8], asked: Asked, corners: NDArray[np.float64], *, alone: bool
    ) -> Asked:
        """The answer about the whole photo, its mean with that of a tight close-up of what was found."""
        found = asked.found
        if not len(found):
            return asked
        closer = self._close_up(photo, asked.prompt, np.concatenate([corners, found]), tight=True)
        return asked if closer is None else asked.mean(self._ask(closer, alone=alone)[0])

    def _look_again(self, photo: NDArray[np.uint8], asked: Asked) -> Asked:
        """The answer of a close-up around the first click, where that finds something."""
        height, width = photo.shape[:2]
        corners = closeup.around(width, height, asked.prompt.points[0])
        closer = self._close_up(photo, asked.prompt, corners)
        if closer is None:
            return asked
        again, _ = self._ask(closer, alone=False)
        return again if len(again.found) else asked

    def _close_up(
        self, photo: NDArray[np.uint8], prompt: Prompt, corners: NDArray[np.float64], *, tight: bool = False
    ) -> Asked | None:
        """The question about a close-up of what lies between these points, None if it is not worth it."""
        if not self.manifest.zoom:
            return None
        height, width = photo.shape[:2]
        region = closeup.close_up(width, height, corners, tight=tight)
        if region is None:
            return None
        return self._see(photo, prompt, Letterbox.fit(width, height, self.manifest.size, region))

    def _see_all(self, photo: NDArray[np.uint8], prompt: Prompt) -> Asked:
        """The question about the whole photo."""
        height, width = photo.shape[:2]
        return self._see(photo, prompt, Letterbox.fit(width, height, self.manifest.size))

    def _see(self, photo: NDArray[np.uint8], prompt: Prompt, letterbox: Letterbox) -> Asked:
        """The question about what a letterbox shows of the photo."""
        fill = self.manifest.fill
        return Asked(prompt, letterbox, letterbox.apply(photo, fill), fill)

    def _ask(self, asked: Asked, *, alone: bool | None = None) -> tuple[Asked, bool]:
        """What the network says to the question, to its mirror image, and of all pets.

        Args:
            asked: the question.
            alone: whether the photo shows hardly a pet but those that hang together under the click; None
                finds out from the answer.

        Returns:
            The question with its answer, and `alone`.
        """
        image, fed = pipeline.planes([asked.square]), prompts.encode(asked.prompt, asked.letterbox)[None]
        said = self._hear(image, fed)
        if self.manifest.mirror:
            turned = self._hear(np.ascontiguousarray(image[..., ::-1]), np.ascontiguousarray(fed[..., ::-1]))
            said = [(one + other[..., ::-1]) / np.float32(2) for one, other in zip(said, turned, strict=True)]
        logits, prompt = said[0], asked.prompt
        if self.manifest.semantic and prompt.kinds == ["point"] and len(prompt.points) == 1:
            ((x, y),) = asked.letterbox.to_model(prompt.points)
            found = Pets(logits, said[1], asked.letterbox.inner, (x, y))
            alone = found.alone if alone is None else alone
            logits = found.completed(alone=alone)
        return replace(asked, logits=logits), bool(alone)

    def _hear(self, image: NDArray[np.uint8], fed: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """What the network says of the clicked animal, (3, S, S), and, if it does, of all pets, (3, s, s)."""
        features = self._network.encode(image)
        said = [self._network.answer(features, fed)[0]]
        return [*said, network.semantic(features)[0]] if self.manifest.semantic else said

    def _result(
        self, logits: NDArray[np.float32], letterbox: Letterbox, photo: Pixels, asked: Asked | None = None
    ) -> Segmentation:
        return Segmentation(
            logits,
            letterbox,
            photo,
            self.name,
            asked=asked,
            resize=self._resize,
            precision=self.precision,
        )

    def check_takes(self, kinds: Collection[str]) -> None:
        """Raise `PromptError` unless the model takes prompts of these kinds, some of "point" and "box".

        One that takes prompts needs them: none at all are refused as well.
        """
        takes = self.manifest.prompts
        if takes and not kinds:
            raise PromptError(
                f"model {self.name!r} answers for what is pointed at; give a {' or a '.join(takes)}"
            )
        for kind in kinds:
            if kind not in takes:
                able = " or ".join(map(repr, catalog.takers(kind)))
                fix = f"use the model {able}" if able else "no installed model takes one"
                raise PromptError(f"model {self.name!r} takes no {kind}; leave it out, or {fix}")


def _tidied(asked: Asked) -> Asked:
    """The answer, as one animal where one is meant: if there is at most one wanted click."""
    if np.count_nonzero(asked.prompt.positive) > 1:
        return asked
    return replace(asked, logits=one_animal(asked.logits))


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
    precision: Precision = "auto",
) -> Segmentation:
    """Find the pets of one photo, or the one that is pointed at.

    Without a model, the default one finds all pets, and one that takes points and boxes answers those.
    Models stay loaded for the next call. See `Segmenter` for `model`, `device`, `threads` and
    `precision`, and `Segmenter.segment` for the rest.

    Example:
        >>> result = petseg.segment("dog.jpg")
        >>> result.save("mask.png")
        >>> result = petseg.segment("two dogs.jpg", (120, 80))
    """
    if model is None:
        clicked = point is not None or points is not None
        model = catalog.choose(["point"] * clicked + ["box"] * (box is not None))
    segmenter = Segmenter(model, device=device, threads=threads, precision=precision)
    return segmenter.segment(image, point, points=points, labels=labels, box=box)
