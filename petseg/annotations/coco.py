"""COCO: one JSON file for all photos."""

from contextlib import ExitStack
from typing import Any, NamedTuple

from petseg.annotations.writer import Writer, compact
from petseg.pets import Pet
from petseg.pixels import rle, saving
from petseg.pixels.classes import CLASSES
from petseg.segmentation import Segmentation
from petseg.version import version


class Described(NamedTuple):
    """A photo: its model, its size, and what is known of each animal, less what numbers it."""

    model: str
    size: tuple[int, int]
    animals: list[dict[str, Any]]


class Coco(Writer):
    """One COCO file: polygons, or run lengths of an animal with holes; categories 1 cat, 2 dog; a score each.

    While it grows, annotations go to a hidden file beside it; no more than the photos' names is in memory.
    """

    file = "coco.json"

    def _begin(self, stack: ExitStack) -> None:
        self._open(stack)
        self._images: list[dict[str, Any]] = []
        self._models: set[str] = set()
        self._count = 0
        categories = [
            {"id": number, "name": name, "supercategory": "animal"}
            for number, name in enumerate(CLASSES)
            if number
        ]
        head = compact({saving.MARK: version(), "categories": categories})
        self._write(f'{head[:-1]},"annotations":[')

    def describe(self, result: Segmentation) -> Described:
        """See `Writer`."""
        return Described(result.model, result.size, [self._animal(pet) for pet in result.pets])

    def _animal(self, pet: Pet) -> dict[str, Any]:
        x0, y0, x1, y1 = pet.box
        return {
            "category_id": CLASSES.index(pet.label),
            "segmentation": self._segmentation(pet),
            "area": pet.area,
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            "iscrowd": 0,
            "score": round(pet.score, 6),
        }

    def _segmentation(self, pet: Pet) -> Any:
        pieces = pet.polygons(self._tolerance)
        if any(piece["holes"] for piece in pieces):
            width, height = pet.size
            return {"size": [height, width], "counts": rle.coco(pet.inside, pet.box, width, height)}
        return [[number for vertex in piece["exterior"] for number in vertex] for piece in pieces]

    def _put(self, described: Described, name: str) -> None:
        image = len(self._images) + 1
        for animal in described.animals:
            self._count += 1
            numbered = {"id": self._count, "image_id": image} | animal
            self._write(",\n" * (self._count > 1) + compact(numbered))
        width, height = described.size
        self._images.append({"id": image, "file_name": name, "width": width, "height": height})
        self._models.add(described.model)

    def _end(self) -> None:
        models = f" with the model {', '.join(sorted(self._models))}" if self._models else ""
        tail = compact(
            {"images": self._images, "info": {"description": f"cats and dogs, found by petseg{models}"}}
        )
        self._write(f"],{tail[1:]}\n")
