"""Load a model once, ask it many times, from many threads."""

import os
from collections.abc import Callable, Collection, Generator, Iterable
from typing import Any, Literal, Self, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from petseg import pipeline
from petseg.clicks import asked
from petseg.clicks.asked import Asked
from petseg.clicks.prompts import Box, Boxes, Labels, Point, Points, Prompt
from petseg.clicks.several import Several
from petseg.clicks.state import ClickState
from petseg.dialogue import Dialogue
from petseg.engine.apart import Separator
from petseg.engine.network import open_model, open_network
from petseg.engine.precision import Precision
from petseg.engine.presence import Presence
from petseg.engine.second_look import see
from petseg.errors import PetsegError, PromptError
from petseg.models import catalog
from petseg.models.manifest import Manifest
from petseg.pixels import taken
from petseg.pixels.geometry import Letterbox
from petseg.pixels.image import DEFAULT_MAX_PIXELS, ImageInput, load
from petseg.pixels.source import source_of
from petseg.segmentation import Pixels, Resize, Segmentation, check_resize

R = TypeVar("R")


class Segmenter:
    """A model, ready to run; one may be shared by any number of threads.

    Segmenters of the same model, device and number of threads share one session, so making another one
    is cheap. What a promptable model saw in the last photos is kept, so that another click costs little.

    Example:
        >>> import petseg
        >>> segmenter = petseg.Segmenter()
        >>> [result.label for result in segmenter.map(["chelsea.jpg", "chelsea.jpg"])]
        ['cat', 'cat']
        >>> segmenter = petseg.Segmenter("prompt")
        >>> result = segmenter.segment("chelsea.jpg", (225, 150))
        >>> result = segmenter.refine(result, (440, 20), label=0)
        >>> result.label
        'cat'
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
        boxes: Boxes | None = None,
        objects: Labels | None = None,
    ) -> Segmentation:
        """Find the pets of one photo, or those that are pointed at.

        Several clicks are about one animal; but a wanted one on an animal that was not clicked yet is about
        that, so that the result has several `pets`. `objects` says it exactly.

        Args:
            image: path, bytes, binary file, PIL image or array; see `petseg.pixels.image.load`.
            point: one click `(x, y)` in pixels of the upright photo, for promptable models.
            points: several clicks, (N, 2), each of which corrects the answer to those before it.
            labels: for each of them 1 (wanted, the default) or 0 (not wanted).
            box: `(x0, y0, x1, y1)` around the pet.
            boxes: (K, 4), one around each of several animals: `pets` are in this order.
            objects: (N,) for each of the points the number of its animal: `[0, 0, 1]` for two clicks on one
                and one on another. With boxes, animal 0 is that in the first one.

        Raises:
            ImageError: the photo cannot be read.
            PromptError: a malformed prompt, one outside the photo, one for a model that takes none, or
                none for a model that needs one.
            DeviceError: the device gave up.
        """
        photo = load(image, max_pixels=self._max_pixels)
        question = asked.at_first(
            (photo.shape[1], photo.shape[0]),
            point=point,
            points=points,
            labels=labels,
            box=box,
            boxes=boxes,
            objects=objects,
        )
        result = self._answer(photo, question)
        result.source = source_of(image)
        return result

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
        boxes: Boxes | None = None,
        objects: Labels | int | None = None,
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
            box: `(x0, y0, x1, y1)`, in the place of the box before, of one animal.
            boxes: (K, 4), around animals besides those there are.
            objects: the number of the animal that the point is about, or one for each of the points; the next
                free number is a new animal. Without it each click is about the animal that it is on.

        Raises:
            PromptError: nothing to add, malformed, outside the photo, or for a model that takes none; or
                `previous` is no answer to a point or a box.
            DeviceError: the device gave up.
        """
        if not isinstance(previous, Segmentation):
            raise PromptError(
                f"previous is of type {type(previous).__name__}; give the Segmentation to go on from"
            )
        if previous.state is None:
            raise PromptError(
                f"model {previous.model!r} gave this answer without a point or a box; call segment with one"
            )
        question = asked.further(
            previous.prompts,
            previous.size,
            point=point,
            label=label,
            points=points,
            labels=labels,
            box=box,
            boxes=boxes,
            objects=objects,
        )
        result = self._answer(previous.photo, question, previous)
        result.source = previous.source
        return result

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
                batches, and no more than were answered so far (but one). What is read ahead is held as it
                is at that moment: a source may fill one buffer again and again. A file must stay as it is
                until its answer came.
            batch_size: how many go through the network together; None: chosen for the device.
            workers: threads, each of which reads a batch and runs the network on it; None: as many as keep
                the machine busy. Unless the segmenter has `threads` of its own, they share the cores.
            keep_photos: False decodes large JPEGs at a reduced size, several times as fast, and keeps no
                pixels of files and bytes: `Segmentation.photo`, overlay and cutout then read them again,
                and raise `ImageError` if the file was changed meanwhile.
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
        taken.check_many(images)
        self.check_takes(())
        network = self._network
        if plan.threads != self._threads:
            network = open_network(self._network.files, self.device, plan.threads)
        work = pipeline.Work(network, self._result, finish, keep_photos, self._max_pixels)
        photos = taken.take_each(images, self._max_pixels)
        return pipeline.run(work, photos, plan.batch_size, plan.workers, return_errors=return_errors)

    def _answer(
        self, photo: NDArray[np.uint8], question: Asked, previous: Segmentation | None = None
    ) -> Segmentation:
        """The answer to what is asked of a photo, after what was said in `previous`."""
        if question is None:
            self.check_takes(())
            size, fill, doubt = self.manifest.size, self.manifest.fill, self.manifest.doubt
            return self._result(*see(photo, size, fill, self._network.run, doubt=doubt), photo)
        animals, before = [question] if isinstance(question, Prompt) else question, self._before(previous)
        self.check_takes(dict.fromkeys(kind for prompt in animals for kind in prompt.kinds))
        if isinstance(question, Prompt):
            return self._pointed(photo, *self._dialogue(photo).go_on(question, *before))
        return self._pointed(photo, self._dialogue(photo).each(question, *before))

    def _dialogue(self, photo: NDArray[np.uint8]) -> Dialogue:
        model = self.manifest.presence
        presence = None if model is None else Presence(model, self.device, self._threads)
        return Dialogue(self._network, photo, presence)

    def _before(self, previous: Segmentation | None) -> tuple[tuple[Prompt, ...], tuple[ClickState, ...]]:
        """What was asked about each animal before, and the answers if they are this model's."""
        if previous is None:
            return (), ()
        states, size = previous.states, self.manifest.size
        own = previous.model == self.name and all(len(state.square) == size for state in states)
        return previous.prompts, states if own else ()

    def _pointed(
        self,
        photo: NDArray[np.uint8],
        states: tuple[ClickState, ...],
        missed: NDArray[np.float64] | None = None,
    ) -> Segmentation:
        """The answer about animals that were pointed at."""
        if len(states) == 1:
            (state,) = states
            return self._result(state.logits, state.letterbox, photo, state, missed=missed)
        several = Several(states)
        return self._result(several.logits, several.letterbox, photo, several, several.planes, missed)

    def _result(
        self,
        logits: NDArray[np.float32],
        letterbox: Letterbox,
        photo: Pixels,
        state: ClickState | Several | None = None,
        animals: NDArray[np.float32] | None = None,
        missed: NDArray[np.float64] | None = None,
    ) -> Segmentation:
        return Segmentation(
            logits,
            letterbox,
            photo,
            self.name,
            state=state,
            resize=self._resize,
            precision=self.precision,
            sure=self.manifest.sure,
            separator=Separator(self.device, self._threads),
            animals=animals,
            missed=missed,
        )

    def check_takes(self, kinds: Collection[str]) -> None:
        """Raise `PromptError` unless the model takes prompts of these kinds, some of "point" and "box".

        One that takes prompts needs them: none at all are refused as well.
        """
        catalog.check_takes(self.name, self.manifest.prompts, kinds)


def segment(
    image: ImageInput,
    point: Point | None = None,
    *,
    points: Points | None = None,
    labels: Labels | None = None,
    box: Box | None = None,
    boxes: Boxes | None = None,
    objects: Labels | None = None,
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
        >>> import petseg
        >>> result = petseg.segment("chelsea.jpg")
        >>> result.label, result.mask.shape
        ('cat', (300, 451))
        >>> result.save("mask.png")
        >>> petseg.segment("chelsea.jpg", (225, 150)).label
        'cat'
    """
    if model is None:
        clicked = point is not None or points is not None
        boxed = box is not None or boxes is not None
        model = catalog.choose(["point"] * clicked + ["box"] * boxed)
    segmenter = Segmenter(model, device=device, threads=threads, precision=precision)
    return segmenter.segment(
        image, point, points=points, labels=labels, box=box, boxes=boxes, objects=objects
    )
