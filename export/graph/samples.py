"""Photos and prompts to compare an export with its checkpoint on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.errors import PhotosError
from petseg.clicks import prompts
from petseg.measure.datasets import IMAGE_SUFFIXES, read_pairs
from petseg.models.manifest import Manifest
from petseg.pixels.geometry import Letterbox
from petseg.pixels.image import load


@dataclass(frozen=True)
class Inputs:
    """What both networks are fed.

    Attributes:
        images: (N, 3, S, S) uint8.
        prompts: for a promptable model several times (N, 2, S, S) float32, of one kind each; else empty.
        inside: (N, S, S) bool: the pixels that a photo covers, without the padding.
    """

    images: NDArray[np.uint8]
    prompts: list[NDArray[np.float32]]
    inside: NDArray[np.bool_]

    def feeds(self) -> list[tuple[NDArray[Any], ...]]:
        """The photos, with each kind of prompt in turn: what a whole model takes."""
        return [(self.images, prompt) for prompt in self.prompts] or [(self.images,)]


_PROMPTS: tuple[dict[str, Any], ...] = (
    {"points": [(0.5, 0.5)]},
    {"points": [(0.4, 0.5), (0.6, 0.7), (0.1, 0.1)], "labels": [1, 1, 0]},
    {"box": (0.2, 0.15, 0.8, 0.9)},
    {"points": [(0.3, 0.4)], "labels": [0], "box": (0.1, 0.1, 0.7, 0.95)},
)
"""One click, several of both kinds, a box, and a box with a click; in sides of the photo."""


def prepare(photos: Sequence[NDArray[np.uint8]], manifest: Manifest) -> Inputs:
    """Fit photos to the model's square, with prompts of every kind that the model takes."""
    size = manifest.size
    boxes = [Letterbox.fit(photo.shape[1], photo.shape[0], size) for photo in photos]
    squares = [box.apply(photo, manifest.fill) for box, photo in zip(boxes, photos, strict=True)]
    inside = np.zeros((len(photos), size, size), bool)
    for covered, box in zip(inside, boxes, strict=True):
        covered[box.inner] = True
    taken = {"points": "point", "labels": "point", "box": "box"}
    asked = [kind for kind in _PROMPTS if {taken[key] for key in kind} <= set(manifest.prompts)]
    return Inputs(
        np.ascontiguousarray(np.stack(squares).transpose(0, 3, 1, 2)),
        [np.stack([_prompt(kind, box) for box in boxes]) for kind in asked],
        inside,
    )


def _prompt(asked: dict[str, Any], box: Letterbox) -> NDArray[np.float32]:
    """(2, S, S) for a prompt in sides of the photo."""
    sides = np.array([box.width, box.height])
    given = dict(asked)
    if "points" in given:
        given["points"] = np.array(given["points"]) * sides
    if "box" in given:
        given["box"] = np.array(given["box"]) * np.tile(sides, 2)
    prompt = prompts.check(box.width, box.height, **given)
    assert prompt is not None
    return prompts.encode(prompt, box)


def read_photos(folder: Path, split: str | None, count: int) -> list[NDArray[np.uint8]]:
    """`count` photos, spread evenly over a folder.

    Args:
        folder: in one of the layouts of `petseg.measure.datasets`, or simply full of image files.
        split: list of names, for the Oxford layout; None: every photo that has a mask.
        count: how many.

    Raises:
        PhotosError: there are not so many.
        petseg.ImageError: a photo cannot be read.
    """
    if not folder.is_dir():
        raise PhotosError(f"{folder} is no folder; give one with photos by --data")
    if (folder / "images").is_dir():
        oxford = (folder / "annotations").is_dir()
        paths = [pair.image for pair in read_pairs(folder, split if oxford else None)]
    else:
        paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    if len(paths) < count:
        raise PhotosError(
            f"{folder} has {len(paths)} photos, {count} are needed; give another one by --data, "
            f"or compare on fewer: --photos {len(paths)}"
        )
    return [load(paths[index * len(paths) // count]) for index in range(count)]
