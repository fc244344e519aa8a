"""Answers as data sets: COCO, YOLO and Label Studio, an annotation for each animal.

from petseg.annotations import Coco

with Coco("cats.json") as coco:
    for result in segmenter.map(paths):
        coco.add(result)
"""

from typing import Literal, TypeAlias

from petseg.annotations.coco import Coco
from petseg.annotations.labelstudio import LabelStudio
from petseg.annotations.writer import Writer
from petseg.annotations.yolo import Yolo

Format: TypeAlias = Literal["coco", "yolo", "labelstudio"]

WRITERS: dict[Format, type[Writer]] = {"coco": Coco, "yolo": Yolo, "labelstudio": LabelStudio}
"""Name of a format -> what writes it."""

__all__ = ["WRITERS", "Coco", "Format", "LabelStudio", "Writer", "Yolo"]
