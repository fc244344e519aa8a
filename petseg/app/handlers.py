"""What the Segment tab does, as plain functions that know nothing of the page."""

import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from petseg import OutputError, PromptError, Segmentation, Segmenter
from petseg.annotations.coco import Coco
from petseg.app.models import AUTO, Models
from petseg.app.photos import Given, Photos
from petseg.app.state import PREVIEW, Key, Pixels, Step, Visit
from petseg.pets import Pet
from petseg.pixels.image import shrink

ALL_NEGATIVE = "These taps say what is not the pet; tap the pet too, or draw a box around it."
LEVELS = {-5: 0.02, -4: 0.05, -3: 0.1, -2: 0.2, -1: 0.35, 1: 0.7, 2: 0.8, 3: 0.9, 4: 0.95, 5: 0.98}
"""Looser (below 0) or tighter -> threshold. At two thirds and above, what is pet is so without a threshold
too; at a half and below, the other way round: so each level finds a part of what the one below it finds."""

FileKind: TypeAlias = Literal["sticker", "cutout", "on", "mask", "json", "coco"]
SUFFIXES: dict[FileKind, str] = {
    "sticker": ".sticker.png",
    "cutout": ".cutout.png",
    "on": ".jpg",
    "mask": ".mask.png",
    "json": ".json",
    "coco": ".coco.json",
}


@dataclass(frozen=True)
class Studio:
    """What all visitors share: models, decoded photos, and where files for download go.

    Attributes:
        shown: what was answered about examples as they are: everybody sees them first.
    """

    models: Models
    photos: Photos
    folder: Path
    shown: dict[tuple[str, str], Visit] = field(default_factory=dict)

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
            note = f"{models.advice(kinds)} What you see is all pets; your taps are kept."
            kinds, model = [], models.first([])
    else:
        takes = models.find(choice).prompts
        if refused := [kind for kind in kinds if kind not in takes]:
            note = f"{choice} takes no {' and no '.join(refused)}; yours are kept for a model that does."
        kinds = [kind for kind in kinds if kind in takes]
        if takes and not kinds:
            model, note = None, note or f"{choice} answers for what you point at: tap the pet."
    if model is None:
        return Plan(None, note=note or models.advice(kinds))
    return Plan(model, _key(model, visit, kinds), note)


def _key(model: str, visit: Visit, kinds: list[str]) -> Key:
    clicks = visit.clicks if "point" in kinds else []
    boxes = {step.animal: step.box for step in visit.steps if step.kind == "box" and "box" in kinds}
    asked = [
        number for number in visit.animals if number in boxes or number in {step.animal for step in clicks}
    ]
    place = {number: order for order, number in enumerate(asked)}
    return Key(
        model,
        tuple((step.x, step.y) for step in clicks),
        tuple(int(step.kind == "pet") for step in clicks),
        tuple(boxes[number] for number in asked if number in boxes),
        # Said exactly: otherwise a wanted click beside the animal would begin another one.
        tuple(place[step.animal] for step in clicks) if len(asked) > 1 or len(clicks) > 1 else (),
    )


def answer(studio: Studio, visit: Visit, choice: str) -> Visit:
    """Ask a model, unless the last answer is still the answer.

    Raises:
        PetsegError: the photo was put away, or the model is damaged.
    """
    planned = plan(studio.models, choice, visit)
    if planned.key is None:
        return replace(visit, answer=None, key=None, note=planned.note, missed=())
    if planned.key == visit.key and visit.answer is not None:
        return replace(visit, note=planned.note, missed=())
    given = _asked(studio, visit.source, planned.key)
    return replace(
        visit,
        answer=given.result.thumbnail(visit.preview),
        key=planned.key,
        milliseconds=given.milliseconds,
        device=studio.models.get(planned.key.model).device,
        note=planned.note,
        missed=(),
    )


def _asked(studio: Studio, source: Path | Pixels, key: Key) -> Given:
    """The answer to a question, exactly as the code on the page gives it.

    One that was given lately is given again. One that goes on from another is had by `Segmenter.refine`,
    which asks about the animal alone that was clicked. Where animals were told of each other's clicks
    meanwhile, that may say something else than `segment`, which is asked then.
    """
    segmenter, photo = studio.models.get(key.model), studio.photos.get(source)
    with studio.photos.answers(source) as known:
        before = tuple(known)  # others may drop what is oldest
        for given in before:
            if given.key == key:
                return given
        started = time.perf_counter()
        result = _refined(segmenter, before, key) or segmenter.segment(photo, **key.prompt)
        known.appendleft(Given(key, result, 1000 * (time.perf_counter() - started)))
        return known[0]


def _refined(segmenter: Segmenter, before: Iterable[Given], key: Key) -> Segmentation | None:
    for given in before:
        untold = sum(len(prompt.points) for prompt in given.result.prompts) == len(given.key.points)
        if untold and (more := key.beyond(given.key)):
            return segmenter.refine(given.result, **more)
    return None


def ask(studio: Studio, before: Visit, steps: tuple[Step, ...], choice: str) -> Visit:
    """Ask a model about a photo; new clicks that are on nothing change nothing, and are `missed`.

    Args:
        before: the photo, with the last answer, if there is one.
        steps: all clicks.
        choice: name of the model, or `AUTO`.

    Raises:
        PetsegError: as `answer`, or a click outside the photo.
    """
    _check(steps, before.size)
    visit = replace(before, steps=steps)
    planned = plan(studio.models, choice, visit)
    missed: tuple[Step, ...] = ()
    if planned.key is not None and planned.key.points:
        missed = _on_nothing(studio, before, visit, planned.key.model)
    if not missed:
        return answer(studio, visit, choice)
    kept = tuple(step for step in steps if step not in missed)
    if all(step.seed for step in kept):  # then nobody has corrected what was found
        kept = ()
    return replace(answer(studio, replace(before, steps=kept), choice), missed=missed)


def _check(steps: tuple[Step, ...], size: tuple[int, int]) -> None:
    width, height = size
    for step in steps:
        corners = [(step.x, step.y)] + [step.opposite] * (step.kind == "box")
        if any(not (0 <= x < width and 0 <= y < height) for x, y in corners):
            raise PromptError(f"give x from 0 to {width - 1} and y from 0 to {height - 1}")


def _on_nothing(studio: Studio, before: Visit, visit: Visit, model: str) -> tuple[Step, ...]:
    """The clicks that would begin an animal where there is none."""
    missed = []
    for number in visit.animals:
        said = [step for step in visit.steps if step.animal == number]
        known = said[0].seed or said[0].kind != "pet" or said[0] in before.steps
        if known:
            continue
        alone = _asked(studio, visit.source, Key(model, ((said[0].x, said[0].y),), (1,)))
        if not alone.result.thumbnail(visit.preview).mask.any():
            missed += said
    return tuple(missed)


def example(studio: Studio, name: str, photo: Pixels, choice: str) -> Visit:
    """An example as it is, answered; everybody gets the same.

    Raises:
        ModelError: the model is damaged.
    """
    if (name, choice) not in studio.shown:
        studio.shown[name, choice] = answer(studio, open_example(name, photo), choice)
    return studio.shown[name, choice]


def at_level(result: Segmentation, level: int) -> Segmentation:
    """The answer, looser or tighter, see `LEVELS`; 0 is as it is."""
    if level == 0 or (level > 0 and not result.mask.any()):
        return result
    return result.with_threshold(LEVELS[level])


def numbered(visit: Visit, result: Segmentation) -> list[tuple[int, Pet]]:
    """Its animals, each with the number that the visitor's clicks call it by.

    Without clicks they are numbered as they come, largest first.
    """
    pets = list(result.pets)
    if visit.key is None or not visit.key.prompt:
        return list(enumerate(pets))
    across, down = np.array(result.size) / visit.size
    found = []
    for number in visit.animals:
        places = [step for step in visit.steps if step.animal == number and step.kind != "not pet"]
        if pets and any(_touches(pets[0], step, across, down) for step in places):
            found.append((number, pets.pop(0)))
    return found


def _touches(pet: Pet, step: Step, across: float, down: float) -> bool:
    """Whether a click is on an animal, or its box around some of it."""
    x0, y0, x1, y1 = pet.box
    if step.kind == "box":
        left, top, right, bottom = step.box
        return x0 < right * across and x1 > left * across and y0 < bottom * down and y1 > top * down
    x, y = int((step.x + 0.5) * across), int((step.y + 0.5) * down)
    near = pet.inside[max(0, y - y0 - 3) : max(0, y - y0 + 4), max(0, x - x0 - 3) : max(0, x - x0 + 4)]
    return bool(near.any())


def full(studio: Studio, visit: Visit, level: int) -> Segmentation:
    """The answer at the photo's own size.

    Raises:
        PetsegError: there is no answer, or the photo was put away.
    """
    if visit.key is None:
        raise PromptError("there is no answer to keep yet; tap the pet first")
    return at_level(_asked(studio, visit.source, visit.key).result, level)


def chosen(studio: Studio, visit: Visit, level: int, animal: int | None) -> Segmentation | Pet:
    """What is to be kept, at the photo's own size: all animals, or the one of that number.

    Raises:
        PetsegError: as `full`, or there is no such animal.
    """
    result = full(studio, visit, level)
    if animal is None:
        return result
    assert visit.answer is not None
    small = dict(numbered(visit, at_level(visit.answer, level)))
    if animal not in small:
        raise OutputError("this pet is not in the answer any more; tap one that is")
    if len(small) == 1:
        return result
    box = np.array(small[animal].box) * np.tile(np.array(result.size) / small[animal].size, 2)
    return max(result.pets, key=lambda pet: _overlap(np.array(pet.box), box))


def _overlap(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """IoU of two boxes."""
    sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    both = float(np.prod(np.maximum(sides, 0)))
    return both / (float(np.prod(one[2:] - one[:2])) + float(np.prod(other[2:] - other[:2])) - both)


def download(
    studio: Studio,
    visit: Visit,
    kind: FileKind,
    *,
    level: int = 0,
    animal: int | None = None,
    background: str | Path = "white",
) -> Path:
    """Write the answer at the photo's own size into a new folder; Gradio removes it after a while.

    Args:
        studio, visit: whose, and about what.
        kind: what of it.
        level: see `at_level`.
        animal: the only one to keep, None for all.
        background: for "on": a colour, "blur", "grey", or an upload.

    Raises:
        PetsegError: as `chosen`, or the background cannot be read.
    """
    result = chosen(studio, visit, level, animal)
    path = studio.new_folder() / f"{Path(visit.name).stem}{SUFFIXES[kind]}"
    if kind == "coco":
        with Coco(path) as writer:
            writer.add(full(studio, visit, level), visit.name)
    elif kind == "on":
        ground = studio.photos.get(background) if isinstance(background, Path) else background
        result.save(path, "on", background=ground)
    else:
        result.save(path, kind)
    return path
