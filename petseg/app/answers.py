"""An answer as the picture in the browser gets it: JSON, from which it draws by itself."""

import base64
import io
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from petseg.app import texts
from petseg.app.asked import Asked
from petseg.app.handlers import at_level, numbered
from petseg.app.models import Models
from petseg.app.state import Pixels, Visit
from petseg.pets import Pet

_GRID = 32
"""Side of the grid on which the middle of an animal is looked for."""
_TOLERANCE = 0.6
"""Pixels of the preview by which outlines may stray."""


def describe(visit: Visit, asked: Asked, models: Models, address: str) -> str:
    """What the browser needs to show an answer.

    Args:
        visit: answered.
        asked: to what.
        models: which there are.
        address: of the page, for the code that gives the same answer.
    """
    result = None if visit.answer is None else at_level(visit.answer, asked.level)
    height, width = visit.preview.shape[:2]
    pets = [] if result is None else numbered(visit, result)
    steps = [texts.step(step) for step in visit.steps]
    said: dict[str, Any] = {
        "number": asked.number,
        "name": visit.name,
        "size": visit.size,
        "shown": (width, height),
        "pets": [_about(number, pet, visit) for number, pet in pets],
        "answered": result is not None,
        "steps": steps,
        "missed": [texts.step(step) for step in visit.missed],
        "note": visit.note,
        "facts": texts.facts(visit),
        "takes": {kind: models.takes(asked.model, kind) for kind in ("point", "box")},
        "code": texts.codes(visit, asked.level, address),
    }
    if asked.needs_photo:
        said["photo"] = jpeg(visit.preview)
    return json.dumps(said)


def _about(number: int, pet: Pet, visit: Visit) -> dict[str, Any]:
    rings = [ring for piece in pet.polygons(_TOLERANCE) for ring in (piece["exterior"], *piece["holes"])]
    x, y = deepest(pet)
    return {
        "animal": number,
        "label": pet.label,
        "score": pet.score,
        "box": pet.box,
        "area": pet.area,
        "share": pet.area / (pet.size[0] * pet.size[1]),
        "at": (x * visit.size[0] // pet.size[0], y * visit.size[1] // pet.size[1]),
        "rings": [[number for vertex in ring for number in vertex] for ring in rings],
    }


def deepest(pet: Pet) -> tuple[int, int]:
    """The pixel (x, y) of an animal that is about farthest from its edge: who clicks there means this one."""
    x0, y0, x1, y1 = pet.box
    columns, rows = _spread(x1 - x0), _spread(y1 - y0)
    small = np.pad(pet.inside[np.ix_(rows, columns)], 1)
    own, outside = np.argwhere(small), np.argwhere(~small)
    if not len(own):  # thinner than the grid is fine
        own_rows, own_columns = np.nonzero(pet.inside)
        return x0 + int(own_columns[0]), y0 + int(own_rows[0])
    distances = ((own[:, None] - outside) ** 2).sum(-1).min(1)
    row, column = own[distances.argmax()] - 1
    return x0 + int(columns[column]), y0 + int(rows[row])


def _spread(length: int) -> NDArray[np.intp]:
    count = min(length, _GRID)
    return ((np.arange(count) + 0.5) * length / count).astype(np.intp)


def jpeg(picture: Pixels) -> str:
    """A picture as an address that holds it."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=88)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


def failed(number: int, message: str) -> str:
    """What the browser is told instead."""
    return json.dumps({"number": number, "error": message})
