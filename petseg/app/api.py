"""The endpoints for programs: /segment, /perturb and /models, with names that stay."""

import json
import time
from functools import partial
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from petseg import PetsegError, PromptError
from petseg.app import state
from petseg.app.handlers import Studio
from petseg.app.parts import LIGHT, RUNS_MODELS, as_path, guarded, photo_input
from petseg.measure.perturbations import PERTURBATIONS, perturb
from petseg.pets import Pet


def add_endpoints(studio: Studio) -> None:
    """Declare the endpoints inside the current Blocks; none of their controls is shown."""
    photo = photo_input(visible=False, label="photo")
    points = gr.Textbox(
        "",
        visible=False,
        label="points: [[x, y, 1 or 0], ...], or with the animal's number: [[x, y, 1 or 0, 0], ...]",
    )
    box = gr.Textbox("", visible=False, label="box: [x0, y0, x1, y1], or several of them")
    model = gr.Textbox("", visible=False, label="model: empty for the one that fits")
    threshold = gr.Number(0, visible=False, label="threshold: 0 for the likeliest class")
    _shows(photo, {"path": "dog.jpg", "meta": {"_type": "gradio.FileData"}})
    _shows(points, "[[120, 80, 1]]")
    for text in (box, model):
        _shows(text, "")
    _shows(threshold, 0)
    overlay = gr.Image(visible=False, format="png", label="overlay")
    mask = gr.Image(visible=False, format="png", label="mask: 0 background, 1 cat, 2 dog")
    info = gr.JSON(visible=False, label="label, score, model, milliseconds, pets")
    gr.Button(visible=False).click(
        guarded(_bound(segment, studio)),
        [photo, points, box, model, threshold],
        [overlay, mask, info],
        api_name="segment",
        api_description="Find the pets of a photo, or those that points or boxes are about.",
        **RUNS_MODELS,
    )
    kind = gr.Textbox(next(iter(PERTURBATIONS)), visible=False, label=f"kind: {', '.join(PERTURBATIONS)}")
    level = gr.Number(1, precision=0, visible=False, label="level: 1 (clean) to 10")
    seed = gr.Number(0, precision=0, visible=False, label="seed")
    for given, example in ((kind, "gaussian_blur"), (level, 5), (seed, 0)):
        _shows(given, example)
    damaged = gr.Image(visible=False, format="png", label="damaged photo")
    gr.Button(visible=False).click(
        guarded(damage),
        [photo, kind, level, seed],
        damaged,
        api_name="perturb",
        api_description="Damage a photo as the robustness study does.",
        **LIGHT,
    )
    gr.Button(visible=False).click(
        guarded(_bound(list_models, studio)),
        None,
        gr.JSON(visible=False, label="models"),
        api_name="models",
        api_description="The models: name, prompts, here (whether it can be asked), note.",
        **LIGHT,
    )


def _shows(component: gr.components.Component, example: Any) -> None:
    """Let the API's panel show an example of ours; Gradio's own photo is of a bus, on another server."""
    component.example_payload = component.example_value = lambda: example  # type: ignore[method-assign]


def _bound(function: Any, studio: Studio) -> Any:
    """The function without its first parameter, under its own name."""
    bound = partial(function, studio)
    bound.__name__ = function.__name__  # type: ignore[attr-defined]
    return bound


def segment(
    studio: Studio, photo: str, points: str = "", box: str = "", model: str = "", threshold: float = 0
) -> tuple[str, str, dict[str, Any]]:
    """Find the pets of a photo, or the one that is pointed at.

    Args:
        studio: who answers.
        photo: the upload.
        points: JSON, [[x, y, 1 or 0], ...] in pixels of the upright photo, or empty; with a fourth number in
            each row, that of the animal which the click is about.
        box: JSON, [x0, y0, x1, y1], a list of such boxes, one for each animal, or empty.
        model: a name of `list_models`, or empty: the one that takes what is given.
        threshold: as for `Segmentation.with_threshold`, 0 for the likeliest class.

    Returns:
        Paths of overlay and mask (PNG, the photo's size), and the answer in words and numbers; its "pets" are
        the animals one by one, with their outlines, and "missed" the clicks that were on nothing.

    Raises:
        PetsegError: whatever is wrong with the input, in words.
    """
    prompt = parse(points, box)
    kinds = ["point"] * ("points" in prompt) + ["box"] * ("box" in prompt or "boxes" in prompt)
    name = model or studio.models.first(kinds)
    if name is None:
        raise PromptError(studio.models.advice(kinds).rstrip("."))
    pixels = state.read(as_path(photo))
    segmenter = studio.models.get(name)
    started = time.perf_counter()
    result = segmenter.segment(pixels, **prompt).with_threshold(threshold or None)
    answer = {"label": result.label, "score": result.score, "model": name, "device": segmenter.device}
    answer |= {"milliseconds": 1000 * (time.perf_counter() - started), "size": list(result.size)}
    answer |= {"missed": result.missed.tolist(), "pets": [_about(pet) for pet in result.pets]}
    folder = studio.new_folder()
    result.save(folder / "mask.png")
    # Fast rather than small: a large photo would be compressed for seconds.
    result.overlay().save(folder / "overlay.png", compress_level=1)
    return str(folder / "overlay.png"), str(folder / "mask.png"), answer


def _about(pet: Pet) -> dict[str, Any]:
    """An animal for programs; outlines stray by a pixel at most."""
    outlines = [{key: ring[key] for key in ("exterior", "holes")} for ring in pet.polygons()]
    box = [int(edge) for edge in pet.box]
    return {"label": pet.label, "score": pet.score, "box": box, "area": pet.area, "polygons": outlines}


def parse(points: str, box: str) -> dict[str, Any]:
    """Arguments for `Segmenter.segment` from JSON texts; empty texts give nothing.

    Raises:
        PromptError: no JSON, or not of that form.
    """
    arguments: dict[str, Any] = {}
    if points.strip():
        rows = _numbers(points, "points", "[[x, y, 1], ...]")
        if rows.ndim != 2 or rows.shape[1] not in (3, 4):
            raise PromptError(f"points are {points!r:.100}; give [[x, y, 1], ...], 1 for pet, 0 for not pet")
        arguments |= {"points": rows[:, :2], "labels": rows[:, 2]}
        if rows.shape[1] == 4:
            arguments["objects"] = rows[:, 3]
    if box.strip():
        corners = _numbers(box, "box", "[x0, y0, x1, y1]")
        if "objects" in arguments or corners.ndim == 2:
            arguments["boxes"] = np.atleast_2d(corners)
        else:
            arguments["box"] = corners
    return arguments


def _numbers(text: str, name: str, form: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    try:
        return np.asarray(json.loads(text), np.float64)
    except (ValueError, TypeError, RecursionError) as error:
        raise PromptError(f"{name} {text!r:.100} is not of the form {form}") from error


def damage(photo: str, kind: str, level: float, seed: float) -> Image.Image:
    """Damage a photo, see `petseg.measure.perturbations.perturb`.

    Raises:
        PetsegError: the photo cannot be read, or there is no such kind, level or seed.
    """
    if seed < 0:
        raise PetsegError(f"seed is {seed}; give 0 or more")
    try:
        return Image.fromarray(perturb(state.read(as_path(photo)), kind, int(level), int(seed)))
    except ValueError as error:
        raise PetsegError(str(error)) from error


def list_models(studio: Studio) -> list[dict[str, Any]]:
    """What the page knows of each model."""
    return [
        {"name": model.name, "prompts": model.prompts, "here": model.here, "note": model.note}
        for model in studio.models.listed
    ]
