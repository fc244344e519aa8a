"""Label Studio: tasks with pre-annotations, in one JSON file."""

from contextlib import ExitStack
from typing import Any
from urllib.parse import quote

from petseg.annotations.writer import Writer, compact
from petseg.errors import OutputError
from petseg.pets import Pet
from petseg.pixels import rle, saving
from petseg.segmentation import Segmentation
from petseg.version import version

PREFIX = "/data/local-files/?d="
"""Where Label Studio finds photos that it serves from its own disk, below LOCAL_FILES_DOCUMENT_ROOT."""


class LabelStudio(Writer):
    """One file of tasks, each a photo with a prediction: a brush for each animal, exact, holes and all.

    The labelling interface that it fits:

        <View>
          <Image name="image" value="$image"/>
          <BrushLabels name="label" toName="image"><Label value="cat"/><Label value="dog"/></BrushLabels>
        </View>
    """

    file = "labelstudio.json"

    def _begin(self, stack: ExitStack) -> None:
        self._open(stack)
        self._count = 0
        self._write("[")

    def describe(self, result: Segmentation) -> dict[str, Any]:
        """See `Writer`."""
        scores = [pet.score for pet in result.pets]
        return {
            "model_version": f"petseg {version()} {result.model}",
            "score": round(sum(scores) / len(scores) if scores else result.score, 6),
            "result": [_region(pet, number) for number, pet in enumerate(result.pets, 1)],
        }

    def _put(self, described: dict[str, Any], name: str) -> None:
        task = {
            "meta": {saving.MARK: version()},
            "data": {"image": PREFIX + quote(name)},
            "predictions": [described],
        }
        self._write(",\n" * (self._count > 0) + compact(task))
        self._count += 1

    def _end(self) -> None:
        self._write("]\n")


def _region(pet: Pet, number: int) -> dict[str, Any]:
    width, height = pet.size
    try:
        brush = rle.label_studio(pet.inside, pet.box, width, height)
    except ValueError as error:
        raise OutputError(f"{error}; make the photo smaller, or save coco") from error
    return {
        "id": f"pet-{number}",
        "type": "brushlabels",
        "from_name": "label",
        "to_name": "image",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "score": round(pet.score, 6),
        "value": {"format": "rle", "rle": list(brush), "brushlabels": [pet.label]},
    }
