"""Photos to try: a real one that anybody may use, and one of two pets."""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np

from petseg.app.state import Pixels
from petseg.pixels.image import load

CHELSEA = files("petseg.app") / "examples" / "chelsea.jpg"


@dataclass(frozen=True, eq=False)
class Example:
    """A photo to try.

    Attributes:
        name: as of a file.
        title: what a person reads.
        photo: (H, W, 3) uint8.
    """

    name: str
    title: str
    photo: Pixels


def twins() -> Pixels:
    """Chelsea beside her mirror image: two cats, to click on one of them."""
    photo = load(CHELSEA.read_bytes())
    return np.concatenate([photo, photo[:, ::-1]], axis=1)


@cache
def all_examples() -> tuple[Example, ...]:
    """Every example, in the order of the page."""
    return (
        Example("chelsea.jpg", "Chelsea, a cat", load(CHELSEA.read_bytes())),
        Example("twins.png", "Two cats", twins()),
    )
