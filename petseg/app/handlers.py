"""What the Segment tab does, as plain functions that know nothing of the page."""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from petseg import PromptError, Segmentation
from petseg.app import drawing
from petseg.app.models import AUTO, Models
from petseg.app.state import PREVIEW, Key, Photos, Pixels, Visit
from petseg.pixels.image import shrink
from petseg.pixels.saving import Kind

ALL_NEGATIVE = "These clicks say what is not the pet; click on the pet too, or draw a box around it."


@dataclass(frozen=True)
class Studio:
    """What all visitors share: models, decoded photos, and where files for download go."""

    models: Models
    photos: Photos
    folder: Path

    def new_folder(self) -> Path:
        """An empty folder of its own, whose name nobody can guess."""
        path = self.folder / secrets.token_hex(16)
        path.mkdir(parents=True)
        return path


@dataclass(frozen=True)
class Plan:
    """Who is asked, and what.

    Attributes:
        model: name of the model; None where none can answer this.
        key: what is asked.
        note: what the visitor should know, "" if nothing.
    """

    model: str | None
    key: Key | None = None
    note: str = ""


def open_photo(studio: Studio, path: Path) -> Visit:
    """Begin with an upload.

    Raises:
        ImageError: it cannot be read, or is too large.
    """
    photo = studio.photos.get(path)
    return Visit(path.name, path, (photo.shape[1], photo.shape[0]), shrink(photo, PREVIEW))


def open_example(name: str, photo: Pixels) -> Visit:
    """Begin with an example photo."""
    return Visit(name, photo, (photo.shape[1], photo.shape[0]), shrink(photo, PREVIEW))


def plan(models: Models, choice: str, visit: Visit) -> Plan:
    """Decide who answers what was clicked.

    A model that takes no clicks answers without them, with a note; clicks are never thrown away.

    Raises:
        ModelError: there is no such model.
    """
    kinds, note = visit.kinds, ""
    if kinds == ["point"] and not any(visit.labels):
        kinds, note = [], ALL_NEGATIVE
    model: str | None = choice
    if choice == AUTO:
        model = models.first(kinds)
        if model is None and kinds:
            note = f"{models.advice(kinds)} What you see is all pets; your clicks are kept."
            kinds, model = [], models.first([])
    else:
        takes = models.find(choice).prompts
        if refused := [kind for kind in kinds if kind not in takes]:
            note = f"{choice} takes no {' and no '.join(refused)}; yours are kept for a model that does."
        kinds = [kind for kind in kinds if kind in takes]
        if takes and not kinds:
            model, note = None, note or f"{choice} answers for what you point at: click on the pet."
    if model is None:
        return Plan(None, note=note or models.advice(kinds))
    return Plan(model, _key(model, visit, kinds), note)


def _key(model: str, visit: Visit, kinds: list[str]) -> Key:
    points = "point" in kinds
    return Key(
        model,
        tuple(visit.points) if points else (),
        tuple(visit.labels) if points else (),
        visit.box if "box" in kinds else None,
    )


def answer(studio: Studio, visit: Visit, choice: str) -> Visit:
    """Ask a model, unless the last answer is still the answer.

    Raises:
        PetsegError: the photo was put away, or the model is damaged.
    """
    planned = plan(studio.models, choice, visit)
    if planned.key is None:
        return replace(visit, answer=None, key=None, note=planned.note)
    if planned.key == visit.key:
        return replace(visit, note=planned.note)
    segmenter = studio.models.get(planned.key.model)
    started = time.perf_counter()
    # Not `refine`: what is shown is then exactly what the code on the page gives. The network keeps what
    # it saw in the last photos, so that another click is cheap all the same.
    result = segmenter.segment(studio.photos.get(visit.source), **planned.key.prompt)
    milliseconds = 1000 * (time.perf_counter() - started)
    return replace(
        visit,
        answer=result.thumbnail(visit.preview),
        key=planned.key,
        milliseconds=milliseconds,
        device=segmenter.device,
        note=planned.note,
    )


VIEWS: dict[str, Callable[[Segmentation, float], Pixels]] = {
    "Overlay": drawing.overlay,
    "Cutout": lambda result, _: drawing.cutout(result),
    "Mask": lambda result, _: drawing.mask(result),
    "Outline": lambda result, _: drawing.outline(result),
}
"""Name -> (answer, opacity) -> picture."""


def picture(visit: Visit, view: str, opacity: float, threshold: float) -> Pixels:
    """What the visitor sees: the answer in one of the `VIEWS` with the clicks, of size `Visit.shown`."""
    result = shown(visit, threshold)
    image = visit.preview if result is None else VIEWS[view](result, opacity)
    if image.shape[1::-1] != visit.shown:
        method = Image.Resampling.NEAREST if view == "Mask" else Image.Resampling.BICUBIC
        image = np.asarray(Image.fromarray(image).resize(visit.shown, method))
    return drawing.marked(image, visit.size, visit.steps, visit.box)


def shown(visit: Visit, threshold: float) -> Segmentation | None:
    """The answer under the threshold that is set, at preview size."""
    if visit.answer is None:
        return None
    return visit.answer.with_threshold(threshold or None)


def full(studio: Studio, visit: Visit, threshold: float) -> Segmentation:
    """The answer at the photo's own size.

    Raises:
        PetsegError: there is no answer, or the photo was put away.
    """
    if visit.key is None:
        raise PromptError("there is no answer to keep yet; click on the pet first")
    photo = studio.photos.get(visit.source)
    result = studio.models.get(visit.key.model).segment(photo, **visit.key.prompt)
    return result.with_threshold(threshold or None)


SUFFIXES: dict[Kind, str] = {"mask": ".mask.png", "cutout": ".cutout.png", "json": ".json"}


def download(studio: Studio, visit: Visit, threshold: float, kind: Kind) -> Path:
    """Write the answer at the photo's own size into a new folder; Gradio removes it after a while.

    Raises:
        PetsegError: as `full`.
    """
    path = studio.new_folder() / f"{Path(visit.name).stem}{SUFFIXES[kind]}"
    full(studio, visit, threshold).save(path, kind)
    return path
