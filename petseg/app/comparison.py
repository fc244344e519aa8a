"""Several models on one photo, clean or damaged: what the Compare and the Robustness tab work out."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from petseg import PromptError, Segmentation, Segmenter
from petseg.app.handlers import Studio
from petseg.app.models import Listed
from petseg.app.state import Pixels, Visit
from petseg.measure import metrics
from petseg.measure.perturbations import LEVELS, PERTURBATIONS, perturb
from petseg.pixels.image import shrink

STUDY_SIDE = 512
"""Longest side of a photo that is damaged: about that of the study's photos, so that levels mean the same."""
TIMED = 3
"""Answers of a warm model whose times are taken."""
FOUND = 0.5
"""Agreement from which on a pet counts as still found: the overlap of a detection in PASCAL VOC."""
Outcome: TypeAlias = Literal["nothing", "lost", "mistaken", "partly", "found"]
NOTHING_TO_CLICK = "there is nothing to click on: click on the pet in the Segment tab first"


@dataclass(frozen=True)
class Answer:
    """What one model says about the photo.

    Attributes:
        model: its name.
        result: at preview size.
        milliseconds: the median of `TIMED` answers after the first.
        agreement: with the first model, see `agreement`; of one that answers for a pet alone, about that pet.
        area: share of the photo that is pet, 0..1.
    """

    model: str
    result: Segmentation
    milliseconds: float
    agreement: float
    area: float


@dataclass(frozen=True)
class Trial:
    """What one model says about a photo before and after damage.

    Attributes:
        model: its name.
        before, after: its answers.
        agreement: of the two.
    """

    model: str
    before: Segmentation
    after: Segmentation
    agreement: float

    @property
    def outcome(self) -> Outcome:
        """What became of the pet: "nothing" where there was none to begin with."""
        if self.before.label == "background":
            return "nothing"
        if self.after.label == "background":
            return "lost"
        if self.agreement >= FOUND:
            return "found"
        return "partly" if self.before.label == self.after.label else "mistaken"


def agreement(one: Pixels, other: Pixels) -> float:
    """Mean IoU of cat and dog, those that occur in either mask; 1 where neither finds anything.

    The background is left out: it is large, and would make two quite different masks look alike.
    """
    value = metrics.mean(metrics.iou(metrics.confusion_matrix(one, other))[1:])
    return 1.0 if np.isnan(value) else value


def middle(mask: Pixels) -> tuple[int, int]:
    """The pixel (x, y) of a mask's pets that is nearest to their centre of mass; there must be one."""
    rows, columns = np.nonzero(mask)
    nearest = np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2)
    return int(columns[nearest]), int(rows[nearest])


def prompt_for(model: Listed, visit: Visit, size: tuple[int, int], found: Pixels | None) -> dict[str, Any]:
    """What a model is asked about a copy of the photo.

    Args:
        model: one that takes no prompts is given none.
        visit: its clicks are used, where the model takes them.
        size: (width, height) of the copy.
        found: mask of the copy, by a model that finds all pets, of the largest of them; without clicks, its
            middle is clicked.

    Raises:
        PromptError: the model needs a click, and there is nothing to click on.
    """
    scale = np.array(size) / visit.size
    arguments: dict[str, Any] = {}
    if "point" in model.prompts and visit.points and (any(visit.labels) or visit.box is not None):
        arguments |= {"points": np.array(visit.points) * scale, "labels": visit.labels}
    if "box" in model.prompts and visit.box is not None:
        arguments["box"] = np.array(visit.box) * np.tile(scale, 2)
    if arguments or not model.prompts:
        return arguments
    if found is None or not found.any():
        raise PromptError(NOTHING_TO_CLICK)
    if "point" in model.prompts:
        return {"points": [middle(found)]}
    rows, columns = np.nonzero(found)
    return {"box": (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)}


def compare(studio: Studio, visit: Visit) -> Iterator[Answer | PromptError]:
    """Ask every model that is here, one by one, in the order of the list."""
    photo = studio.photos.get(visit.source)
    first: Segmentation | None = None
    found = _found(studio, photo, visit)
    for model in studio.models.here:
        try:
            prompt = prompt_for(model, visit, visit.size, found)
        except PromptError as error:
            yield error
            continue
        segmenter = studio.models.get(model.name)
        result = segmenter.segment(photo, **prompt).thumbnail(visit.preview)
        # The first answer loads the model, which says nothing of how fast it is.
        milliseconds = float(np.median([_timed(segmenter, photo, prompt) for _ in range(TIMED)]))
        first = first or result
        area = float((result.mask != 0).mean())
        alike = agreement(pointed_at(first, prompt, visit.size), result.mask)
        yield Answer(model.name, result, milliseconds, alike, area)


def pointed_at(result: Segmentation, prompt: Mapping[str, Any], size: tuple[int, int]) -> Pixels:
    """The mask of those pets alone that a prompt is about; the whole one where it is about none of them.

    Args:
        result: of a photo or of its copy.
        prompt: arguments for `Segmenter.segment`.
        size: (width, height) of what the prompt is for.
    """
    labels = prompt.get("labels", [1] * len(prompt.get("points", ())))
    places = [point for point, label in zip(prompt.get("points", ()), labels, strict=True) if label]
    if "box" in prompt:
        x0, y0, x1, y1 = prompt["box"]
        places.append(((x0 + x1) / 2, (y0 + y1) / 2))
    pixels = (np.array(places).reshape(-1, 2) * result.size / size).astype(int)
    meant = [pet.mask for pet in result.pets if any(pet.mask[y, x] for x, y in pixels)]
    return np.where(np.any(meant, axis=0), result.mask, 0) if meant else result.mask


def _timed(segmenter: Segmenter, photo: Pixels, prompt: dict[str, Any]) -> float:
    """Milliseconds of one more answer."""
    started = time.perf_counter()
    segmenter.segment(photo, **prompt)
    return 1000 * (time.perf_counter() - started)


def _found(studio: Studio, photo: Pixels, visit: Visit) -> Pixels | None:
    """The largest pet that a model finds which needs no click, (h, w) uint8.

    None where no other model needs a click, or the visitor gave one.
    """
    finder = studio.models.first([])
    if finder is None or visit.kinds or not any(model.prompts for model in studio.models.here):
        return None
    pets = studio.models.get(finder).segment(photo).pets
    return pets[0].mask.astype(np.uint8) if pets else np.zeros(photo.shape[:2], np.uint8)


def damage(photo: Pixels, levels: Mapping[str, int], seed: int) -> Pixels:
    """Apply several perturbations, in the order of `PERTURBATIONS`, each with the same seed."""
    for kind in PERTURBATIONS:
        if levels.get(kind, 1) != 1:
            photo = perturb(photo, kind, levels[kind], seed)
    return photo


def study_photo(visit: Visit) -> Pixels:
    """The photo at `STUDY_SIDE`."""
    return shrink(visit.preview, STUDY_SIDE)


def trials(
    studio: Studio, visit: Visit, names: Sequence[str], damages: Sequence[Callable[[Pixels], Pixels]]
) -> Iterator[Trial]:
    """Ask models about the clean and the damaged photo: for each damage, each model.

    The clicks are the same before and after; without any, the middle of what is found in the clean photo is
    clicked where a model needs that.

    Raises:
        PromptError: a model needs a click, and there is nothing to click on.
    """
    photo = study_photo(visit)
    size = photo.shape[1], photo.shape[0]
    found = _found(studio, photo, visit)
    models = [studio.models.find(name) for name in names]
    prompts = [prompt_for(model, visit, size, found) for model in models]
    before = [
        studio.models.get(model.name).segment(photo, **prompt)
        for model, prompt in zip(models, prompts, strict=True)
    ]
    for apply in damages:
        damaged = apply(photo)
        for model, prompt, clean in zip(models, prompts, before, strict=True):
            after = studio.models.get(model.name).segment(damaged, **prompt)
            yield Trial(model.name, clean, after, agreement(clean.mask, after.mask))


@dataclass(frozen=True)
class SweepPoint:
    """One point of a model's curve.

    Attributes:
        model: its name.
        level: of the damage.
        value: its agreement with the clean answer, 0..1; None where it found no pet in the clean photo.
    """

    model: str
    level: int
    value: float | None


def sweep(
    studio: Studio,
    visit: Visit,
    names: Sequence[str],
    kind: str,
    seed: int,
    progress: Callable[[float], None],
) -> list[SweepPoint]:
    """Agreement with the clean answer at every level of one perturbation.

    Args:
        studio, visit: whose photo.
        names: of models.
        kind: a key of `PERTURBATIONS`.
        seed: of its randomness.
        progress: told after each answer what part is done, 0..1.

    Raises:
        PromptError: a model needs a click, and there is nothing to click on.
    """
    damages = [_at_level(kind, level, seed) for level in range(1, LEVELS + 1)]
    points: list[SweepPoint] = []
    for done, trial in enumerate(trials(studio, visit, names, damages)):
        level = done // len(names) + 1
        value = None if trial.outcome == "nothing" else trial.agreement
        points.append(SweepPoint(trial.model, level, value))
        progress((done + 1) / (len(names) * LEVELS))
    return points


def _at_level(kind: str, level: int, seed: int) -> Callable[[Pixels], Pixels]:
    return lambda photo: perturb(photo, kind, level, seed)
