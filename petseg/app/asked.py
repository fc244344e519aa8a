"""What the picture in the browser asks for, read from what came over the network: anybody may send it."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args

from petseg import PetsegError
from petseg.app.handlers import LEVELS, SUFFIXES, FileKind
from petseg.app.models import AUTO
from petseg.app.state import Kind, Step

MOST_STEPS = 200
"""Clicks on one photo."""
_COLOUR = re.compile(r"#[0-9a-f]{6}")
_MALFORMED = "the page sent something that this server does not understand; load it again"


@dataclass(frozen=True)
class Asked:
    """A question about a photo.

    Attributes:
        number: by which the browser knows the answer.
        photo: the upload; None for an example.
        example: the number of the example, where there is no upload.
        steps: all clicks, oldest first.
        model: a name, or `AUTO`.
        level: looser (below 0) or tighter, see `petseg.app.handlers.LEVELS`.
        needs_photo: whether the browser wants the picture as well.
        kind: of the file that is wanted, if one is.
        animal: the only one that the file shall show; None for all.
        background: of the file: "blur", "grey", "#rrggbb", or an upload.
    """

    number: int
    photo: Path | None
    example: int = 0
    steps: tuple[Step, ...] = ()
    model: str = AUTO
    level: int = 0
    needs_photo: bool = False
    kind: FileKind = "sticker"
    animal: int | None = None
    background: str | Path = "#ffffff"


def number_of(data: Any) -> int:
    """By what the browser knows the answer, 0 where it does not say."""
    number = data.get("number") if isinstance(data, dict) else None
    return number if isinstance(number, int) else 0


def parse(data: Any, folder: Path) -> Asked:
    """Read a question.

    Args:
        data: of the event.
        folder: where uploads are; nothing outside of it is taken for one.

    Raises:
        PetsegError: it is none.
    """
    try:
        photo, animal = data.get("photo"), data.get("animal")
        asked = Asked(
            number_of(data),
            None if photo is None else upload(photo, folder),
            int(data.get("example", 0)),
            tuple(_step(step) for step in data.get("steps", ())),
            str(data.get("model", AUTO)),
            int(data.get("level", 0)),
            bool(data.get("needsPhoto")),
            cast(FileKind, data.get("kind", "sticker")),
            None if animal is None else int(animal),
            _background(data.get("background", "#ffffff"), folder),
        )
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise PetsegError(_MALFORMED) from error
    known = asked.kind in SUFFIXES and (asked.level == 0 or asked.level in LEVELS)
    if not known or len(asked.steps) > MOST_STEPS:
        raise PetsegError(_MALFORMED)
    return asked


def upload(path: Any, folder: Path) -> Path:
    """A file that was uploaded.

    Raises:
        PetsegError: it is none.
    """
    if not isinstance(path, str) or "\0" in path:
        raise PetsegError(_MALFORMED)
    resolved = Path(path).resolve()
    if not resolved.is_relative_to(folder.resolve()):
        raise PetsegError("this is no upload; choose a photo first")
    return resolved


def _background(given: Any, folder: Path) -> str | Path:
    # A text that is none of these the package would take for a path.
    if given in ("blur", "grey") or (isinstance(given, str) and _COLOUR.fullmatch(given)):
        return str(given)
    return upload(given, folder)


def _step(given: Any) -> Step:
    kind = given["kind"]
    if kind not in get_args(Kind):
        raise ValueError(kind)
    x1, y1 = given.get("opposite") or (0, 0)
    animal = int(given["animal"])
    if not 0 <= animal < MOST_STEPS:
        raise ValueError(animal)
    return Step(
        kind, int(given["x"]), int(given["y"]), (int(x1), int(y1)), animal, bool(given.get("seed", False))
    )
